"""Whole text frames are recognised, and nothing else, and made: compared with the protocol engine."""

from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import Ping, TextMessage

from bridge.protocol.text_frames import TextFrames, text_frame, text_frames


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
    payloads, rest, unfinished = text_frames(wire)
    taken = [payload.decode() for payload in payloads]
    assert taken == messages[: len(taken)]
    assert bool(unfinished) == (
        rest < len(wire) and len(taken) < len(messages) and len(messages[len(taken)].encode()) <= 0xFFFF
    )
    # What is left is for the engine, and it finds everything else there.
    assert taken + engine(wire[rest:]) == engine(wire)


def test_a_fragment_a_ping_and_a_masked_frame_are_left_to_the_engine() -> None:
    server, client = Connection(ConnectionType.SERVER), Connection(ConnectionType.CLIENT)
    whole = server.send(TextMessage(data="a"))
    fragment = server.send(TextMessage(data="b", message_finished=False))
    for other in (fragment, server.send(Ping()), client.send(TextMessage(data="c")), b"\x81\x7e\x00\x01d"):
        assert text_frames(other) == ([], 0, 0)
        assert text_frames(whole + other) == ([b"a"], len(whole), 0)


@given(st.binary(max_size=300))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    payloads, rest, _ = text_frames(b"\x81" + data)
    assert rest <= len(data) + 1
    assert sum(map(len, payloads)) < rest or not payloads


@given(texts, st.lists(st.integers(1, 5000), max_size=40))
def test_any_cut_of_whole_frames_gives_the_same_payloads(messages: list[str], cuts: list[int]) -> None:
    server = Connection(ConnectionType.SERVER)
    messages = [text for text in messages if len(text.encode()) <= 0xFFFF]
    wire = b"".join(server.send(TextMessage(data=text)) for text in messages)
    heard: list[bytes] = []
    frames, at = TextFrames(), 0
    for cut in [*cuts, len(wire)]:
        payloads, rest = frames.feed(wire[at : at + cut])
        heard += payloads
        at += cut
        assert rest == b""
    assert [payload.decode() for payload in heard] == messages
    assert not frames.unfinished


@given(texts, st.binary(min_size=4, max_size=4))
def test_what_is_made_the_engine_reads(messages: list[str], key: bytes) -> None:
    wire = b"".join(text_frame(text.encode(), key) for text in messages)
    assert engine(wire, ConnectionType.SERVER) == messages


@given(st.integers(0, 300).map(lambda n: "x" * n), st.binary(min_size=4, max_size=4))
def test_a_frame_is_masked_with_its_key(text: str, key: bytes) -> None:
    """RFC 6455 5.3: octet i is combined with octet i mod 4 of the key."""
    frame, payload = text_frame(text.encode(), key), text.encode()
    start = len(frame) - len(payload)
    assert frame[start - 4 : start] == key
    assert frame[start:] == bytes(octet ^ key[i % 4] for i, octet in enumerate(payload))
