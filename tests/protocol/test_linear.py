"""Every parser of outside bytes does work in proportion to what it gets: eight times the bytes, at most ten times the
steps (tests/support/work.py), whatever the bytes are and however they are cut.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from bridge.errors import BridgeError
from bridge.protocol import (
    codec,
    command,
    db_url,
    event_answers,
    fragments,
    framing,
    janus_url,
    jsonrpc,
    mi_address,
    numbers,
    offence,
    opensips_lex,
    reply_socket,
    text_frames,
    transactions,
)
from bridge.protocol.budget import Budget, Holding
from bridge.transport import http_access, http_head, http_parser, janus_ws, saved_table, session_journal
from bridge.transport.websocket_options import WebSocketOptions
from tests.support.work import Bytes, Text, counting

SIZE = 512  # bytes of the smaller input
TIMES, AT_MOST = 8, 10


def steps(parse: Callable[[bytes], Any], data: bytes) -> int:
    modules = (framing, event_answers, codec)
    with counting(*modules) as spent:
        with suppress(BridgeError, ValueError):
            parse(Bytes(data))
        return spent()


def pieces(feed: Callable[[bytes], Any], size: int) -> Callable[[bytes], None]:
    def parse(data: bytes) -> None:
        for at in range(0, len(data), size):
            feed(data[at : at + size])

    return parse


def fifo(data: bytes) -> None:
    list(framing.split_fifo(data))


def splitter(size: int) -> Callable[[bytes], None]:
    def parse(data: bytes) -> None:
        pieces(event_answers.ObjectSplitter().feed, size)(data)

    return parse


def filled(unit: bytes, size: int) -> bytes:
    return unit * (size // len(unit))


FIFO = [b"\n::{", b'\n::{"', b"\n:", b":", b"\n:x:[1,", b"::{}", b"x", b"\n", b'::{"\\', b'"', b"\n::{}x"]
OBJECTS = [b"{}", b"{", b'{"', b'"\\', b'{"id":1}', b" ", b'{"a":"\\"', b"\\", b"{} \n"]


@pytest.mark.parametrize("unit", FIFO)
def test_fifo(unit: bytes) -> None:
    assert steps(fifo, filled(unit, SIZE * TIMES)) <= AT_MOST * steps(fifo, filled(unit, SIZE))


@pytest.mark.parametrize("cut", [1, 2, 1 << 20])
@pytest.mark.parametrize("unit", OBJECTS)
def test_stream_answers(unit: bytes, cut: int) -> None:
    parse = splitter(cut)
    start = b'{"a":"' if not unit.startswith(b"{") else b""
    assert steps(parse, start + filled(unit, SIZE * TIMES)) <= AT_MOST * steps(parse, start + filled(unit, SIZE))


class Shape(NamedTuple):
    """``modules`` are those whose tools are counted; inputs are ``head``, a unit again and again, ``tail``."""

    parse: Callable[[Any], Any]
    modules: tuple[ModuleType, ...]
    units: tuple[str, ...]
    head: str = ""
    tail: str = ""


def http(cut: int) -> Callable[[bytes], None]:
    def parse(data: bytes) -> None:
        parser = http_parser.RequestParser(lambda request: None, "127.0.0.1", 1 << 20)

        def feed(piece: bytes) -> None:
            if not parser.stopped:
                parser.feed(piece)

        pieces(feed, cut)(data)

    return parse


def fragments_of(data: str) -> None:
    whole = fragments.Fragments(1 << 20, None, Holding(Budget(1 << 30), "test"))
    for at in range(len(data)):
        whole.add(data[at : at + 1], frame_over=True, message_over=at + 1 == len(data))


def script(data: str) -> None:
    list(opensips_lex.tokens(data))


def host(data: bytes) -> None:
    http_access._foreign.__wrapped__(data)


def whole_text_frames(data: bytes) -> None:
    text_frames.text_frames(data, 0, len(data), len(data))


def whole_messages(data: bytes) -> None:
    at = fragmented = 0
    while 0 <= at < len(data):
        start = at
        at, fragmented, number = text_frames.message_end(data, at, bool(fragmented), 64)
        if not number:
            return
        if not fragmented and 0 <= at <= len(data):
            text_frames.text_fragments(data, start, at)


def frames_in_pieces(size: int) -> Callable[[bytes], None]:
    """What is not whole stays where it is, and is looked at again with each piece: that it is there costs no step."""

    def parse(data: bytes) -> None:
        websocket = janus_ws.JanusWebSocket(WebSocketOptions(max_message_size=1 << 20), "test", janus_ws.READ_SIZE)
        front, every = b"", memoryview(data).tobytes()
        for at in range(0, len(every), size):
            front += every[at : at + size]
            used = more = 1
            while used and more:
                heard, used, more = websocket.read(front)
                front = front[used:]
                if heard and isinstance(heard[-1], janus_ws.End):
                    return

    return parse


def read_from_disk(module: ModuleType, load: Callable[[Path], Any]) -> Callable[[bytes], None]:
    """A file that the state directory has, if it has these bytes; what would be written is not."""

    def parse(data: bytes) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "read_file", lambda path, limit: data)
            patch.setattr(module, "replace_file", lambda path, content: None)
            load(Path("state"))

    return parse


JOURNAL = '{"janus_id":"g","janus_url":"u","session_id":%d,"managed":%s,"ended":%s}\n'
ROWS = '{"format":1,"source":"s","saved_at":1.0,"rows":['
JSON = ("[", "{", '"', "\\", "1", "[],", '{"a":', '"\\u', "-", "1.", '","', " ", "\\\\", '\\"', "tru")
URL = ("a", ":", "@", "/", "?", "%41", "[", ".", "a.", "-", "//", "a@", "%", "1", "::", "#")
REQUEST = "POST /mi HTTP/1.1\r\nHost: h\r\n"
SHAPES = {
    "JSON": Shape(codec.parse, (codec,), JSON, "[", "]"),
    "JSON-RPC": Shape(jsonrpc.parse, (codec, jsonrpc, offence), JSON, '{"id":', "}"),
    "JSON-RPC that is not UTF-8": Shape(jsonrpc.parse, (codec, jsonrpc, offence), ('"a":', '"', ","), "{", "\udcff"),
    "command": Shape(command.read_command, (codec, command, offence), JSON, '{"janus":', "}"),
    "answer of an MI": Shape(event_answers.read_answer, (codec, event_answers), JSON, '{"id":1,"error":', "}"),
    "transaction": Shape(transactions.decode, (transactions, numbers), (".", "=", "%41", "9", "jb."), "jb.s.1.o.="),
    "URL of a Janus": Shape(janus_url.JanusUrl.parse, (janus_url,), URL, "ws://"),
    "URL of a database": Shape(db_url.parse_db_url, (db_url,), (*URL, "unix(", ")"), "mysql://"),
    "URL of a database, hidden": Shape(db_url.redact, (db_url,), URL, "mysql://"),
    "reply socket": Shape(reply_socket.ReplySocket.parse, (reply_socket,), URL, "tcp:"),
    "address of an MI": Shape(mi_address.parse_datagram_address, (mi_address,), URL, "udp:"),
    "opensips.cfg": Shape(
        lambda text: list(opensips_lex.tokens(text)), (opensips_lex,), (*JSON, "/*", "#", "a\n", '"a"', "'")
    ),
    "Host": Shape(host, (http_access,), URL),
    "frames": Shape(whole_text_frames, (text_frames,), ("\udc81\x02ab", "\udc81\x00", "\udc81\x7e\x00\x7e", "a")),
    "messages": Shape(
        whole_messages, (text_frames,), ("\x01\x01a", "\0\x01a", "\udc80\x00", "\udc89\x00", "a"), "\x01\0"
    ),
    **{
        f"frames in pieces of {cut}": Shape(
            frames_in_pieces(cut), (text_frames,), ("a", "\udc81\x02ab", "\0\x01a", "\0\0", "\udc89\0"), head
        )
        for cut in (1, 2, 7)
        for head in ("", "\x01\0", "\udc81\x7e\x7f\x7f")  # a message, and a frame, that are never whole
    },
    "journal of sessions": Shape(
        read_from_disk(session_journal, lambda path: session_journal.SessionJournal(path).load()),
        (session_journal,),
        (*JSON, "\n", "{}\n", "\x85", JOURNAL % (7, "true", "false"), JOURNAL % (7, "false", "true")),
    ),
    "saved table": Shape(
        read_from_disk(saved_table, lambda path: saved_table.SavedTable(path, "s").load()),
        (saved_table,),
        (*JSON, '[1,"g","u"],'),
        ROWS,
        '[1,"g","u"]]}',
    ),
    "fragments of a character": Shape(fragments_of, (fragments,), ("a",)),
    **{
        f"HTTP in pieces of {cut}": Shape(
            http(cut), (http_parser, http_head), ("a", "x:y\r\n", "1\r\nX\r\n", "/", f"{REQUEST}\r\n"), head
        )
        for cut in (1, 2, 1 << 14)
        for head in (REQUEST + "Transfer-Encoding: chunked\r\n\r\n",)
    },
    "HTTP that asks for another protocol": Shape(
        http(1 << 14), (http_parser, http_head), (f"{REQUEST}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",)
    ),
    "HTTP target": Shape(http(1), (http_parser, http_head), ("a", "%41", "?", "//"), "GET /"),
    "HTTP headers": Shape(http(1), (http_parser, http_head), ("x:y\r\n", "a"), REQUEST),
}
TEXTS = (codec.parse, command.read_command, transactions.decode, janus_url.JanusUrl.parse,
         db_url.parse_db_url, db_url.redact, reply_socket.ReplySocket.parse, mi_address.parse_datagram_address,
         fragments_of, script)  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_parser(name: str) -> None:
    shape = SHAPES[name]

    def work(unit: str, size: int) -> int:
        text = shape.head + unit * (size // len(unit)) + shape.tail
        data: Any = (
            Text(text)
            if shape.parse in TEXTS or name == "opensips.cfg"
            else Bytes(text.encode("utf-8", "surrogateescape"))
        )
        with counting(*shape.modules) as spent:
            with suppress(BridgeError, ValueError):
                shape.parse(data)
            return spent()

    for unit in shape.units:
        assert work(unit, SIZE * TIMES) <= AT_MOST * work(unit, SIZE), unit


def again(text: Any) -> None:
    while text:
        text = text[1:]


def growing(text: Any) -> None:
    kept = text[:0]
    for at in range(len(text)):
        kept = kept + text[at : at + 1]
        kept.find("x" if isinstance(text, str) else b"x")


@pytest.mark.parametrize("parse", [again, growing])
@pytest.mark.parametrize("kind", [Bytes, Text])
def test_what_is_not_linear_is_found(parse: Callable[[Any], None], kind: Callable[[Any], Any]) -> None:
    def work(size: int) -> int:
        with counting(codec) as spent:
            parse(kind("a" * size if kind is Text else b"a" * size))
            return spent()

    assert work(SIZE * TIMES) > 2 * AT_MOST * work(SIZE)
