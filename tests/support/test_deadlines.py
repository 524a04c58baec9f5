"""A machine that is busy makes no deadline come sooner."""

from pathlib import Path

import pytest
import trio

from tests.support import deadlines
from tests.support.deadlines import in_time


async def test_who_takes_too_long_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "crowding", lambda: 1.0)
    monkeypatch.setattr(deadlines, "disk_waits", lambda: 0.0)
    with pytest.raises(trio.TooSlowError), in_time(0.01):
        await trio.sleep_forever()


@pytest.mark.parametrize(("crowding", "waits"), [(1000.0, lambda: 0.0), (1.0, trio.current_time)])
async def test_while_others_want_processors_or_wait_for_the_disk_hardly_any_time_passes(
    monkeypatch: pytest.MonkeyPatch, crowding: float, waits: object
) -> None:
    monkeypatch.setattr(deadlines, "crowding", lambda: crowding)
    monkeypatch.setattr(deadlines, "disk_waits", waits)
    with in_time(0.05) as clock:
        await trio.sleep(0.12)
    assert clock.passed < 0.05


def test_a_kernel_that_does_not_tell_counts_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert deadlines.disk_waits() >= 0.0
    monkeypatch.setattr(deadlines, "_WAITS", tmp_path / "none")
    assert deadlines.disk_waits() == 0.0
