"""A stand-in for an OpenSIPS that has mi_datagram and an event_route: it runs raise_event, and misbehaves when told to.

As in the real one, answers of a unix socket come from a second, unnamed socket, params are a JSON text whose values are
strings, and a request that is no JSON is answered "400 Parse_error".
"""

import json
import socket as sockets
from collections import deque
from pathlib import Path
from typing import Any, Literal, TypeAlias

import trio

# ok         run it, answer OK              lost       as if the request had never arrived
# mute       run it, do not answer          late       run it, answer after the next request
# 404, 480   do not run it, answer so       parse      "400 Parse_error"
Act: TypeAlias = Literal["ok", "lost", "mute", "late", "404", "480", "500", "parse"]

_ERRORS = {"404": "Event not registered", "480": "Temporarily Unavailable", "500": "Cannot Raise Event"}
_LARGEST = 65457  # mi_datagram's buffer


class OpenSipsMi:
    """``raised`` has what it ran, ``ids`` the id of each request that arrived; ``acts`` is used up, then ``always``."""

    def __init__(self, path: Path | None = None, host: str = "127.0.0.1") -> None:
        self._path = path
        self._address: Any = str(path) if path else (host, 0)
        self._family = sockets.AF_UNIX if path else sockets.AF_INET6 if ":" in host else sockets.AF_INET
        self._rx: sockets.socket | None = None
        self._tx: sockets.socket | None = None
        self._late: list[tuple[bytes, Any]] = []
        self.acts: deque[Act] = deque()
        self.always: Act = "ok"
        self.ids: list[str] = []
        self.raised: list[dict[str, str]] = []
        self.changed = trio.Event()  # a fresh one after each request

    @property
    def name(self) -> str:
        """The socket to subscribe."""
        if self._path:
            return f"mi:unix:{self._path}"
        host, port = self._address[:2]
        return f"mi:udp:[{host}]:{port}" if ":" in host else f"mi:udp:{host}:{port}"

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled, or until ``close``. Again: at the same address, as after a restart."""
        with sockets.socket(self._family, sockets.SOCK_DGRAM) as rx, sockets.socket(self._family, rx.type) as unnamed:
            self._rx, self._tx = rx, unnamed if self._path else rx
            self.bind(rx)
            unnamed.setblocking(False)
            task_status.started()
            while True:
                try:
                    await trio.lowlevel.wait_readable(rx)
                except trio.ClosedResourceError:
                    return
                self._serve(*rx.recvfrom(_LARGEST))

    def bind(self, rx: sockets.socket) -> None:
        """Take the address."""
        if self._path:
            self._path.unlink(missing_ok=True)
        rx.setblocking(False)
        rx.bind(self._address)
        if not self._path:
            self._address = rx.getsockname()

    def close(self) -> None:
        """Stop as a process that ends: the socket is gone, a unix path stays behind."""
        assert self._rx is not None
        trio.lowlevel.notify_closing(self._rx)
        self._rx.close()

    async def until(self, requests: int) -> None:
        """Wait until that many requests have arrived."""
        while len(self.ids) < requests:
            await self.changed.wait()

    def _serve(self, data: bytes, peer: Any) -> None:
        try:
            request = json.loads(data)
        except ValueError:
            self._answer(b"400 Parse_error", peer)
            return
        self.ids.append(request["id"])
        act = self.acts.popleft() if self.acts else self.always
        late, self._late = self._late, []
        head = {"jsonrpc": "2.0", "id": request["id"]}
        if act in ("ok", "mute", "late"):
            assert request["method"] == "raise_event"
            event, params = request["params"]
            values = json.loads(params)
            assert all(isinstance(value, str) for value in values.values())
            self.raised.append({"event": event, **values})
            answer = json.dumps({**head, "result": "OK"}).encode()
            if act == "ok":
                self._answer(answer, peer)
            elif act == "late":
                self._late.append((answer, peer))
        elif act == "parse":
            self._answer(b"400 Parse_error", peer)
        elif act != "lost":
            error = {"code": int(act), "message": _ERRORS[act]}
            self._answer(json.dumps({**head, "error": error}).encode(), peer)
        for answer, to in late:
            self._answer(answer, to)
        self.changed.set()
        self.changed = trio.Event()

    def _answer(self, answer: bytes, peer: Any) -> None:
        assert self._tx is not None
        self._tx.sendto(answer, peer)
