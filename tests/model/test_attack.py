"""A short attack from every side; ``make soak`` has a long one."""

import tempfile
from pathlib import Path

from tests.model.attack import attack


async def test_hostile_peers_on_every_side_cost_a_good_caller_nothing() -> None:
    with tempfile.TemporaryDirectory() as folder:  # short: a unix socket's path has 107 bytes
        outcome = await attack(1.5, Path(folder))
    print(outcome)
    assert outcome.faults == []
    assert outcome.calls > 1
    assert outcome.statistics["janus:mi_errors"] > 0
