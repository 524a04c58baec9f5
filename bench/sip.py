"""A real OpenSIPS that runs a script, and SIP callers who send it OPTIONS: one request is one command.

Owns the process and its callers. Must not know what the script asks of whom. Authority: RFC 3261, section 8.1 (what a
request needs), OpenSIPS's command line.
"""

import os
import select
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import free_port
from tests.support.process import ChildProcess

BINARY, MODULES = os.environ.get("OPENSIPS_BIN", ""), os.environ.get("OPENSIPS_MODULES", "")
WORKERS = 8
_START_SECONDS = 20.0
_OK = b"SIP/2.0 200 "

_HEAD = """
stderror_enabled = yes
syslog_enabled = no
log_level = 1
mpath = "{modules}/"
socket = udp:127.0.0.1:{port}
udp_workers = {workers}
loadmodule "proto_udp.so"
loadmodule "sl.so"
loadmodule "signaling.so"
loadmodule "json.so"
modparam("json", "enable_long_quoting", 1)
"""


def has_modules(*names: str) -> bool:
    """Whether OPENSIPS_BIN and OPENSIPS_MODULES name an OpenSIPS that was built with them."""
    return bool(BINARY) and all((Path(MODULES) / f"{name}.so").exists() for name in names)


class SipServer:
    """``with SipServer(folder, "name", script) as server:``; the script replies 200 to what it has done."""

    def __init__(self, folder: Path, name: str, script: str) -> None:
        """``script``: what follows the modules that every script has. ``folder`` gets the configuration and the log."""
        self._port = free_port()
        self._log = folder / f"{name}.log"
        self._config = folder / f"{name}.cfg"
        self._config.write_text(_HEAD.format(modules=MODULES, port=self._port, workers=WORKERS) + script)

    def __enter__(self) -> Self:
        command = [BINARY, "-F", "-m", "64", "-M", "8", "-f", str(self._config)]
        self._process = ChildProcess(command, self._log)
        self._callers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(WORKERS)]
        for sock in self._callers:
            sock.bind(("127.0.0.1", 0))
            sock.connect(("127.0.0.1", self._port))
        self._await_reply("nothing", 0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in self._callers:
            sock.close()
        self._process.stop(5.0)

    def attach(self, count: int) -> list[str]:
        """Handles that the script gives for the user "attach", as the text of its replies."""
        self._await_reply("attach", 1.0)  # the module connects some time after the start
        return [self._ask("attach").split(b"\r\n", 1)[0].removeprefix(_OK).decode() for _ in range(count)]

    def one(self, user: str, calls: int) -> list[float]:
        """Seconds of each of so many requests, one after the other."""
        times = []
        for _ in range(calls):
            begun = time.perf_counter()
            self._ask(user)
            times.append(time.perf_counter() - begun)
        return times

    def many(self, users: list[str], seconds: float) -> float:
        """Requests/s of a caller for each worker, who waits for each reply; ``users``: by caller."""
        user_of = dict(zip(self._callers, users, strict=True))
        for sock, user in user_of.items():
            sock.send(self._options(sock, user))
        replies, begun = 0, time.perf_counter()
        while (now := time.perf_counter()) < begun + seconds:
            for sock in select.select(self._callers, [], [], 1.0)[0]:
                self._take(sock)
                replies += 1
                sock.send(self._options(sock, user_of[sock]))
        for sock in self._callers:
            self._take(sock)
        return replies / (now - begun)

    def _ask(self, user: str, seconds: float = 10.0) -> bytes:
        sock = self._callers[0]
        sock.settimeout(seconds)
        sock.send(self._options(sock, user))
        return self._take(sock)

    @staticmethod
    def _take(sock: socket.socket) -> bytes:
        reply = sock.recv(65_535)
        if not reply.startswith(_OK):
            raise RuntimeError(f"OpenSIPS replied {reply[:80]!r}")
        return reply

    def _options(self, sock: socket.socket, user: str) -> bytes:
        """One OPTIONS; its branch makes it unlike the one before."""
        host, own = sock.getsockname()
        mark = f"{own}-{time.perf_counter_ns()}"
        return (
            f"OPTIONS sip:{user}@127.0.0.1:{self._port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{own};branch=z9hG4bK{mark}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:a@{host}>;tag={mark}\r\nTo: <sip:{user}@127.0.0.1>\r\nCall-ID: {mark}\r\n"
            "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        ).encode()

    def _await_reply(self, user: str, seconds: float) -> None:
        """Until the script replies 200 to ``user``, asked anew after so many seconds."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.exit_code is None:
            try:
                self._ask(user, seconds)
            except (OSError, RuntimeError):
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"OpenSIPS does not answer:\n{self._process.output[-2000:]}")
