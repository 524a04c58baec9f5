"""How long each target is shot at: briefly with the other tests, for long by ``make fuzz``."""

import os

from hypothesis import settings

from tests.support.examples import examples

EXAMPLES = examples(int(os.environ.get("FUZZ_EXAMPLES", "60")))

fuzz = settings(max_examples=EXAMPLES)
