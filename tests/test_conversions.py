"""Every conversion of a text from outside is total: numbers of thousands of digits, beyond reals, or in
other scripts' digits are values, or what the door says of what it cannot use. Nothing else is raised.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.config import load
from bridge.core.keepalive import interval
from bridge.errors import BridgeError, ConfigError
from bridge.protocol import codec, jsonrpc, transactions
from bridge.protocol.command import read_command
from bridge.protocol.db_url import parse_db_url
from bridge.protocol.event_answers import read_answer
from bridge.protocol.janus import session_times
from bridge.protocol.janus_url import JanusUrl
from bridge.protocol.mi_address import parse_datagram_address
from bridge.protocol.numbers import read_decimal, read_port
from bridge.protocol.recipe import Parameter, bind
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.http_access import Access
from bridge.transport.http_listener import open_listeners
from bridge.transport.http_messages import HttpRequest
from bridge.transport.http_parser import RequestParser
from bridge.transport.saved_table import SavedTable
from bridge.transport.session_journal import SessionJournal
from bridge.transport.systemd import Notifier
from tests.support.callers import OPERATOR, ask
from tests.support.mi_pairs import core_registry

NUMBERS = [
    "9" * 5000, "1" + "0" * 400, "-1" + "0" * 400, "1e999", "-1e999", "0" * 5000 + "1", "1.5e308", "1" * 19,
    "\u0661\u0662", "\u00b2", "\u2460", " 1", "1 ", "1_0", "+1", "0x1", "", "-", "NaN", "Infinity", "\ud800",
]  # fmt: skip


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _host(number: str) -> object:
    request = HttpRequest("127.0.0.1")
    request.headers[b"host"] = f"127.0.0.1:{number}".encode("utf-8", "surrogatepass")
    return Access().admit(request)


def _head(line: str) -> Callable[[str], object]:
    def parse(number: str) -> object:
        parser = RequestParser(lambda request: None, "127.0.0.1", 100)
        parser.feed(f"POST / HTTP/1.1\r\nHost: h\r\n{line.format(number)}\r\n\r\n".encode("utf-8", "surrogatepass"))
        return parser.ready

    return parse


def _params(kind: Any) -> Callable[[str], object]:
    """As a JSON number where it is one, else as text."""

    def read(number: str) -> object:
        try:
            value = json.loads(number)
        except ValueError:
            value = number
        return bind(((Parameter("p", kind),),), [value])

    return read


DOORS: dict[str, Callable[[str], object]] = {
    "port of a Janus": lambda n: JanusUrl.parse(f"ws://h:{n}/x"),
    "port of a database": lambda n: parse_db_url(f"mysql://u:p@h:{n}/d"),
    "port of a subscriber": lambda n: ReplySocket.parse(f"udp:127.0.0.1:{n}"),
    "port of an MI": lambda n: parse_datagram_address(f"udp:127.0.0.1:{n}"),
    "port of a Host": _host,
    "Content-Length": _head("Content-Length: {}"),
    "chunk": _head("Transfer-Encoding: chunked\r\n\r\n{}"),
    "Retry-After, that nobody reads": _head("Retry-After: {}"),
    "transaction's number": lambda n: transactions.decode(f"jb.s.{n}.o.=1"),
    "string parameter": _params("string"),
    "int parameter": _params("int"),
    "array parameter": lambda n: bind(((Parameter("p", "array"),),), [[n]]),
    "request id": lambda n: jsonrpc.parse(_bytes(f'{{"jsonrpc":"2.0","id":{n},"method":"m","params":[]}}')),
    "command": lambda n: read_command(f'{{"janus":"create","id":{n}}}'),
    "command's session": lambda n: read_command({"janus": "x", "session_id": n, "handle_id": n, "id": n}),
    "message": lambda n: codec.render(codec.widen(codec.parse(f'{{"a":{n}}}'))),
    "integer": codec.integer,
    "answer of a subscriber": lambda n: read_answer(_bytes(f'{{"error":{{"code":{n}}},"id":{n}}}')),
    "WATCHDOG_USEC": lambda n: Notifier({"WATCHDOG_USEC": n}),
    "setting": lambda n: load(None, [f"janus.janus_ping_interval={n}"], {}),
    "integer setting": lambda n: load(None, [f"janus.max_in_flight={n}"], {}),
}  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: ascii(number)[:12])
def test_a_number_is_a_value_or_refused(door: str, number: str) -> None:
    refused: Exception | None = None
    try:
        DOORS[door](number)
    except (BridgeError, ValueError) as exc:
        refused = exc
    # Said by this program, not by int(), float() or a codec.
    assert refused is None or isinstance(refused, BridgeError) or type(refused) is ValueError
    assert "string conversion" not in str(refused)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: ascii(number)[:12])
async def test_an_id_or_a_parameter_never_ends_the_process(number: str) -> None:
    registry = core_registry()
    text = json.dumps(number) if number in ("", "-", "\ud800") else number
    for body in (
        f'{{"jsonrpc":"2.0","id":{text},"method":"log_level","params":[]}}',
        f'{{"jsonrpc":"2.0","id":1,"method":"log_level","params":[{text}, {text}]}}',
        f'{{"jsonrpc":"2.0","id":1,"method":"get_statistics","params":[[{text}]]}}',
    ):
        try:
            answer = await ask(registry, body.encode(), OPERATOR)
        except BridgeError:  # no JSON: each transport answers that in its way
            continue
        assert answer is None or b"Server error" not in answer


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: ascii(number)[:12])
def test_a_saved_file_is_read_or_ignored(tmp_path: Path, number: str) -> None:
    table, journal = tmp_path / "table.json", tmp_path / "sessions.jsonl"
    data = number.encode("utf-8", "surrogatepass")
    table.write_bytes(b'{"format":1,"source":"s","saved_at":%b,"rows":[[%b,"a","b"]]}' % (data, data))
    saved = SavedTable(table, "s").load()
    assert saved is None or saved.saved_at == float(number)
    journal.write_bytes(
        b'{"janus_id":"a","janus_url":"b","session_id":%b,"managed":true,"ended":false}\n%b\n\xff\n' % (data, data)
    )
    SessionJournal(journal).load()


@pytest.mark.parametrize("digits", [1, 20, 400])
def test_times_of_a_janus_are_compared_whatever_their_size(digits: int) -> None:
    assert interval(5.0, session_times({"session-timeout": int("9" * digits)})) == (3.0 if digits == 1 else 5.0)


async def test_a_listeners_port_is_a_number_or_an_error_of_the_configuration() -> None:
    for number in NUMBERS:
        with pytest.raises(ConfigError):
            await open_listeners(f"127.0.0.1:{number or 'x'}")


def test_decimals() -> None:
    assert [read_decimal(text, 100) for text in ("0", "7", "007", "100", "101", "0007", "", "٣", "-1")] == [
        *(0, 7, 7, 100, None, None, None, None, None)
    ]
    assert (read_port("0"), read_port("0", least=0), read_port("65535"), read_port("65536")) == (None, 0, 65535, None)
