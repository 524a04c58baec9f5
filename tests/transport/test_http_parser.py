"""Bytes -> requests, without a socket: splits, limits, what llhttp does not do by itself."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.transport.http_messages import JSON, Reply
from bridge.transport.http_parser import READ_SIZE, Phase, RequestParser

MAX_BODY = 100
NO = Reply(418, JSON)
NO_AND_CLOSE = Reply(418, JSON, close=True)


def parser_for(answer: Reply | None = None) -> RequestParser:
    return RequestParser(lambda request: answer, "192.0.2.1", MAX_BODY)


def parse(data: bytes, *splits: int, answer: Reply | None = None) -> RequestParser:
    """Feed it as a connection does: piece by piece, nothing once it has stopped."""
    parser = parser_for(answer)
    edges = [0, *sorted(splits), len(data)]
    for start, end in itertools.pairwise(edges):
        for at in range(start, end, READ_SIZE):
            if not parser.stopped:
                parser.feed(data[at : min(end, at + READ_SIZE)])
    return parser


def shown(parser: RequestParser) -> list[object]:
    return [
        (
            request.method,
            request.path,
            request.headers,
            request.body,
            request.keep_alive,
            request.old,
            None if request.refusal is None else request.refusal.status,
        )
        for request in parser.ready
    ]


def statuses(parser: RequestParser) -> list[int | None]:
    return [None if request.refusal is None else request.refusal.status for request in parser.ready]


POST = b"POST /mi?x HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 3\r\n\r\nabc"
CHUNKS = b"POST /mi HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2;e=1\r\nab\r\n1\r\nc\r\n0\r\nT: 1\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\n\r\n"
UPGRADE = (
    b"POST /mi HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n"
)
JAVA = UPGRADE + b"Content-Length: 3\r\n\r\nabc"


def test_a_request() -> None:
    [request] = parse(POST).ready
    assert (request.method, request.path, request.body, request.peer) == (b"POST", b"/mi", b"abc", "192.0.2.1")
    assert request.headers == {b"host": b"h", b"x-a": b"1, 2", b"content-length": b"3"}
    assert request.keep_alive
    assert not request.old


def test_chunks_are_joined_and_trailers_are_no_headers() -> None:
    [request] = parse(CHUNKS).ready
    assert request.body == b"abc"
    assert b"t" not in request.headers


STREAMS = [
    POST + CHUNKS + POST,
    b"\r\n\r\n" + POST + OLD,
    JAVA + POST,
    POST + b"FETCH / HTTP/1.1\r\n\r\n",
    POST.replace(b"3", b"101"),
    POST + b"\x00",
    CHUNKS.replace(b"2;e=1", b"zz"),
    POST.replace(b"Host: h\r\n", b""),
]


@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 300), max_size=8), st.sampled_from([None, NO, NO_AND_CLOSE]))
def test_any_split_gives_the_same_requests(data: bytes, splits: list[int], answer: Reply | None) -> None:
    whole = parse(data, answer=answer)
    split = parse(data, *(at for at in splits if at < len(data)), answer=answer)
    assert shown(split) == shown(whole)
    assert (split.phase, split.stopped) == (whole.phase, whole.stopped)


def test_one_byte_at_a_time() -> None:
    for data in STREAMS:
        assert shown(parse(data, *range(len(data)))) == shown(parse(data)), data


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_give_requests_or_stop(data: bytes, at: int) -> None:
    parser = parse(POST + data, at)
    assert len(parser.ready) >= 1
    assert parser.stopped == any(not request.keep_alive for request in parser.ready)


@pytest.mark.parametrize("phase", [Phase.IDLE, Phase.HEAD, Phase.BODY])
def test_phases(phase: Phase) -> None:
    cut = {Phase.IDLE: len(POST), Phase.HEAD: 30, Phase.BODY: len(POST) - 1}[phase]
    assert parse(POST[:cut]).phase is phase


def test_nothing_follows_the_last_request() -> None:
    parser = parse(OLD + POST)
    assert statuses(parser) == [None]
    assert parser.stopped


def test_a_refusal_that_keeps_the_connection_waits_for_the_body_and_drops_it() -> None:
    parser = parse(POST[:-1], answer=NO)
    assert parser.ready == []
    parser.feed(POST[-1:])
    [request] = parser.ready
    assert (request.refusal, request.body, request.keep_alive, parser.stopped) == (NO, b"", True, False)


def test_a_refusal_that_closes_waits_for_nothing() -> None:
    parser = parse(POST[:-3], answer=NO_AND_CLOSE)
    assert statuses(parser) == [418]
    assert parser.stopped


# Expect: 100-continue

EXPECT = b"POST /mi HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n"


def test_continue_is_due_until_the_body_comes() -> None:
    parser = parse(EXPECT)
    assert parser.continue_due
    parser.feed(b"a")
    assert not parser.continue_due


@pytest.mark.parametrize("data", [EXPECT + b"abc", EXPECT.replace(b"3", b"0"), EXPECT.replace(b"1.1", b"1.0")])
def test_continue_is_not_due(data: bytes) -> None:
    assert not parse(data).continue_due


def test_who_waits_for_continue_gets_the_refusal_instead() -> None:
    parser = parse(EXPECT, answer=NO)
    assert statuses(parser) == [418]
    assert parser.stopped
    assert not parser.continue_due


# Upgrade (RFC 9110 7.8: may be ignored)


def test_an_upgrade_is_ignored_and_its_body_is_kept() -> None:
    parser = parse(JAVA + POST)
    first, second = parser.ready
    assert (first.body, first.keep_alive, first.refusal) == (b"abc", True, None)
    assert b"upgrade" not in first.headers
    assert (second.path, second.body) == (b"/mi", b"abc")


def test_an_upgrade_in_http_1_0() -> None:
    [request] = parse(JAVA.replace(b"1.1", b"1.0")).ready
    assert (request.old, request.body, request.keep_alive) == (True, b"abc", False)


# Limits


def head_of(size: int) -> bytes:
    start, end = b"GET / HTTP/1.1\r\nHost: h\r\nX: ", b"\r\n\r\n"
    return start + b"x" * (size - len(start) - len(end)) + end


@pytest.mark.parametrize("offset", [0, 1, 100, READ_SIZE - 1])
def test_a_head_of_one_read_passes_wherever_it_begins(offset: int) -> None:
    before = (b"\r\n" * READ_SIZE)[:offset]
    assert statuses(parse(before + head_of(READ_SIZE))) == [None]


def test_a_head_of_more_than_two_reads_does_not() -> None:
    parser = parse(head_of(3 * READ_SIZE))
    assert statuses(parser) == [431]
    assert parser.stopped


def test_many_requests_in_one_read_are_no_long_head() -> None:
    count = 5 * READ_SIZE // len(POST)
    assert statuses(parse(POST * count)) == [None] * count


def test_body_at_the_limit_and_beyond() -> None:
    def announced(size: int) -> bytes:
        return b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (size, b"x" * size)

    assert statuses(parse(announced(MAX_BODY))) == [None]
    assert statuses(parse(announced(MAX_BODY + 1))) == [413]


def test_chunks_of_one_byte_up_to_the_limit_and_beyond() -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    [request] = parse(head + b"1\r\nx\r\n" * MAX_BODY + b"0\r\n\r\n").ready
    assert request.body == b"x" * MAX_BODY
    assert statuses(parse(head + b"1\r\nx\r\n" * (MAX_BODY + 1))) == [413]


@pytest.mark.parametrize(
    "endless",
    [b"0\r\nT: " + b"x" * 6 * READ_SIZE, b"0\r\n" + b"T: x\r\n" * READ_SIZE, b"1;" + b"x" * 6 * READ_SIZE],
    ids=["trailer", "trailers", "extension"],
)
def test_what_surrounds_a_body_has_an_end(endless: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert statuses(parse(head + endless)) == [413]


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b"GET / HTTP/1.1", b"/"),
        (b"GET /mi?a?b HTTP/1.1", b"/mi"),
        (b"GET /a%20b HTTP/1.1", b"/a%20b"),
        (b"GET http://h:80/mi?x HTTP/1.1", b"/mi"),
        (b"GET http://h HTTP/1.1", b"/"),
        (b"GET http://h:99999/mi HTTP/1.1", b""),
        (b"OPTIONS * HTTP/1.1", b""),
        (b"CONNECT h:80 HTTP/1.1", b""),
    ],
)
def test_paths(line: bytes, path: bytes) -> None:
    [request] = parse(line + b"\r\nHost: h\r\n\r\n", answer=NO_AND_CLOSE).ready
    assert request.path == path
