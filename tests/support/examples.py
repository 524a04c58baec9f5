"""How many examples a property is tried with: as many as it asks for, fewer in `make quick`."""

import os

QUICK = "QUICK" in os.environ
FEW = 15


def examples(number: int) -> int:
    """For hypothesis's ``max_examples``."""
    return min(number, FEW) if QUICK else number
