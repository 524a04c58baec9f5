"""What the first process of a container does with children; as the first one it is tried in tests/image."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bridge.transport import orphans
from tests.support.deadlines import HANG_SECONDS

pytestmark = pytest.mark.program

END = [sys.executable, "-c", "raise SystemExit(7)"]


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)


def test_only_the_first_process_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    orphans.let_go()
    assert signal.getsignal(signal.SIGCHLD) is before
    monkeypatch.setattr(orphans, "FIRST", os.getpid())
    orphans.let_go()
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN


def test_its_own_child_has_an_exit_code_and_no_other_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "FIRST", os.getpid())
    orphans.let_go()
    with orphans.own_child():
        stray = os.posix_spawn(sys.executable, END, dict(os.environ))  # ends in the block, and nobody waits for it
        os.waitid(os.P_PID, stray, os.WEXITED | os.WNOWAIT)
        assert subprocess.run(END, check=False, timeout=HANG_SECONDS).returncode == 7
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    with pytest.raises(ChildProcessError):
        os.waitpid(stray, os.WNOHANG)


def test_elsewhere_it_changes_nothing() -> None:
    before = signal.getsignal(signal.SIGCHLD)
    with orphans.own_child():
        assert subprocess.run(END, check=False, timeout=HANG_SECONDS).returncode == 7
    assert signal.getsignal(signal.SIGCHLD) is before
