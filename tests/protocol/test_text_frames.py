"""Whole text frames are recognised and made, and messages have their ends: compared with the protocol engine."""

from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason

from bridge.protocol.text_frames import (
    ILLEGAL,
    mask_keys,
    message_end,
    only_frame,
    text_fragments,
    text_frame,
    text_frames,
)


def engine(data: bytes, side: ConnectionType = ConnectionType.CLIENT) -> list[str]:
    """What wsproto makes of whole messages."""
    reader = Connection(side)
    reader.receive_data(data)
    parts, messages = "", []
    for event in reader.events():
        if isinstance(event, TextMessage):
            parts += event.data
            if event.message_finished:
                messages.append(parts)
                parts = ""
    return messages


texts = st.lists(st.text(max_size=200) | st.integers(0, 70_000).map(lambda n: "x" * n), max_size=5)


@given(texts, st.integers(0, 10))
def test_whole_frames_are_what_the_engine_reads(messages: list[str], cut: int) -> None:
    server = Connection(ConnectionType.SERVER)
    wire = b"".join(server.send(TextMessage(data=text)) for text in messages)
    wire = wire[: len(wire) - cut] if cut else wire
    payloads, rest, unfinished = text_frames(wire, 0, 100, 1 << 20)
    taken = [payload.decode() for payload in payloads]
    assert taken == messages[: len(taken)]
    assert bool(unfinished) == (
        rest < len(wire) and len(taken) < len(messages) and len(messages[len(taken)].encode()) <= 0xFFFF
    )
    # What is left is for the engine, and it finds everything else there.
    assert taken + engine(wire[rest:]) == engine(wire)


@given(texts, st.sampled_from([b"", b"\x81", b"\x81\x7e\x00\x01d", b"\x89\x00", b"\x81\x7f"]))
def test_the_only_frame_is_the_one_whole_frame_that_is_there(messages: list[str], behind: bytes) -> None:
    server = Connection(ConnectionType.SERVER)
    wire = b"".join(server.send(TextMessage(data=text)) for text in messages) + behind
    payloads, rest, _ = text_frames(wire, 0, 2, 1 << 20)
    assert only_frame(wire) == (payloads[0] if len(payloads) == 1 and rest == len(wire) else None)


def test_a_fragment_a_ping_and_a_masked_frame_are_left_to_the_engine() -> None:
    server, client = Connection(ConnectionType.SERVER), Connection(ConnectionType.CLIENT)
    whole = server.send(TextMessage(data="a"))
    fragment = server.send(TextMessage(data="b", message_finished=False))
    for other in (fragment, server.send(Ping()), client.send(TextMessage(data="c")), b"\x81\x7e\x00\x01d"):
        assert text_frames(other, 0, 10, 1000) == ([], 0, 0)
        assert text_frames(whole + other, 0, 10, 1000) == ([b"a"], len(whole), 0)


@given(st.binary(max_size=300))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    data = b"\x81" + data
    payloads, rest, _ = text_frames(data, 0, 10, 1000)
    assert only_frame(data) == (payloads[0] if len(payloads) == 1 and rest == len(data) else None)
    assert rest <= len(data)
    assert sum(map(len, payloads)) < rest or not payloads
    for fragmented in (False, True):
        at, _, number = message_end(data, 0, fragmented, 10)
        assert at == ILLEGAL or (at >= 2 * number and number <= 10)


def test_a_portion_ends_with_the_frame_that_fills_it() -> None:
    wire = Connection(ConnectionType.SERVER).send(TextMessage(data="ab")) * 10
    assert text_frames(wire, 0, 3, 1000) == ([b"ab"] * 3, 12, 0)
    assert text_frames(wire, 4, 1000, 12) == ([b"ab"] * 3, 16, 0)


def ends(data: bytes) -> list[int]:
    """Where messages end, and control frames outside of them, up to where something is not whole or not legal."""
    found: list[int] = []
    at = 0
    while at < len(data):
        at, fragmented, number = message_end(data, at, False, len(data))
        if at == ILLEGAL or at > len(data) or fragmented or not number:
            return found
        found.append(at)
    return found


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """What a server says: whole messages, in fragments maybe, with control frames between these; and control frames."""
    server = Connection(ConnectionType.SERVER)
    said = []
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from([TextMessage, BytesMessage, Ping, Pong]))
        if kind in (Ping, Pong):
            said.append(bytes(server.send(kind(payload=draw(st.binary(max_size=125))))))
            continue
        sizes = draw(st.lists(st.sampled_from([0, 1, 125, 126, 300, 65_536]), min_size=1, max_size=4))
        wire = b""
        for number, size in enumerate(sizes):
            data = "x" * size if kind is TextMessage else b"x" * size
            wire += server.send(kind(data=data, message_finished=number + 1 == len(sizes)))
            if number + 1 < len(sizes) and draw(st.booleans()):
                wire += server.send(Ping())
        said.append(wire)
    return said


@settings(max_examples=30)
@given(conversations(), st.integers(0, 200))
def test_a_message_ends_where_it_ends(said: list[bytes], cut: int) -> None:
    expected, at = [], 0
    for one in said:
        at += len(one)
        expected.append(at)
    wire = b"".join(said)
    assert ends(wire) == expected
    wire = wire[: max(len(wire) - cut, 0)]
    assert ends(wire) == [end for end in expected if end <= len(wire)]


@settings(max_examples=30)
@given(conversations())
def test_the_fragments_of_a_text_are_what_the_engine_reads(said: list[bytes]) -> None:
    """Of a text alone, and with nothing between them."""
    for wire in said:
        payloads = text_fragments(wire, 0, len(wire))
        if payloads:
            assert [b"".join(payloads).decode()] == engine(wire, ConnectionType.CLIENT)
            assert wire[0] == 1
        else:
            assert wire[0] != 1 or b"\x89" in wire


@settings(max_examples=30)
@given(conversations(), st.lists(st.integers(1, 300), max_size=30))
def test_a_look_goes_on_where_the_last_one_stopped(said: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(said)
    at, fragmented, seen = 0, False, 0
    for cut in [*cuts, len(wire)]:
        seen = min(seen + cut, len(wire))
        number = 1
        while number and at < seen:
            at, fragmented, number = message_end(wire[:seen], at, fragmented, 2)
            assert at != ILLEGAL
    assert (at, fragmented) == (len(wire), False)


heads = st.builds(
    lambda first, second, rest: bytes((first, second)) + rest,
    st.integers(0, 255),
    st.integers(0, 255),
    st.sampled_from([b"", b"\x00\x7e", b"\x00\x7d", bytes(5) + b"\x01\x00\x00", bytes(6) + b"\xff\xff", b"\xff" * 8]),
)


@given(heads, st.booleans())
def test_what_is_not_legal_the_engine_refuses_too(head: bytes, fragmented: bool) -> None:
    """And what is, it does not."""
    data = head + bytes(200)
    at, _, _ = message_end(data, 0, fragmented, 1)
    reader = Connection(ConnectionType.CLIENT)
    reader.receive_data(b"\x01\x00" * fragmented + (data if at == ILLEGAL else data[:at]))
    refused = [event for event in reader.events() if isinstance(event, CloseConnection)]
    if at == ILLEGAL:
        assert refused
    elif head[0] != 0x88:  # a close may be one for its code
        assert not [event for event in refused if event.code != CloseReason.INVALID_FRAME_PAYLOAD_DATA]


@given(texts, st.binary(min_size=4, max_size=4))
def test_what_is_made_the_engine_reads(messages: list[str], key: bytes) -> None:
    wire = b"".join(text_frame(text.encode(), *mask_keys(key)) for text in messages)
    assert engine(wire, ConnectionType.SERVER) == messages


@given((st.integers(0, 300) | st.integers(4090, 4100)).map(lambda n: "x" * n), st.binary(min_size=4, max_size=4))
def test_a_frame_is_masked_with_its_key(text: str, key: bytes) -> None:
    """RFC 6455 5.3: octet i is combined with octet i mod 4 of the key."""
    frame, payload = text_frame(text.encode(), *mask_keys(key)), text.encode()
    start = len(frame) - len(payload)
    assert frame[start - 4 : start] == key
    assert frame[start:] == bytes(octet ^ key[i % 4] for i, octet in enumerate(payload))


@given(st.binary(max_size=40).map(lambda pool: pool[: len(pool) // 4 * 4]))
def test_a_pool_of_random_bytes_is_used_up_key_by_key(pool: bytes) -> None:
    keys = mask_keys(pool)
    assert b"".join(key for key, _ in keys) == pool
    assert [number.to_bytes(4, "little") for _, number in keys] == [key for key, _ in keys]
