"""A child process that cannot outlive the tests: started, signalled by its pid, its output kept in a file."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_STARTER = ThreadPoolExecutor(1, "starter")


def freeze(pid: int) -> None:
    """SIGSTOP, and wait until it has happened: of several threads some work on for a moment, on a busy machine for long
    enough to answer what comes after the signal.
    """
    os.kill(pid, signal.SIGSTOP)
    while any(_state(task) not in "TZX" for task in Path(f"/proc/{pid}/task").iterdir()):
        time.sleep(0.001)


def _state(task: Path) -> str:
    """Of a thread: its letter in proc_pid_stat(5); one that has ended: X."""
    try:
        return (task / "stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


class ChildProcess:
    """Started when made. Linux kills it when the thread ends that started it (PR_SET_PDEATHSIG): the main one, or one
    that lasts as long, where it is made in a thread that does not (trio's end when they are idle for 10 s).
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        inherits: Sequence[int] = (),
    ) -> None:
        """``inherits``: descriptors.

        Raises FileNotFoundError when the program (or util-linux's ``setpriv``) is not installed.
        """
        for program in ("setpriv", command[0]):
            if shutil.which(program) is None:
                raise FileNotFoundError(f"{program} is not installed")
        self._log = log
        self._start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:

            def start() -> "subprocess.Popen[bytes]":
                return subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", "--", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env=environ,
                    pass_fds=inherits,
                    start_new_session=True,  # a Ctrl-C for pytest is not for the child: fixtures stop it in their order
                )

            lasting = threading.current_thread() is threading.main_thread()
            self._process = start() if lasting else _STARTER.submit(start).result()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number where one ended it."""
        return self._process.poll()

    @property
    def output(self) -> str:
        """What it has printed so far."""
        with self._log.open("rb") as log:
            log.seek(self._start)
            return log.read().decode("utf-8", "replace")

    def signal(self, number: signal.Signals) -> None:
        """To a running process; nothing happens to one that has ended."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    def freeze(self) -> None:
        """SIGSTOP: connects still succeed, nothing answers. From the return on."""
        if self.exit_code is None:
            freeze(self.pid)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def stop(self, seconds: float) -> int:
        """SIGTERM (to a frozen one too), SIGKILL after so many seconds; its exit code."""
        self.thaw()
        self.signal(signal.SIGTERM)
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        self.signal(signal.SIGKILL)
        return self._process.wait()


class ServerProcess:
    """What the beds of servers have in common: one child process, made by their ``start``; a folder of their own."""

    stop_seconds = 10.0  # from SIGTERM to SIGKILL

    def __init__(self) -> None:
        self._process: ChildProcess | None = None
        self._folder: Path | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.exit_code is None

    @property
    def pid(self) -> int:
        return self._started().pid

    @property
    def folder(self) -> Path:
        assert self._folder is not None, "it was not started"
        return self._folder

    def stop(self) -> None:
        """SIGTERM, as an administrator stops it; SIGKILL if that takes too long."""
        if self._process is not None:
            self._process.stop(self.stop_seconds)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()

    def freeze(self) -> None:
        """As ``ChildProcess.freeze``."""
        self._started().freeze()

    def thaw(self) -> None:
        self._started().thaw()

    def close(self) -> None:
        """End it and remove its folder: the end of this object."""
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _started(self) -> ChildProcess:
        assert self._process is not None, "it was not started"
        return self._process
