"""A real OpenSIPS on loopback that runs one of ``opensips-examples/``: where OPENSIPS_BIN and OPENSIPS_MODULES name it.

Owns the copy of the example in which the lines that an administrator adapts have the test's ports, and the process.
Authority: the settings at the head of each example; OpenSIPS's command line.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import trio

from tests.support import mi_client
from tests.support.deadlines import HANG_SECONDS
from tests.support.ports import free_port
from tests.support.process import ChildProcess

EXAMPLES = Path(__file__).parents[2] / "opensips-examples"

_START_SECONDS = HANG_SECONDS
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.005
_LARGEST = 65535

# As they stand in the examples; what is true of a machine goes in their place.
MPATH = 'mpath = "/usr/lib/x86_64-linux-gnu/opensips/modules/"'
SIP = "socket = udp:127.0.0.1:5060"
BRIDGE = '"http://127.0.0.1:8889/mi"'
MI = '"udp:127.0.0.1:8080"'
_WORKERS = "udp_workers = 4"
_TO_STDERR = "stderror_enabled = yes\nsyslog_enabled = no\nlog_level = 3\n"


_BINARY = os.environ.get("OPENSIPS_BIN", "")
_MODULES = Path(os.environ.get("OPENSIPS_MODULES", "/nowhere"))

# ``pytestmark`` of what needs it.
NEEDS_OPENSIPS = [
    pytest.mark.opensips,
    pytest.mark.skipif(not _BINARY, reason="OPENSIPS_BIN names no opensips"),
    pytest.mark.skipif(not _MODULES.is_dir(), reason="OPENSIPS_MODULES names no folder of modules"),
]


def needs_modules(*names: str) -> pytest.MarkDecorator:
    """The mark of what needs an OpenSIPS that was built with them."""
    missing = [name for name in names if not (_MODULES / f"{name}.so").exists()]
    return pytest.mark.skipif(bool(missing), reason=f"this OpenSIPS was built without {', '.join(missing)}")


def write_examples(folder: Path, replace: Mapping[str, str]) -> None:
    """Copy all examples, with each key of ``replace`` replaced where it stands, and the modules' folder."""
    folder.mkdir()
    pairs = {MPATH: f'{_TO_STDERR}mpath = "{_MODULES}/"', _WORKERS: "udp_workers = 2", **replace}
    for example in (*EXAMPLES.glob("*.cfg"), *EXAMPLES.glob("*.inc")):
        text = example.read_text(encoding="utf-8")
        for old, new in pairs.items():
            text = text.replace(old, new)
        (folder / example.name).write_text(text, encoding="utf-8")


def check(config: Path) -> tuple[int, str]:
    """``opensips -C``: exit code and everything it said."""
    done = subprocess.run(
        [_BINARY, "-C", "-f", str(config)], capture_output=True, text=True, timeout=HANG_SECONDS, check=False, cwd="/"
    )
    return done.returncode, done.stdout + done.stderr


class OpenSips:
    """``with OpenSips(tmp_path / "opensips", "sync.cfg", bridge=URL) as opensips:`` or start() and stop()."""

    def __init__(
        self, folder: Path, example: str, *, bridge: str = "", replace: Mapping[str, str] | None = None
    ) -> None:
        """``folder`` is made. ``bridge``: URL of its HTTP MI. ``replace``: more of the example's text, and by what."""
        self.sip_port = free_udp_port()
        self.mi_port = free_udp_port()
        self.config = folder / example
        self._process: ChildProcess | None = None
        known = {
            SIP: f"socket = udp:127.0.0.1:{self.sip_port}",
            BRIDGE: json.dumps(bridge),
            MI: f'"udp:127.0.0.1:{self.mi_port}"',
        }
        write_examples(folder, {**known, **(replace or {})})

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        print(self.log)  # pytest shows it where the test failed

    @property
    def log(self) -> str:
        """What the latest run said, "" before the first."""
        return "" if self._process is None else self._process.output

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        assert self._process is not None, "OpenSIPS was not started"
        return self._process.exit_code

    def start(self) -> Self:
        """Return when its SIP socket is bound: what arrives from then on is not lost."""
        command = [_BINARY, "-F", "-m", "64", "-M", "8", "-f", str(self.config)]
        self._process = ChildProcess(command, self.config.parent / "opensips.log")
        deadline = time.monotonic() + _START_SECONDS
        while not _is_bound(self.sip_port):
            ended = self._process.exit_code is not None
            if ended or time.monotonic() > deadline:
                self._process.kill()
                pytest.fail(f"OpenSIPS did not start:\n{self.log[-3000:]}")
            time.sleep(_POLL_SECONDS)
        return self

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self._process is not None, "OpenSIPS was not started"
        exit_code = self._process.stop(_STOP_SECONDS)
        if exit_code == -signal.SIGKILL:  # it had no time to end its own processes
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        return exit_code

    async def until_logged(self, *texts: str) -> str:
        """The first line of the log that holds all these texts, waiting for it."""
        while True:
            for line in self.log.splitlines():
                if all(text in line for text in texts):
                    return line
            assert self.exit_code is None, f"OpenSIPS ended with code {self.exit_code}:\n{self.log[-3000:]}"
            await trio.sleep(_POLL_SECONDS)

    async def until_subscribed(self) -> None:
        """Wait for the event_routes: until OpenSIPS 3.5 they hear nothing for some ms after MI answers."""
        while True:
            if (await self.mi("subscribers_list"))["Events"]:
                return
            await trio.sleep(_POLL_SECONDS)

    async def mi(self, method: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        """The result of an MI method over mi_datagram, which may still be starting. Raises MiError."""
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            await sock.connect(("127.0.0.1", self.mi_port))
            while True:
                try:
                    await sock.send(mi_client.request(method, params))
                    return mi_client.result(await sock.recv(_LARGEST))
                except ConnectionRefusedError:
                    await trio.sleep(_POLL_SECONDS)


def _is_bound(port: int) -> bool:
    """Whether somebody has this UDP port, looked up without touching it: a bind to try would be in OpenSIPS's way."""
    lines = Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") for line in lines)


def free_udp_port() -> int:
    """A port of 127.0.0.1 that nothing uses at this moment, for UDP or TCP."""
    while True:
        port = free_port()
        if not _is_bound(port):
            return port
