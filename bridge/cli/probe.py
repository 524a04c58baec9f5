"""A visit to one Janus for ``check --connect``: what it says of itself, and whether it lets the bridge in.

Owns the conversation (``info``, ``create``, and what a session needs) and what it means for the bridge. Must not know
how findings are shown. Authority: the Janus manual, "Plugin API" and janus.jcfg's session_timeout and
reclaim_session_timeout.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.cli.check_cluster import Finding, of_gateway
from bridge.config import Config
from bridge.core.connection import WebSocket
from bridge.daemon.gateways import Gateways
from bridge.errors import ConnectFailed, MalformedMessage
from bridge.protocol import codec
from bridge.protocol.codec import JsonObject
from bridge.protocol.gateway import Gateway
from bridge.transport.batch import Batch

# What the bridge asks of a session, and what it means where a server speaks the Janus API without it.
NEEDED = {
    "keepalive": "every session ends after its session-timeout",
    "claim": "a lost connection, and a restart of the bridge, ends every call on it; janus_reconnect changes nothing",
    "destroy": "what the bridge no longer needs lives until its session-timeout",
}
DEADLINE = 5.0  # seconds for each answer; connecting has its own deadlines


class JanusProbe:
    """One connection, one question at a time. core.connection.Reports."""

    def __init__(self, config: Config, gateway: Gateway) -> None:
        self._batch = Batch()
        self._gateways = Gateways(config, self._batch)
        self._gateway = gateway
        self._config = config
        self._websocket: WebSocket | None = None
        self._answers: list[JsonObject] = []
        self._news = AutoResetEvent()
        self._end: str | None = None

    async def findings(self) -> list[Finding]:
        """What there is to say. Ends by itself, whatever Janus does."""
        found: list[Finding] = []
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._batch.run)
                nursery.start_soon(self._connect)
                try:
                    async for finding in self._converse():
                        found.append(finding)
                except ConnectFailed as exc:
                    found.append(("error", exc.reason))
                nursery.cancel_scope.cancel()
        finally:
            self._batch.close()
        return found

    async def _connect(self) -> None:
        try:
            self._end = await self._gateways.connect(self._gateway, self, self._opened, 0)
        except ConnectFailed as exc:
            self._end = exc.reason
        self._news.set()

    def _opened(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._news.set()

    async def _converse(self) -> AsyncIterator[Finding]:
        while self._websocket is None:
            await self._something()
        info = await self._ask({"janus": "info"})
        if info.get("janus") != "server_info":
            yield "error", "the answer to info is not that of a Janus: does its URL lead elsewhere?"
            return
        for finding in judge(info, self._config.janus.janus_ping_interval):
            yield finding
        for finding in of_gateway(self._config, self._gateway.janus_id, info):
            yield finding
        plugins = info.get("plugins")
        self._gateways.credentials(self._gateway.janus_id).grant(sorted(plugins) if isinstance(plugins, dict) else ())
        answer = await self._ask({"janus": "create"})
        if answer.get("janus") != "success":
            yield "error", f"refuses a session: {_reason(answer)}"
            return
        yield "ok", "creates sessions"
        session_id = _member(answer, "data", "id")
        for verb, without in NEEDED.items():
            try:
                answer = await self._ask({"janus": verb, "session_id": session_id})
            except ConnectFailed:
                if self._end is not None:
                    raise
                yield "warning", f"does not answer {verb}: {without}"
            else:
                if answer.get("janus") not in ("success", "ack"):
                    yield "warning", f"cannot {verb} ({_reason(answer)}): {without}"

    async def _ask(self, request: JsonObject) -> JsonObject:
        assert self._websocket is not None
        self._answers.clear()
        request["transaction"] = "check"
        if request["janus"] != "info":
            self._gateways.credentials(self._gateway.janus_id).apply(request)
        self._websocket.send_text(codec.render_bytes(request))
        with trio.move_on_after(DEADLINE):
            while not self._answers:
                await self._something()
            return self._answers[0]
        raise ConnectFailed(f"connected, but {request['janus']} was not answered within {DEADLINE:g} s")

    async def _something(self) -> None:
        if self._end is not None:
            raise ConnectFailed(self._end)
        await self._news.wait()

    async def on_long_text(self, text: str) -> None:
        self.on_text(text)

    def on_text(self, text: str) -> None:
        try:
            message = codec.parse(text)
        except MalformedMessage:
            return
        if isinstance(message, dict) and message.get("transaction") == "check":
            self._answers.append(message)
            self._news.set()

    def on_frames(self) -> None: ...

    def on_refused(self, reason: str, head: str, *, too_large: bool) -> None: ...

    def on_stalled(self) -> None: ...

    def on_out_of_step(self, reason: str) -> None: ...


def judge(info: JsonObject, ping_interval: float) -> Iterator[Finding]:
    """What a Janus's ``server_info`` means for the bridge; ``ping_interval`` in seconds, as configured."""
    version: Any = info.get("version_string", "?")
    timeout, reclaim = info.get("session-timeout"), info.get("reclaim-session-timeout")
    if timeout is None and reclaim is None:
        yield "ok", f"{info.get('name', 'a server')} {version} answers, without its time limits: not Janus itself"
        return
    yield "ok", f"Janus {version} answers; session-timeout {timeout} s, reclaim-session-timeout {reclaim} s"
    if info.get("accepting-new-sessions") is False:
        yield "warning", "does not accept new sessions: set accept_new_sessions by its Admin API"
    if not isinstance(reclaim, int) or reclaim <= 0:
        yield (
            "warning",
            "reclaim-session-timeout is 0: a lost connection ends every call on it, as does the death of the bridge's "
            "machine, or a restart outside its unit (reclaim_session_timeout in its janus.jcfg)",
        )
        return
    # Janus counts from the session's last request, which is up to one keepalive interval ago.
    interval = min(ping_interval, reclaim / 3)
    yield "ok", f"sessions survive a lost connection, or an outage of the bridge, of up to {reclaim - interval:.0f} s"


def _reason(answer: JsonObject) -> str:
    return f"{_member(answer, 'error', 'code')} {_member(answer, 'error', 'reason')}"


def _member(message: JsonObject, outer: str, inner: str) -> Any:
    value = message.get(outer)
    return value.get(inner) if isinstance(value, dict) else None
