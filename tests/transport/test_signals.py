"""Who takes signals, and what becomes of those that nobody takes."""

import subprocess
import sys

import pytest

from tests.support.deadlines import HANG_SECONDS

pytestmark = pytest.mark.program

_PROGRAM = """
import os, signal, sys, threading
from bridge.transport import signals

came, over = [], threading.Event()
for number in signals.OBEYED:
    signal.signal(number, lambda number, _: came.append(signal.Signals(number).name))
with signals.waiting():
    idle = threading.Thread(target=over.wait)
    idle.start()
    if len(sys.argv) > 1:
        os.kill(os.getpid(), signal.SIGUSR2)
        with signals.taken():
            while not came:
                over.wait(0.001)
        os.kill(os.getpid(), signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        print(came, flush=True)
        os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
    with signals.taken():
        while len(came) < 2:
            over.wait(0.001)
    over.set()
print(sorted(came))
"""


def test_what_nobody_takes_waits_for_the_program_that_the_process_becomes() -> None:
    """Beside a thread of before; also what was meant for the first thread: that is how trio gives back what is left."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, _PROGRAM], capture_output=True, text=True, timeout=HANG_SECONDS, check=True
    )
    assert done.stdout.splitlines() == ["['SIGUSR2']", "['SIGHUP', 'SIGTERM']"]
