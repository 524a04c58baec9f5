"""A client for a test to drive Janus directly, past the bridge: its API (JanusClient) and its admin API (AdminClient).

Must stay independent of ``bridge``: it is the witness that tells what Janus itself says. Strict: what Janus would not
send (binary frames, text that is no JSON, another sub-protocol) fails the test.
"""

import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Self
from urllib.parse import urlsplit

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from tests.support.deadlines import HANG_SECONDS
from tests.support.groups import unwrapped
from tests.support.janus import ADMIN_SECRET, Janus

Message = dict[str, Any]

_CONNECT_SECONDS = HANG_SECONDS
_CLOSE_SECONDS = 0.5
_MAX_MESSAGE = 1 << 26


class JanusError(Exception):
    """Janus answered ``"janus": "error"``."""

    def __init__(self, answer: Message) -> None:
        super().__init__(json.dumps(answer))
        self.answer = answer
        self.code: int = answer["error"]["code"]
        self.reason: str = answer["error"]["reason"]


class _Socket:
    """One WebSocket: numbers requests, pairs answers, keeps what nobody waits for in ``events``."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self._socket = socket
        self._numbers = count(1)
        self._waiting: dict[str, trio.MemorySendChannel[Message]] = {}
        self._backlog: deque[Message] = deque()
        self._arrived = trio.Condition()
        self.closed = trio.Event()

    @classmethod
    @asynccontextmanager
    async def _connected(cls, url: str, protocol: str, tls: ssl.SSLContext | None) -> AsyncIterator[Self]:
        where = urlsplit(url)
        assert where.hostname is not None
        assert where.port is not None
        with trio.fail_after(_CONNECT_SECONDS):
            tcp = await trio.open_tcp_stream(where.hostname, where.port)
        stream = tcp if tls is None else trio.SSLStream(tcp, tls, server_hostname=where.hostname)
        # The stream is closed here because trio-websocket leaves it open when the peer ends the connection.
        with unwrapped():
            async with stream, trio.open_nursery() as nursery:
                with trio.fail_after(_CONNECT_SECONDS):
                    socket = await wrap_client_stream(
                        nursery,
                        stream,
                        where.netloc,
                        where.path,
                        subprotocols=[protocol],
                        max_message_size=_MAX_MESSAGE,
                    )
                assert socket.subprotocol == protocol
                client = cls(socket)
                nursery.start_soon(client._read)
                yield client
                with trio.move_on_after(_CLOSE_SECONDS):  # a frozen Janus never answers a close
                    await socket.aclose()
                nursery.cancel_scope.cancel()

    async def _read(self) -> None:
        while True:
            try:
                text = await self._socket.get_message()
            except ConnectionClosed:
                break
            assert isinstance(text, str), "Janus sent a binary frame"
            message: Message = json.loads(text)
            waiter = self._waiting.get(str(message.get("transaction")))
            if waiter is not None:
                await waiter.send(message)
                continue
            async with self._arrived:
                self._backlog.append(message)
                self._arrived.notify_all()
        self.closed.set()
        for waiter in self._waiting.values():
            waiter.close()
        async with self._arrived:
            self._arrived.notify_all()

    async def send_text(self, text: str) -> None:
        """Send as it is, without awaiting anything."""
        await self._socket.send_message(text)

    async def request(self, message: Mapping[str, Any], *, final: bool = True) -> Message:
        """The answer to one request; ``final``: pass over the ``ack`` of a plugin message. Raises JanusError."""
        transaction = str(message.get("transaction", f"client-{next(self._numbers)}"))
        send, receive = trio.open_memory_channel[Message](16)
        self._waiting[transaction] = send
        try:
            await self.send_text(json.dumps({**message, "transaction": transaction}))
            async for answer in receive:
                if answer["janus"] == "error":
                    raise JanusError(answer)
                if answer["janus"] == "ack" and final and message["janus"] == "message":
                    continue
                return answer
        finally:
            del self._waiting[transaction]
        raise ConnectionError("Janus closed the connection before it answered")

    async def next_event(self, **members: Any) -> Message:
        """The oldest message that answers no request and whose top-level members are these; it is taken out."""
        async with self._arrived:
            while True:
                for event in self._backlog:
                    if event.items() >= members.items():
                        self._backlog.remove(event)
                        return event
                if self.closed.is_set():
                    raise ConnectionError("Janus closed the connection before the event came")
                await self._arrived.wait()

    @property
    def events(self) -> list[Message]:
        """What arrived unasked and was not taken yet, oldest first."""
        return list(self._backlog)


class JanusClient(_Socket):
    """A connection to the API port; every method raises JanusError on an error answer."""

    secrets: Mapping[str, str] = {}  # "apisecret" or "token", added to every request

    @classmethod
    @asynccontextmanager
    async def open(
        cls, janus: Janus | str, *, tls: ssl.SSLContext | None = None, **secrets: str
    ) -> AsyncIterator["JanusClient"]:
        url = (
            (janus if isinstance(janus, str) else janus.url)
            .replace("januswss://", "wss://")
            .replace("janusws://", "ws://")
        )
        async with cls._connected(url, "janus-protocol", tls) as client:
            client.secrets = secrets
            yield client

    async def request(self, message: Mapping[str, Any], *, final: bool = True) -> Message:
        return await super().request({**message, **self.secrets}, final=final)

    async def info(self) -> Message:
        return await self.request({"janus": "info"})

    async def create(self, session: int | None = None) -> int:
        answer = await self.request({"janus": "create"} | ({} if session is None else {"id": session}))
        created: int = answer["data"]["id"]
        return created

    async def claim(self, session: int) -> None:
        await self.request({"janus": "claim", "session_id": session})

    async def destroy(self, session: int) -> None:
        await self.request({"janus": "destroy", "session_id": session})

    async def keepalive(self, session: int) -> None:
        await self.request({"janus": "keepalive", "session_id": session})

    async def attach(self, session: int, plugin: str) -> int:
        answer = await self.request({"janus": "attach", "session_id": session, "plugin": plugin})
        handle: int = answer["data"]["id"]
        return handle

    async def detach(self, session: int, handle: int) -> None:
        await self.request({"janus": "detach", "session_id": session, "handle_id": handle})

    async def message(self, session: int, handle: int, body: Mapping[str, Any], *, final: bool = True) -> Message:
        """The whole answer: a ``success``, the first ``event``, or (without ``final``) whatever comes first."""
        request = {"janus": "message", "session_id": session, "handle_id": handle, "body": dict(body)}
        return await self.request(request, final=final)


class AdminClient(_Socket):
    """A connection to the admin port."""

    @classmethod
    @asynccontextmanager
    async def open(cls, janus: Janus) -> AsyncIterator["AdminClient"]:
        async with cls._connected(janus.admin_url, "janus-admin-protocol", None) as client:
            yield client

    async def request(self, message: Mapping[str, Any], *, final: bool = True) -> Message:
        return await super().request({"admin_secret": ADMIN_SECRET, **message}, final=final)

    async def list_sessions(self) -> list[int]:
        sessions: list[int] = (await self.request({"janus": "list_sessions"}))["sessions"]
        return sessions

    async def destroy_session(self, session: int) -> None:
        await self.request({"janus": "destroy_session", "session_id": session})

    async def detach_handle(self, session: int, handle: int) -> None:
        await self.request({"janus": "detach_handle", "session_id": session, "handle_id": handle})

    async def accept_new_sessions(self, accept: bool) -> None:
        await self.request({"janus": "accept_new_sessions", "accept": accept})

    async def set_session_timeout(self, seconds: int, session: int | None = None) -> None:
        """For one session, or (None) for all that have no timeout of their own."""
        request = {"janus": "set_session_timeout", "timeout": seconds}
        await self.request(request | ({} if session is None else {"session_id": session}))

    async def add_token(self, token: str, *plugins: str) -> None:
        """Without plugins the token may use all."""
        await self.request({"janus": "add_token", "token": token} | ({"plugins": list(plugins)} if plugins else {}))

    async def remove_token(self, token: str) -> None:
        await self.request({"janus": "remove_token", "token": token})

    async def connections(self) -> int:
        """How many WebSockets this Janus has, admin ones (this one too) included."""
        query = {
            "janus": "query_transport",
            "transport": "janus.transport.websockets",
            "request": {"request": "connections"},
        }
        connections: int = (await self.request(query))["response"]["connections"]
        return connections
