"""Routes and status codes of MI over HTTP, with real sockets and raw bytes."""

import re

import pytest
import trio

from bridge.errors import MalformedMessage
from bridge.protocol.jsonrpc import render_error
from bridge.transport.http_ends import HttpLimits
from bridge.transport.http_messages import Reply
from bridge.transport.mi_http import Page
from tests.support.http_peer import Answer, Client, echo, post, serve
from tests.support.mi_pairs import PAIRS, Pair, as_opensips, core_registry

JSON = "Content-Type: application/json\r\n"
HOST = "Host: 127.0.0.1:8889\r\n"


def raw(line: str, *headers: str, body: str = "") -> bytes:
    return (line + "\r\n" + "".join(headers) + "\r\n" + body).encode()


LENGTH2 = "Content-Length: 2\r\n"
TOO_LONG = f"3e9\r\n{1001 * 'x'}"
CHUNKED = "Transfer-Encoding: chunked\r\n"


def typed(value: str) -> bytes:
    return raw("POST /mi HTTP/1.1", HOST, f"Content-Type: {value}\r\n", LENGTH2, body="{}")


# name, request, status, whether the connection goes on
STATUSES = [
    ("a request", raw("POST /mi HTTP/1.1", HOST, JSON, LENGTH2, body="{}"), 200, True),
    ("below the root", raw("POST /mi/ HTTP/1.1", HOST, JSON, LENGTH2, body="{}"), 200, True),
    ("deep below the root", raw("POST /mi/a/b HTTP/1.1", HOST, JSON, LENGTH2, body="{}"), 200, True),
    ("a query", raw("POST /mi?a=/b?c HTTP/1.1", HOST, JSON, LENGTH2, body="{}"), 200, True),
    ("absolute form", raw("POST http://127.0.0.1/mi?a HTTP/1.1", HOST, JSON, LENGTH2, body="{}"), 200, True),
    ("type with charset", typed("application/json; charset=utf-8"), 200, True),
    ("type in capitals", typed("APPLICATION/JSON"), 200, True),
    ("type with a blank before its parameter", typed("application/json ; charset=utf-8"), 200, True),
    ("json-rpc", typed("application/json-rpc"), 415, True),
    ("jsonx", typed("application/jsonx"), 415, True),
    ("text/xml", typed("text/xml"), 415, True),
    ("two types", raw("POST /mi HTTP/1.1", HOST, JSON, JSON, LENGTH2, body="{}"), 415, True),
    ("gzip", raw("POST /mi HTTP/1.1", HOST, JSON, "Content-Encoding: gzip\r\n", LENGTH2, body="{}"), 415, True),
    ("HEAD", raw("HEAD /mi HTTP/1.1", HOST), 405, True),
    ("names in any case", raw("POST /mi HTTP/1.1", HOST.upper(), JSON.lower(), LENGTH2.upper(), body="{}"), 200, True),
    ("no host needed in 1.0", raw("POST /mi HTTP/1.0", JSON, LENGTH2, body="{}"), 200, False),
    ("empty body", raw("POST /mi HTTP/1.1", HOST, JSON, "Content-Length: 0\r\n"), 400, True),
    ("no body", raw("POST /mi HTTP/1.1", HOST, JSON), 400, True),
    ("GET", raw("GET /mi HTTP/1.1", HOST), 405, True),
    ("GET below the root", raw("GET /mi/x HTTP/1.1", HOST), 405, True),
    ("PUT", raw("PUT /mi HTTP/1.1", HOST, JSON, LENGTH2, body="{}"), 406, False),
    ("DELETE", raw("DELETE /mi HTTP/1.1", HOST), 406, False),
    ("OPTIONS", raw("OPTIONS * HTTP/1.1", HOST), 406, False),
    ("CONNECT", raw("CONNECT a:80 HTTP/1.1", HOST), 406, False),
    ("no such method", raw("FETCH /mi HTTP/1.1", HOST), 406, False),
    ("another path", raw("POST /mix HTTP/1.1", HOST, JSON, LENGTH2, body="{}"), 400, True),
    ("capitals in the path", raw("POST /MI HTTP/1.1", HOST, JSON, LENGTH2, body="{}"), 400, True),
    ("no path", raw("GET / HTTP/1.1", HOST), 400, True),
    ("no type", raw("POST /mi HTTP/1.1", HOST, LENGTH2, body="{}"), 415, True),
    ("type text", typed("text/plain"), 415, True),
    ("type form", typed("application/x-www-form-urlencoded"), 415, True),
    ("too long, announced", raw("POST /mi HTTP/1.1", HOST, JSON, "Content-Length: 1001\r\n"), 413, False),
    ("too long, in chunks", raw("POST /mi HTTP/1.1", HOST, JSON, CHUNKED, body=TOO_LONG), 413, False),
    ("long head", raw("POST /mi HTTP/1.1", HOST, "X: " + 40_000 * "x"), 431, False),
    ("two lengths", raw("POST /mi HTTP/1.1", HOST, JSON, LENGTH2, LENGTH2, body="{}"), 400, False),
    ("length and chunks", raw("POST /mi HTTP/1.1", HOST, JSON, LENGTH2, CHUNKED), 400, False),
    ("bare line feeds", b"POST /mi HTTP/1.1\nHost: 127.0.0.1\n\n", 400, False),
    ("no host", raw("POST /mi HTTP/1.1", JSON, LENGTH2, body="{}"), 400, False),
    ("two hosts", raw("POST /mi HTTP/1.1", HOST, HOST, JSON, LENGTH2, body="{}"), 400, False),
    ("two hosts in 1.0", raw("POST /mi HTTP/1.0", HOST, HOST, JSON, LENGTH2, body="{}"), 400, False),
    ("no name in the host", raw("POST /mi HTTP/1.1", "Host: a/b\r\n", JSON, LENGTH2, body="{}"), 400, False),
    ("another host in the target", raw("POST http://a.b/mi HTTP/1.1", HOST, JSON, LENGTH2, body="{}"), 403, False),
    ("host of the target", raw("POST http://[::1]/mi HTTP/1.1", "Host: a.b\r\n", JSON, LENGTH2, body="{}"), 200, True),
    ("a user in the target", raw("POST http://u:p@127.0.0.1/mi HTTP/1.1", HOST, JSON, LENGTH2, body="{}"), 400, False),
    ("https in the target", raw("POST https://127.0.0.1/mi HTTP/1.1", HOST, JSON, LENGTH2, body="{}"), 421, False),
    ("ftp in the target", raw("POST ftp://127.0.0.1/mi HTTP/1.1", HOST, JSON, LENGTH2, body="{}"), 421, False),
    ("chunks in 1.0", raw("POST /mi HTTP/1.0", HOST, JSON, CHUNKED, body="2\r\n{}\r\n0\r\n\r\n"), 400, False),
    ("gzip, chunked", raw("POST /mi HTTP/1.1", HOST, JSON, "Transfer-Encoding: gzip, chunked\r\n"), 501, False),
    ("gzip alone", raw("POST /mi HTTP/1.1", HOST, JSON, "Transfer-Encoding: gzip\r\n"), 400, False),
    ("chunked twice", raw("POST /mi HTTP/1.1", HOST, JSON, CHUNKED, CHUNKED), 400, False),
    ("an unknown Expect", raw("POST /mi HTTP/1.1", HOST, JSON, "Expect: 200-ok\r\n", LENGTH2, body="{}"), 417, False),
    ("a folded header", raw("POST /mi HTTP/1.1", HOST, JSON, "X: a\r\n b\r\n", LENGTH2, body="{}"), 400, False),
    ("a blank before the colon", raw("POST /mi HTTP/1.1", HOST, JSON, "X : a\r\n", LENGTH2, body="{}"), 400, False),
    ("a length of many digits", raw("POST /mi HTTP/1.1", HOST, JSON, f"Content-Length: {'9' * 5000}\r\n"), 400, False),
    ("many zeros", raw("POST /mi HTTP/1.1", HOST, JSON, f"Content-Length: {'0' * 5000}2\r\n", body="{}"), 200, True),
    ("a signed length", raw("POST /mi HTTP/1.1", HOST, JSON, "Content-Length: +2\r\n", body="{}"), 400, False),
    ("a chunk of many digits", raw("POST /mi HTTP/1.1", HOST, JSON, CHUNKED, body="1" * 5000 + "\r\n"), 400, False),
    ("many headers", raw("POST /mi HTTP/1.1", HOST, "a:b\r\n" * 200, JSON, LENGTH2, body="{}"), 431, False),
    ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 406, False),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, False),
    ("HTTP/2.0", raw("POST /mi HTTP/2.0", HOST, JSON, LENGTH2, body="{}"), 505, False),
    ("HTTP/2.0 with an upgrade", raw("GET / HTTP/2.0", HOST, "Connection: upgrade\r\nUpgrade: x\r\n"), 505, False),
    ("HTTP/1.2", raw("POST /mi HTTP/1.2", HOST, JSON, LENGTH2, body="{}"), 505, False),
    ("HTTP/0.9", b"GET /mi\r\n\r\n", 505, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "status", "goes_on"), [case[1:] for case in STATUSES], ids=[c[0] for c in STATUSES]
)
async def test_status(nursery: trio.Nursery, request_: bytes, status: int, goes_on: bool) -> None:
    client = await (await serve(nursery, limits=HttpLimits(max_body=1000))).connect()
    answer = await client.ask(request_)
    assert answer.status == status, answer
    assert answer.header("Connection") == (None if goes_on else "close")
    if goes_on:
        assert (await client.ask(post(b"again"))).body == b"<again>"
    else:
        assert await client.closed()


async def test_the_head_of_an_answer(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    answer = await client.ask(post(b"1"))
    assert [name for name, _ in answer.headers] == ["Date", "Content-Type", "Content-Length"]
    assert answer.header("Content-Type") == "application/json"
    date = answer.header("Date") or ""
    assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} 20\d\d \d\d:\d\d:\d\d GMT", date), date
    closing = await client.ask(post(b"2", "Connection: close"))
    assert [name for name, _ in closing.headers] == ["Date", "Connection", "Content-Type", "Content-Length"]


async def test_empty_answers_are_complete_where_opensips_leaves_them_open(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    for request, status in [(post(b"notify"), 202), (post(b""), 400), (raw("GET /mi HTTP/1.1", HOST), 405)]:
        answer = await client.ask(request)
        assert (answer.status, answer.body) == (status, b"")
        assert answer.header("Content-Type") == "application/json"
        assert answer.header("Content-Length") == "0"


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (raw("POST /x HTTP/1.1", HOST), b"<html><body>Unable to parse URL!</body></html>"),
        (raw("PUT /mi HTTP/1.1", HOST), b"<html><body>Unsupported HTTP request!</body></html>"),
        (raw("POST /mi HTTP/1.1", HOST), b"<html><body>Content-Type has to be application/json</body></html>"),
        (raw("POST /mi HTTP/1.1", HOST, LENGTH2, LENGTH2), b"<html><body>Duplicate Content-Length</body></html>"),
    ],
)
async def test_a_refusal_names_what_is_wrong(nursery: trio.Nursery, request_: bytes, body: bytes) -> None:
    client = await (await serve(nursery)).connect()
    answer = await client.ask(request_)
    assert (answer.body, answer.header("Content-Type")) == (body, "text/html")


async def test_the_root_can_be_another(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery, root="rpc_2")).connect()
    assert (await client.ask(post(path="/rpc_2/x"))).status == 200
    assert (await client.ask(post(path="/mi"))).status == 400


async def test_bytes_that_are_no_json_are_answered_with_200(nursery: trio.Nursery) -> None:
    def malformed(_body: bytes, _caller: object, _answer: object) -> None:
        raise MalformedMessage("no JSON")

    client = await (await serve(nursery, malformed)).connect()
    answer = await client.ask(post(b"hello"))
    assert (answer.status, answer.body) == (200, render_error(MalformedMessage("no JSON"), None))
    assert answer.header("Connection") is None


async def test_opensips_pairs(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery, core_registry().dispatch)).connect()

    async def outcome(pair: Pair) -> tuple[int, bytes | None]:
        answer = await client.ask(post(pair.request))
        return answer.status, as_opensips(answer.body)

    for pair in PAIRS:
        expected = (202, b"") if pair.answer is None else (200, pair.answer)
        assert await outcome(pair) == expected, pair.name


# Pages


def status_page(_query: bytes) -> Reply:
    return Reply(200, b"text/html; charset=utf-8", "grüße".encode())


async def metrics(_query: bytes) -> Reply:
    await trio.lowlevel.checkpoint()
    return Reply(200, b"text/plain; version=0.0.4", b"up 1\n")


def not_ready(_query: bytes) -> Reply:
    return Reply(503, b"text/plain", b"starting\n")


PAGES: dict[str, Page] = {"/": status_page, "/metrics": metrics, "/readyz": not_ready}


async def page_client(nursery: trio.Nursery) -> Client:
    return await (await serve(nursery, echo, pages=PAGES)).connect()


async def get(client: Client, path: str, method: str = "GET") -> Answer:
    await client.send(raw(f"{method} {path} HTTP/1.1", HOST))
    return await client.answer(method)


async def test_pages_by_get(nursery: trio.Nursery) -> None:
    client = await page_client(nursery)
    home = await get(client, "/?a=b")
    assert (home.status, home.body) == (200, "grüße".encode())
    assert home.header("Content-Type") == "text/html; charset=utf-8"
    assert (await get(client, "/metrics")).body == b"up 1\n"
    assert (await get(client, "/readyz")).status == 503
    assert (await get(client, "/metrics/x")).status == 400
    assert (await get(client, "/mi")).status == 405


async def test_head_of_a_page_has_its_length_and_no_body(nursery: trio.Nursery) -> None:
    client = await page_client(nursery)
    answer = await get(client, "/metrics", "HEAD")
    assert (answer.status, answer.header("Content-Length"), answer.body) == (200, "5", b"")
    assert (await get(client, "/metrics")).body == b"up 1\n"


async def test_a_page_takes_nothing_else(nursery: trio.Nursery) -> None:
    client = await page_client(nursery)
    answer = await client.ask(post(path="/metrics"))
    assert (answer.status, answer.header("Allow")) == (405, "GET, HEAD")
    assert (await get(client, "/mi", "HEAD")).status == 405


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (raw("POST /mi HTTP/1.1", HOST, LENGTH2, body="{}"), "HTTP 415: Content-Type has to be application/json"),
        (raw("POST /mi HTTP/1.1", "Host: a.b\r\n", JSON, LENGTH2, body="{}"), "HTTP 403: Without a token"),
        (raw("POST /mi HTTP/1.1", HOST, "Origin: x\r\n", JSON, LENGTH2, body="{}"), "HTTP 403: Requests of web pages"),
        (raw("POST /mi HTTP/1.1", HOST, JSON, "Content-Length: 1048577\r\n"), "HTTP 413: Request body too large"),
        (raw("GET /mi HTTP/1.1", HOST), "HTTP 405: MI is asked by POST"),
        (raw("POST /mi HTTP/1.1", HOST, JSON), "HTTP 400: There is no body"),
        (b"GET / HTTP/1.1\r\nX : y\r\n\r\n", "HTTP 400: Invalid header token"),
        (b"\x16\x03\x01\x02", "HTTP 406"),
    ],
)
async def test_every_refusal_is_told(nursery: trio.Nursery, asked: bytes, said: str) -> None:
    told: list[tuple[str, str]] = []
    served = await serve(nursery, refused=lambda who, reason: told.append((who, reason)))
    await (await served.connect()).ask(asked)
    [(who, reason)] = told
    assert who == "127.0.0.1"
    assert reason.startswith(said)
