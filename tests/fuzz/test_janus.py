"""What a Janus may send: bytes into the WebSocket however they are cut, messages into the link that hears them.

The bytes end the connection or are messages, the same ones for every way to cut them. No message, whatever it claims to
be, takes a session, a command or the link itself away from its owner, and every command still ends.
"""

import json
import logging
from typing import Any

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import BridgeError
from bridge.protocol.fragments import DiscardedMessage
from bridge.protocol.janus_url import JanusUrl
from bridge.transport.janus_connect import upgrade
from bridge.transport.janus_stream import JanusStream
from bridge.transport.janus_ws import End, JanusWebSocket
from bridge.transport.websocket_options import WebSocketOptions
from tests.fuzz.targets import fuzz
from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, accept_key, fragments, frame
from tests.support.json_values import json_texts, values
from tests.support.linkbed import LinkBed, running
from tests.support.ticking_janus import TickingJanus, ticking_bed

LIMITS = WebSocketOptions(max_message_size=60, max_frames=4)

payloads = st.sampled_from([b"", b"{}", b'{"janus":"ack"}', "é€😀".encode(), b"\xff", "é€😀".encode()[:-2], b"x" * 70])
opcodes = st.sampled_from([TEXT, TEXT, TEXT, CONTINUATION, BINARY, PING, PONG, CLOSE, 3, 11])
frames = (
    st.builds(frame, opcodes, payloads, final=st.booleans(), reserved=st.sampled_from([0] * 9 + [4]))
    | st.builds(fragments, payloads, st.integers(1, 3))
    | st.binary(max_size=6)
)
streams = st.lists(frames, max_size=8).map(b"".join)
cuts = st.lists(st.integers(1, 40), max_size=30)


class Reports:
    """What a connection told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def on_long_text(self, text: str) -> None:
        self.on_text(text)

    def on_text(self, text: str) -> None:
        self.told.append(("text", text))

    def on_frames(self) -> None: ...

    def on_refused(self, reason: str, head: str, *, too_large: bool) -> None:
        self.told.append((f"refused {too_large}", reason))

    def on_stalled(self) -> None:
        self.told.append(("stalled", ""))

    def on_out_of_step(self, reason: str) -> None:
        self.told.append(("out of step", reason))


async def heard(stream: bytes, cut: list[int]) -> list[tuple[str, str]]:
    """What comes of these bytes, cut there and then every 41 bytes; the last is how it ended."""
    reports = Reports()
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_upgrade, theirs)
        unread = await upgrade(ours, JanusUrl.parse("ws://127.0.0.1"), LIMITS)
    websocket = JanusStream(ours, unread, LIMITS, reports, "127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send_in_pieces, theirs, stream, [*cut, *[41] * (len(stream) // 41 + 1)])
        reason = await websocket.run()
        nursery.cancel_scope.cancel()
    return [*reports.told, ("end", reason)]


async def _send_in_pieces(peer: trio.abc.HalfCloseableStream, stream: bytes, sizes: list[int]) -> None:
    while stream:
        size = sizes.pop(0)
        piece, stream = stream[:size], stream[size:]
        await peer.send_all(piece)
        await trio.testing.wait_all_tasks_blocked()  # else the next piece is read together with this one
    await peer.send_eof()


async def _upgrade(server: trio.abc.Stream) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        request += await server.receive_some()
    key = next(line[19:] for line in request.decode().split("\r\n") if line.lower().startswith("sec-websocket-key: "))
    answer = (
        f"HTTP/1.1 101 X\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_key(key)}\r\n"
    )
    await server.send_all(answer.encode() + b"Sec-WebSocket-Protocol: janus-protocol\r\n\r\n")


@fuzz
@given(stream=streams, cut=cuts)
def test_any_bytes_are_the_same_messages_however_they_are_cut(stream: bytes, cut: list[int]) -> None:
    whole = trio.run(heard, stream, [len(stream)])
    assert trio.run(heard, stream, cut) == whole
    assert whole[-1][1].isprintable()


def replaced(stream: bytes, cut: list[int], window: int) -> list[tuple[str, str]]:
    """What comes of these bytes where they stand in the kernel, and another process reads on whenever it can."""
    told: list[tuple[str, str]] = []
    kernel, websocket = b"", JanusWebSocket(LIMITS, "test", window)
    for size in [*cut, len(stream)]:
        kernel, stream, used, more = kernel + stream[:size], stream[size:], 1, True
        while used and more:
            if websocket.between:
                websocket = JanusWebSocket(LIMITS, "test", window)
            heard, used, more = websocket.read(kernel)
            kernel = kernel[used:]
            told += [_named(item) for item in heard if not isinstance(item, bytes)]
            if told and told[-1][0] == "end":
                return told
    return [*told, *(_named(item) for item in websocket.finish(kernel) if not isinstance(item, bytes))]


def _named(item: str | DiscardedMessage | End) -> tuple[str, str]:
    match item:
        case End(reason=reason):
            return "end", reason
        case DiscardedMessage(reason=reason, too_large=too_large):
            return f"refused {too_large}", reason
    return "text", item


@fuzz
@given(stream=streams, cut=cuts, window=st.sampled_from([20, 65_536]))
def test_whoever_reads_on_reads_the_same(stream: bytes, cut: list[int], window: int) -> None:
    assert replaced(stream, cut, window) == replaced(stream, [], window)


# Messages

MANAGED = 1000  # TickingJanus's first session
ids = st.sampled_from([MANAGED, str(MANAGED), MANAGED + 1, 7, 0, -1, None, True, 2**64, 1.5])
verbs = st.sampled_from(
    [
        "ack",
        "success",
        "error",
        "event",
        "timeout",
        "detached",
        "hangup",
        "webrtcup",
        "server_info",
        "keepalive",
        "pong",
    ]
)
serials = st.integers(0, 6).map(str) | st.sampled_from(["-1", "٣", "9" * 30, "", "0x1"])
transactions = st.builds(
    "jb.{}.{}.{}.{}".format,
    st.sampled_from(["test", "0", ""]),
    st.sampled_from("cladmxo?"),
    serials,
    st.text(max_size=4),
) | st.sampled_from(["internal", None, 5, "jb.", "jb.test.o.1"])
hostile = st.fixed_dictionaries(
    {},
    optional={
        "janus": verbs | values,
        "session_id": ids,
        "sender": ids,
        "transaction": transactions,
        "error": st.fixed_dictionaries(
            {}, optional={"code": st.sampled_from([458, 459, 403, "458", None]), "reason": values}
        )
        | values,
        "data": st.fixed_dictionaries({}, optional={"id": ids}) | values,
        "plugindata": values,
    },
)
messages = hostile.map(json.dumps) | json_texts


class _Errors(logging.Handler):
    """Collects what the link calls an error: a supervised task that broke."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@fuzz
@given(said=st.lists(messages, max_size=6))
def test_any_messages_leave_the_link_working(said: list[str]) -> None:
    errors = _Errors()
    logger = logging.getLogger("bridge")
    logger.addHandler(errors)
    try:
        trio.run(_say, said, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        logger.removeHandler(errors)
    assert errors.lines == []


async def _say(said: list[str]) -> None:
    janus = TickingJanus()
    async with running(ticking_bed(janus), {"gw": "ws://memory"}) as bed:
        link = await bed.ready()
        outcomes: list[Any] = []
        async with trio.open_nursery() as nursery:
            for command in ({"janus": "create"}, {"janus": "message", "handle_id": 5, "body": {}}, {"janus": "ping"}):
                nursery.start_soon(_ask, bed, command, outcomes)
            for text in said:
                janus.sockets[-1].say(text)
        assert len(outcomes) == 3
        await bed.until(lambda: link.shown_state == "ready" and not link.requests.in_flight)
        assert link.book.managed.session_id in janus.sessions
        outcomes.clear()
        await _ask(bed, {"janus": "attach", "plugin": "p"}, outcomes)
        assert outcomes[0]["janus"] == "success", outcomes


async def _ask(bed: LinkBed, command: dict[str, Any], outcomes: list[Any]) -> None:
    try:
        outcomes.append(await bed.ask(command, 2.0))
    except BridgeError as exc:
        outcomes.append(exc)
