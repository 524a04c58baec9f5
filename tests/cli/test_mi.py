import argparse
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import trio

from bridge.cli import mi
from bridge.core.mi import Command, MiRequest
from bridge.errors import ConfigError
from bridge.protocol.caller import Role
from bridge.protocol.jsonrpc import Abandon, TakeAnswer
from bridge.protocol.recipe import Parameter
from bridge.transport.mi_ask import Reception
from bridge.transport.mi_datagram import open_udp, open_unix, serve_mi_datagram
from tests.cli.conftest import Cli, Http
from tests.support.callers import OPERATOR
from tests.support.mi_pairs import core_registry
from tests.support.ports import free_port

USAGE = "Usage: help mi_cmd - returns information about 'mi_cmd'\n"


def dispatch(body: bytes, _caller: object, answer: TakeAnswer) -> Abandon | None:
    """The core's methods; ``say``, whose result is what it is given; ``long``, whose result is as long as told."""

    def say(call: MiRequest) -> Any:
        return call.arguments["what"]

    def long(call: MiRequest) -> str:
        return "x" * int(call.arguments["length"])

    registry = core_registry()
    registry.add(
        Command("say", "test:say", ((Parameter("what", "any"),),), say, "says", "test", Role.READ_ONLY),
        Command("long", "test:long", ((Parameter("length", "int"),),), long, "says much", "test", Role.READ_ONLY),
    )
    return registry.dispatch(body, OPERATOR, answer)


@pytest.fixture
async def udp(nursery: trio.Nursery) -> str:
    listener = open_udp("127.0.0.1", 0)
    await nursery.start(serve_mi_datagram, listener, Reception(dispatch))
    return listener.name


async def test_a_text_is_printed_bare(cli: Cli, udp: str) -> None:
    assert await cli("mi", "help", "--url", udp) == (0, USAGE, "")


async def test_anything_else_is_printed_as_readable_json(cli: Cli, udp: str) -> None:
    assert await cli("mi", "--url", udp, "which", "log_level") == (
        0,
        json.dumps([[], ["level"], ["level", "pid"]], indent=2) + "\n",
        "",
    )


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        (["which", "ps"], "[[]]"),
        (["which", "command=ps"], "[[]]"),
        (["say", "a=b"], '{"code":-32602,"message":"Invalid params","data":"Named parameters do not match"}'),
        (["say", '{"a":"b=c"}'], '"{\\"a\\":\\"b=c\\"}"'),
        (["say", "-j", '{"what":{"a":[1,null]}}'], '{"a":[1,null]}'),
        (["say", "-j", "[[1]]"], "[1]"),
        (["say", "-3"], '"-3"'),
        (["list_statistics", "commands", "events"], '{"commands":"incremental","events":"incremental"}'),
        (["statistics:list", "core:"], '{"core:timestamp":"non-incremental"}'),
    ],
)
async def test_parameters(cli: Cli, udp: str, arguments: list[str], result: str) -> None:
    code, out, err = await cli("mi", *arguments, "--json", "--url", udp)
    member, expected = ("result", 0) if "code" not in result else ("error", 1)
    assert (code, out, err) == (expected, f'{{"jsonrpc":"2.0","{member}":{result},"id":"1"}}\n', "")


async def test_an_mi_error_is_one_line_and_exit_code_1(cli: Cli, udp: str) -> None:
    line = "janus-bridge mi: -32602 Invalid params: Bad type for parameter 'level'\n"
    assert await cli("mi", "log_level", "x", "--url", udp) == (1, "", line)
    assert await cli("mi", "no_such", "--url", udp) == (
        1,
        "",
        "janus-bridge mi: -32601 Method not found: no such method: see which\n",
    )


async def test_an_answer_too_large_for_a_datagram_is_an_mi_error(cli: Cli, udp: str) -> None:
    assert await cli("mi", "long", "65000", "--url", udp) == (0, "x" * 65000 + "\n", "")
    code, out, err = await cli("mi", "long", "66000", "--url", udp)
    assert (code, out) == (1, "")
    assert err.startswith("janus-bridge mi: 500 Internal error: the answer has 660")
    assert "use MI over HTTP" in err


async def test_no_control_character_reaches_the_terminal(cli: Cli, udp: str) -> None:
    hostile = "\x1b[2J\x9b2J \u202e \ud800 ü"
    code, out, _ = await cli("mi", "say", "-j", json.dumps([hostile]), "--url", udp)
    assert (code, out) == (0, "\\u001b[2J\\u009b2J \\u202e \\ud800 ü\n")
    code, out, _ = await cli("mi", "say", "-j", json.dumps([{"a": hostile}]), "--url", udp, "--json")
    assert json.loads(out)["result"] == {"a": hostile}
    assert out.removesuffix("\n").isprintable()


async def test_over_a_unix_socket(cli: Cli, nursery: trio.Nursery, tmp_path: Path) -> None:
    listener = open_unix(str(tmp_path / "mi"), 0o600, None)
    await nursery.start(serve_mi_datagram, listener, Reception(dispatch))
    assert await cli("mi", "help", "--url", f"unix:{tmp_path}/mi") == (0, USAGE, "")


async def test_over_http(cli: Cli, http: Http) -> None:
    assert await cli("mi", "janus_list", "gw1", "--url", f"http://{http.netloc}") == (0, "OK\n", "")
    assert http.path == "/mi"
    assert http.headers["Content-Type"] == "application/json"
    assert "Authorization" not in http.headers
    assert json.loads(http.body) == {"jsonrpc": "2.0", "id": "1", "method": "janus_list", "params": ["gw1"]}


async def test_a_token_goes_in_the_header(cli: Cli, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://{http.netloc}/other/path?q=1"
    monkeypatch.setenv(mi.TOKEN_VARIABLE, "from-environment")
    assert (await cli("mi", "which", "--url", url))[0] == 0
    assert (http.headers["Authorization"], http.path) == ("Bearer from-environment", "/other/path?q=1")
    assert (await cli("mi", "which", "--url", url, "--token", "from-option"))[0] == 0
    assert http.headers["Authorization"] == "Bearer from-option"


@pytest.mark.parametrize(
    ("status", "answer", "line"),
    [
        (401, b"", "wants a token, or another one (--token, or better JANUS_BRIDGE_MI__TOKEN)"),
        (500, b"", "500 Internal Server Error"),
        (200, b"<html>", "the answer is not JSON-RPC (Expecting value: line 1 column 1 (char 0)): is this an MI?"),
        (200, b"[]", "the answer is not JSON-RPC (it is not an object): is this an MI?"),
        (200, b"{}", "the answer is not JSON-RPC (neither result nor error): is this an MI?"),
        (200, b'{"error":{"code":1,"message":"a\\nb\\u001b"}}', "1 a b\\u001b"),
    ],
)
async def test_other_answers_are_one_line_and_exit_code_1(
    cli: Cli, http: Http, status: int, answer: bytes, line: str
) -> None:
    http.status, http.answer = status, answer
    code, out, err = await cli("mi", "which", "--url", f"http://{http.netloc}/mi")
    assert (code, out) == (1, "")
    assert err.endswith(f"{line}\n")
    assert err.count("\n") == 1


async def test_nothing_answered_is_exit_code_3(cli: Cli, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"udp:127.0.0.1:{silent.getsockname()[1]}"
        expected = (3, "", f"janus-bridge mi: {url}: no answer within 0.05 s\n")
        assert await cli("mi", "which", "--url", url, "--timeout", "0.05") == expected
    for scheme in ("udp:", "http://"):
        url = f"{scheme}127.0.0.1:{free_port()}"  # which nobody else takes meanwhile
        assert await cli("mi", "which", "--url", url) == (3, "", f"janus-bridge mi: {url}: Connection refused\n")
    url = f"unix:{tmp_path}/none"
    assert await cli("mi", "which", "--url", url) == (3, "", f"janus-bridge mi: {url}: No such file or directory\n")
    assert (await cli("mi", "which", "--url", "http://no..such/mi"))[0] == 3


async def test_a_connection_that_is_closed_is_no_answer(cli: Cli, nursery: trio.Nursery) -> None:
    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.aclose()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, hang_up, listeners)
    url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/mi"
    code, _, err = await cli("mi", "which", "--url", url)
    assert (code, err.startswith(f"janus-bridge mi: {url}: no HTTP answer: ")) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--url", "ftp://h/"], "is none of http(s)://HOST[:PORT][/PATH], udp:HOST:PORT and unix:PATH"),
        (["--url", "http://"], "is not of the form http(s)://HOST[:PORT][/PATH]"),
        (["--url", "http://user:pw@h/"], "is not of the form http(s)://HOST[:PORT][/PATH]"),
        (["--url", "http://h:99999/"], "host or port cannot be read"),
        (["--url", "http://h/a b"], "has a blank, a control or a non-ASCII character"),
        (["--url", "https://h/", "--ca", "/no/such/file"], "No such file or directory"),
        (["--url", "unix:/mi", "--ca", "/ca.pem"], "--ca /ca.pem is for https, and unix:/mi is not"),
        (["--token", "two\nlines"], "the token must be printable ASCII without blanks"),
        (["--timeout", "0"], "--timeout 0: must be above 0 and at most 3600 s"),
        (["--timeout", "nan"], "--timeout nan: must be above 0 and at most 3600 s"),
        (["-j", "{"], "-j is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (["-j", "[NaN]"], "-j is not JSON: NaN is not a JSON number"),
        (["-j", "5"], "-j: must be a JSON array or object"),
        (["word", "-j", "[]"], "give the parameters either by -j or as PARAMs"),
    ],
)
async def test_usage_is_exit_code_2(cli: Cli, arguments: list[str], line: str) -> None:
    code, out, err = await cli("mi", "which", *arguments)
    assert (code, out) == (2, "")
    assert err.endswith(f"{line}\n")
    assert err.count("\n") == 1


def test_connection_arguments_serve_other_subcommands_too() -> None:
    parser = argparse.ArgumentParser()
    mi.add_connection_arguments(parser)
    assert mi.connect(parser.parse_args([]), {}).url == "http://127.0.0.1:8889/mi"
    with pytest.raises(ConfigError):
        mi.connect(parser.parse_args(["--url", "x"]), {})
