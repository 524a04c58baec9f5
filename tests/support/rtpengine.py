"""A private, real rtpengine (Debian ``rtpengine-daemon``), which speaks the Janus API without `claim` and `destroy`.

Owns the process and its port. Synchronous, as janus.py and for the same reasons. Authority: rtpengine's manual page,
and ``docs/janus_interface_and_replacement.md`` of its source.
"""

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.deadlines import HANG_SECONDS
from tests.support.ports import free_port, is_free
from tests.support.process import ChildProcess


class Rtpengine:
    """``with Rtpengine(folder) as server:``; after ``stop`` and ``start`` it is back on its port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._control = free_port()
        self._folder = folder
        self._process: ChildProcess | None = None

    @property
    def url(self) -> str:
        return f"janusws://127.0.0.1:{self.port}/janus"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Return when its port is open."""
        command = ["rtpengine", "--foreground", "--log-stderr", "--table=-1", "--interface=127.0.0.1"]
        command += [f"--listen-http=127.0.0.1:{self.port}", f"--listen-ng=127.0.0.1:{self._control}"]
        command += ["--janus-secret=x", "--port-min=31000", "--port-max=31100", "--config-file=none"]
        self._process = ChildProcess(command, self._folder / "rtpengine.log")
        until = time.monotonic() + HANG_SECONDS
        while is_free(self.port):
            if self._process.exit_code is not None or time.monotonic() > until:
                raise RuntimeError(f"rtpengine did not start:\n{self._process.output[-2000:]}")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Its connections end with it."""
        if self._process is not None:
            self._process.kill()
