"""What a Janus says, without sockets: the same messages however they come, in portions, and whoever reads on."""

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.protocol.fragments import DiscardedMessage
from bridge.transport.janus_ws import BATCH, BATCH_BYTES, LONG, MASK_KEYS, READ_SIZE, End, Heard, JanusWebSocket
from bridge.transport.websocket_options import WebSocketOptions
from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, fragments, frame, masked

MESSAGES = (
    frame(TEXT, b"one"),
    frame(PING, b"p"),
    fragments("zwei € 😀".encode(), 3),
    frame(TEXT, b"3" * 126),
    frame(TEXT, b"4" * 70_000),
    frame(TEXT, b"fi", final=False) + frame(PONG, b"") + frame(CONTINUATION, b"ve"),
    frame(TEXT, b""),
    fragments(b"seven" * 2000),
)
TEXTS = ["one", "zwei € 😀", "3" * 126, "4" * 70_000, "five", "", "seven" * 2000]


def opened(window: int = READ_SIZE, **options: int) -> JanusWebSocket:
    return JanusWebSocket(WebSocketOptions(**options), "test", window)  # type: ignore[arg-type]


class Stream:
    """What stands in the kernel, and who reads from it."""

    def __init__(self, window: int = READ_SIZE) -> None:
        self.websocket = opened(window)
        self.kernel = b""
        self.heard: list[Heard] = []
        self.reads = 0

    def read(self) -> bool:
        """One portion; whether there may be more."""
        data = self.kernel[:READ_SIZE]
        heard, used, more = self.websocket.read(data)
        self.kernel = self.kernel[used:]
        self.heard += heard
        self.reads += 1
        return used > 0 and (more or len(data) == READ_SIZE)

    def come(self, data: bytes) -> None:
        self.kernel += data
        while self.read():
            pass

    @property
    def pongs(self) -> int:
        """Bytes of them."""
        return sum(len(item) for item in self.heard if isinstance(item, bytes))

    @property
    def texts(self) -> list[str]:
        return [item for item in self.heard if isinstance(item, str)]


@settings(max_examples=60)
@given(cuts=st.lists(st.integers(1, 3000), max_size=60))
def test_any_cut_of_the_bytes_gives_the_same_messages(cuts: list[int]) -> None:
    wire, stream = b"".join(MESSAGES), Stream()
    for cut in cuts:
        stream.come(wire[:cut])
        wire = wire[cut:]
    stream.come(wire)
    assert stream.texts == TEXTS
    assert not stream.kernel
    assert stream.websocket.between


@st.composite
def replacements(draw: st.DrawFn) -> list[tuple[int, bool]]:
    """Bytes that come, and whether another process reads from then on."""
    return draw(st.lists(st.tuples(st.integers(1, 400), st.booleans()), max_size=40))


@settings(max_examples=60)
@given(said=st.lists(st.sampled_from(MESSAGES), max_size=30), steps=replacements())
def test_another_process_goes_on_at_any_read(said: list[bytes], steps: list[tuple[int, bool]]) -> None:
    """All that the processes share is what stands in the kernel: nothing is lost, said twice or in another order."""
    said = [one for one in said if len(one) < READ_SIZE]
    wire, stream = b"".join(said), Stream()
    for cut, replaced in steps:
        stream.kernel += wire[:cut]
        wire = wire[cut:]
        stream.read()
        assert stream.websocket.between
        if replaced:
            stream.websocket = opened()
    stream.come(wire)
    whole = Stream()
    whole.come(b"".join(said))
    assert stream.texts == whole.texts
    assert stream.pongs == whole.pongs


def test_a_process_dies_within_a_read_that_it_did_not_hand_on() -> None:
    """Each portion is taken by itself: what another one finds begins with a message."""
    stream = Stream()
    stream.kernel = b"".join(frame(TEXT, b"%d" % number) for number in range(200)) + frame(TEXT, b"half")[:3]
    for _ in range(4):
        stream.websocket = opened()
        stream.read()
    assert stream.texts == [str(number) for number in range(200)]
    assert stream.kernel == frame(TEXT, b"half")[:3]


# Portions


def test_a_portion_has_so_many_frames() -> None:
    stream = Stream()
    stream.kernel = frame(TEXT, b"x") * 1000
    assert stream.read()
    assert len(stream.heard) == stream.websocket.frames == BATCH
    stream.come(b"")
    assert (len(stream.heard), stream.reads) == (1000, 16)


@pytest.mark.parametrize(
    "wire",
    [frame(PING, b""), frame(PING, b"") + frame(TEXT, b""), fragments(b"xy", 1)],
    ids=["pings", "both", "fragments"],
)
def test_a_portion_for_the_engine_has_so_many_frames(wire: bytes) -> None:
    stream = Stream()
    stream.kernel = wire * 1000
    while stream.kernel:
        before = len(stream.kernel)
        assert stream.read() or not stream.kernel
        assert before - len(stream.kernel) <= BATCH * len(wire)


def test_a_portion_has_so_many_bytes_and_a_message() -> None:
    one = frame(TEXT, b"x" * 5000)
    stream = Stream()
    stream.kernel = one * 10
    stream.read()
    assert len(one) * len(stream.texts) == BATCH_BYTES // len(one) * len(one) + len(one)


@pytest.mark.parametrize("size", [None, 2800])
def test_a_long_message_is_the_last_of_its_portion(size: int | None) -> None:
    """Its reader waits for it, and what is behind it stays where it is."""
    text = b"x" * (LONG + 1)
    stream = Stream(window=4096)
    stream.kernel = (frame(TEXT, text) if size is None else fragments(text, size)) + frame(TEXT, b"next")
    while not stream.texts:
        stream.read()
    assert stream.texts == [text.decode()]
    assert stream.kernel == frame(TEXT, b"next")


def test_a_message_of_countless_fragments_is_read_in_portions() -> None:
    stream = Stream()
    stream.kernel = fragments(b"x" * 1000, 1)
    stream.read()
    assert len(stream.kernel) == 3 * (1000 - BATCH)
    assert stream.websocket.frames == BATCH  # though nothing was heard: it was work
    stream.come(b"")
    assert stream.texts == ["x" * 1000]


# What is too long to be left unread


@pytest.mark.parametrize(
    "wire", [frame(TEXT, b"x" * 200_000), fragments(b"x" * 200_000), frame(BINARY, b"x" * 200_000)]
)
def test_what_is_longer_than_the_window_is_read_as_it_comes(wire: bytes) -> None:
    stream = Stream(window=8192)
    behind = frame(TEXT, b"behind")
    sizes = []
    for at in range(0, len(wire), 1000):
        stream.come(wire[at : at + 1000])
        sizes.append(len(stream.kernel))
    assert max(sizes) <= 8192
    assert not stream.websocket.between or not stream.kernel
    stream.come(behind)
    assert stream.websocket.between
    assert stream.heard[-1] == "behind"
    assert len(stream.heard) == 2


def test_what_fits_the_window_is_left_unread_until_it_is_whole() -> None:
    stream = Stream(window=8192)
    wire = fragments(b"x" * 8000)
    for at in range(0, len(wire), 100):
        assert not stream.heard
        assert stream.websocket.between
        assert len(stream.kernel) == at
        stream.come(wire[at : at + 100])
    assert stream.texts == ["x" * 8000]


def test_what_never_gets_whole_is_read_at_the_end() -> None:
    stream = Stream()
    stream.come(frame(TEXT, b"x" * 100)[:50])
    assert stream.websocket.finish(stream.kernel) == []
    stream = Stream()
    stream.come(frame(TEXT, b"\xff" * 100)[:50])
    [end] = stream.websocket.finish(stream.kernel)
    assert isinstance(end, End)
    assert end.reason == "Janus sent invalid UTF-8"


# What ends it

BROKEN = "Janus broke the WebSocket protocol"
NO_TEXT = "Janus sent invalid UTF-8"
ENDS = {
    "invalid UTF-8": (frame(TEXT, b"\xff"), NO_TEXT, 1007),
    "invalid UTF-8 in fragments": (
        frame(TEXT, b"\xe2", final=False) + frame(CONTINUATION, b"x"),
        "Janus sent invalid UTF-8",
        1007,
    ),
    "reserved bits": (frame(TEXT, b"{}", reserved=4), f"{BROKEN}: Reserved bit set unexpectedly", 1002),
    "an unknown opcode": (frame(3, b""), f"{BROKEN}: Invalid opcode 0x3", 1002),
    "a mask": (masked(TEXT, b"x"), f"{BROKEN}: client received unexpected masked frame", 1002),
    "a message in a message": (
        frame(TEXT, b"a", final=False) * 2,
        f"{BROKEN}: expected CONTINUATION, got <Opcode.TEXT: 1>",
        1002,
    ),
    "the middle of a message": (b'"janus":"event","sender":12345}', f"{BROKEN}: Reserved bit set unexpectedly", 1002),
    "a close": (frame(CLOSE, b"\x03\xe8bye"), "Janus closed the WebSocket with code 1000", 1000),
}


@pytest.mark.parametrize("cut", [1, 1000])
@pytest.mark.parametrize(("wire", "reason", "code"), ENDS.values(), ids=ENDS)
def test_what_ends_it_has_its_words_and_its_answer(wire: bytes, reason: str, code: int, cut: int) -> None:
    stream = Stream()
    for data in [frame(TEXT, b"before"), *(wire[at : at + cut] for at in range(0, len(wire), cut))]:
        if not any(isinstance(item, End) for item in stream.heard):
            stream.come(data)
    end = stream.heard[-1]
    assert isinstance(end, End)
    assert (stream.texts, end.reason, end.broken) == (["before"], reason, code != 1000)
    assert _unmasked(end.answer)[:2] == code.to_bytes(2, "big")


def test_after_a_close_nothing_is_said() -> None:
    websocket = opened()
    assert _unmasked(websocket.close()) == b"\x03\xe8"
    assert websocket.close() == b""
    assert websocket.ping() == b""
    [end], _, _ = websocket.read(frame(CLOSE, b"\x03\xe8"))
    assert isinstance(end, End)
    assert (end.reason, end.answer) == ("Janus closed the WebSocket with code 1000", b"")


def _unmasked(data: bytes) -> bytes:
    key = data[2:6]
    return bytes(octet ^ key[place % 4] for place, octet in enumerate(data[6:]))


# Limits


def test_a_whole_frame_over_the_limit_is_not_kept() -> None:
    heard, _, _ = opened(max_message_size=10).read(frame(TEXT, b"x" * 11) + frame(TEXT, b"next"))
    assert heard == [DiscardedMessage("is over max_message_size (10)", "x" * 11, too_large=True), "next"]


def test_keys_are_new_for_each_frame() -> None:
    assert len({next(MASK_KEYS) for _ in range(3000)}) > 2990
    assert {len(key) for key, _ in islice(MASK_KEYS, 10)} == {4}
