"""The installed program as its users run it: ``janus-bridge run`` as a child process, spoken to over MI.

Knows nothing of the package's inside: options, one log line and MI are all it uses.
"""

import json
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support import mi_client
from tests.support.deadlines import HANG_SECONDS
from tests.support.fake_systemd import FakeSystemd
from tests.support.process import ChildProcess

PROGRAM = Path(sys.executable).with_name("janus-bridge")

_POLL_SECONDS = 0.005
_LISTENING = re.compile(r"listening on (https?://\S+)")


class BridgeFailed(Exception):
    """It did not start; the text has the end of its log."""


class Bridge:
    """``with Bridge(tmp_path, {"janus.janus_db_url": ...}) as bridge:`` or start() and stop()."""

    start_seconds = stop_seconds = HANG_SECONDS

    def __init__(
        self,
        folder: Path,
        options: Mapping[str, Any] | None = None,
        *,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        systemd: FakeSystemd | None = None,
    ) -> None:
        """``folder`` gets the log and the state directory; HTTP MI listens on a free port unless ``mi.http`` is given.

        ``options``: -o KEY=VALUE, as Python values. ``arguments``: more of the command line, e.g. ``["-c", FILE]``.
        ``systemd`` hears what it says, and starts it with what it had stored.
        """
        self._folder = folder
        self.options = {"mi.http": ["127.0.0.1:0"], "state.dir": str(folder / "state"), **(options or {})}
        self._arguments = list(arguments)
        self.environ = environ if systemd is None else {**systemd.environ, **(environ or {})}
        self._systemd = systemd
        self._process: ChildProcess | None = None
        self.mi_urls: list[str] = []

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def command(self) -> list[str]:
        settings = [f"{key}={toml(value)}" for key, value in self.options.items()]
        return [str(PROGRAM), "run", *self._arguments, *(word for setting in settings for word in ("-o", setting))]

    @property
    def process(self) -> ChildProcess:
        assert self._process is not None, "the bridge was not started"
        return self._process

    @property
    def log(self) -> str:
        """What the latest run printed, "" before the first."""
        return "" if self._process is None else self._process.output

    def logged(self, text: str, times: int = 1) -> bool:
        """Whether the log has it so often, or gets it: a thread writes it, so that an answer may be there before."""
        deadline = time.monotonic() + HANG_SECONDS
        while self.log.count(text) < times:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    @property
    def mi_url(self) -> str:
        return self.mi_urls[0]

    def start(self) -> Self:
        """Return when every HTTP listener is reported. Raises BridgeFailed."""
        command, inherits = self.command, list[int]()
        if self._systemd is not None:
            command, inherits = self._systemd.command(command)
        log = self._folder / "bridge.log"
        self._process = ChildProcess(command, log, environ=self.environ, inherits=inherits)
        wanted = len(self.options["mi.http"])
        try:
            self._await_listeners(wanted)
        except BaseException:
            self._process.kill()
            raise
        return self

    def without_systemd(self, **options: Any) -> Self:
        """Let the next start hear nothing of it, as a program that does not know of its store; with other options."""
        self._systemd = self.environ = None
        self.options |= options
        return self

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        return self.process.stop(self.stop_seconds)

    def kill(self) -> None:
        """SIGKILL: no farewell to Janus, no state saved beyond what was."""
        self.process.kill()

    def replace(self) -> None:
        """SIGUSR2; return when the new program listens."""
        before = len(_LISTENING.findall(self.log))
        self.process.signal(signal.SIGUSR2)
        self._await_listeners(before + len(self.options["mi.http"]))
        self.mi_urls = self.mi_urls[before:]

    def reload(self) -> None:
        """SIGHUP."""
        self.process.signal(signal.SIGHUP)

    def mi(self, method: str, params: Any = None) -> Any:
        """The result of an MI method, blocking. Raises MiError."""
        return mi_client.call(self.mi_url, method, params)

    async def ami(self, method: str, params: Any = None) -> Any:
        """As mi(), in trio."""
        return await mi_client.acall(self.mi_url, method, params)

    async def send(self, janus_id: str, command: Mapping[str, Any], *more: Any) -> Any:
        """``janus_send_request``: Janus's answer."""
        return await self.ami("janus_send_request", [janus_id, json.dumps(command), *more])

    def _await_listeners(self, wanted: int) -> None:
        deadline = time.monotonic() + self.start_seconds
        while time.monotonic() < deadline:
            ended = self.process.exit_code is not None
            self.mi_urls = _LISTENING.findall(self.log)
            if ended:
                raise BridgeFailed(f"janus-bridge ended with code {self.process.exit_code}:\n{self.log[-2000:]}")
            if len(self.mi_urls) >= wanted:
                return
            time.sleep(_POLL_SECONDS)
        raise BridgeFailed(f"janus-bridge was not ready within {self.start_seconds:g} s:\n{self.log[-2000:]}")


def toml(value: Any) -> str:
    """A TOML value: str, bool, int, float, list, or dict (as an inline table)."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, str | bool | int | float):
        return json.dumps(value, ensure_ascii=False)  # these are spelled alike in JSON and TOML
    raise TypeError(f"{type(value).__name__} has no place in the configuration")
