"""One connection without a socket: bytes in, bytes out, and what it wants of its wire."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.protocol.budget import Budget, Holding
from bridge.protocol.caller import Caller, Role
from bridge.protocol.jsonrpc import Abandon
from bridge.transport.http_connection import HttpConnection
from bridge.transport.http_ends import Activity, Answerable, HttpLimits
from bridge.transport.http_messages import HttpRequest, KnownHeads, Reply
from bridge.transport.http_parser import READ_SIZE
from tests.support.http_peer import post, split_answers

EVERYTHING = 1 << 30
GET = b"GET /mi HTTP/1.1\r\nHost: h\r\n\r\n"


class Handler:
    """Answers ``<body>`` at once, but for ``slow`` bodies, which wait for ``go``."""

    def __init__(self) -> None:
        self.known: KnownHeads = {}
        self.admitted = 0
        self.asked: list[bytes] = []
        self.left: list[bytes] = []
        self.refusals: list[int] = []
        self.waiting: list[Callable[[], None]] = []

    def admit(self, request: HttpRequest) -> Reply | None:
        self.admitted += 1
        request.caller = Caller(Role.EVERYTHING, request.peer)
        if b"x-no" in request.headers:
            return Reply(415, b"text/html")
        return Reply(403, b"text/html", close=True) if b"origin" in request.headers else None

    def refused(self, _request: HttpRequest, reply: Reply) -> None:
        self.refusals.append(reply.status)

    def respond(self, request: HttpRequest, body: bytes, asker: Answerable) -> Abandon | None:
        assert request.caller.name == "192.0.2.1"
        self.asked.append(body)
        if body == b"fault":
            raise RuntimeError("broken")
        if not body.startswith(b"slow"):
            asker.answer(b"<%b>" % body)
            return None
        self.waiting.append(lambda: asker.answer(b"<%b>" % body))
        return lambda: self.left.append(body)

    def go(self) -> None:
        waiting, self.waiting = self.waiting, []
        for answer in waiting:
            answer()


class Script:
    """A wire under a connection, and the clock. ``room``: bytes that it takes; -1: the peer is gone."""

    def __init__(self, room: int = EVERYTHING, *, budget: Budget | None = None) -> None:
        self.now = 0.0
        self.room = room
        self.unread = False
        self.kernel = b""
        self.sent = b""
        self.eof = self.closed = self.again_asked = self.faults = 0
        self.handler = Handler()
        self.budget = budget or Budget(1 << 30)
        held = Holding(self.budget, "a client")
        self.limits = HttpLimits(max_body=1000)
        self.connection = HttpConnection(self, "192.0.2.1", self.handler, self.limits, held, clock=lambda: self.now)

    def send(self, data: bytes | memoryview) -> int:
        if self.room < 0:
            return -1
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.sent += taken
        return len(taken)

    def send_eof(self) -> None:
        self.eof += 1

    def again(self) -> None:
        self.again_asked += 1

    def close(self) -> None:
        self.closed += 1

    def fault(self) -> None:
        self.faults += 1
        self.connection.end()

    def feed(self, data: bytes) -> "Script":
        """As a wire does it: a read, or a request that waits, in each turn; what is not read waits in the kernel."""
        self.kernel += data
        while True:
            if self.connection.activity is Activity.QUEUED:
                self.connection.go_on()
            elif self.kernel and self.connection.activity in (Activity.READING, Activity.LINGERING):
                read, self.kernel = self.kernel[:READ_SIZE], self.kernel[READ_SIZE:]
                self.unread = bool(self.kernel)
                self.connection.receive(read)
            else:
                return self

    @property
    def bodies(self) -> list[bytes]:
        """Of the answers so far."""
        return [answer.body for answer in split_answers(self.sent)]

    @property
    def left(self) -> float:
        """Seconds that the client has now."""
        return self.connection.deadline - self.now


def test_a_request_is_answered_and_the_next_one_is_waited_for() -> None:
    script = Script().feed(post(b"1"))
    assert script.bodies == [b"<1>"]
    assert (script.connection.activity, script.left) == (Activity.READING, script.limits.idle)


def test_who_pipelines_asks_for_another_turn_for_each_request() -> None:
    script = Script()
    script.connection.receive(post(b"1") + post(b"2") + post(b"3"))
    for number in (1, 2):
        assert (len(script.bodies), script.again_asked) == (number, number)
        assert script.connection.activity is Activity.QUEUED
        script.connection.go_on()
    assert script.bodies == [b"<1>", b"<2>", b"<3>"]
    assert script.connection.activity is Activity.READING


def test_a_slow_answer_has_the_rest_wait_and_bytes_stay_unread() -> None:
    script = Script()
    script.feed(post(b"slow") + post(b"2"))
    assert (script.handler.asked, script.left) == ([b"slow"], float("inf"))
    script.unread = True  # in the kernel
    script.handler.go()
    assert script.connection.activity is Activity.QUEUED
    script.connection.go_on()
    assert script.bodies == [b"<slow>", b"<2>"]
    assert script.again_asked == 2  # for the second request, and to read


def test_who_leaves_while_he_waits_is_forgotten() -> None:
    script = Script().feed(post(b"slow") + post(b"never asked"))
    script.connection.hung_up()
    assert (script.handler.left, script.closed) == ([b"slow"], 1)
    script.connection.end()
    assert script.closed == 1
    assert script.handler.asked == [b"slow"]


def test_who_left_gets_what_needs_no_waiting() -> None:
    script = Script()
    script.connection.hung_up()
    script.feed(post(b"1") + post(b"slow") + post(b"3"))
    assert script.bodies == [b"<1>"]
    assert (script.handler.left, script.closed) == ([b"slow"], 1)


def test_a_part_that_is_not_taken_is_held_and_written_later() -> None:
    script = Script(room=10)
    script.feed(post(b"1"))
    connection = script.connection
    assert (connection.activity, connection.held.size) == (Activity.WRITING, len(connection.unsent))
    assert script.left == script.limits.write
    script.room = 20
    connection.taken(script.send(connection.unsent))
    assert connection.activity is Activity.WRITING
    script.room = EVERYTHING
    connection.taken(script.send(connection.unsent))
    assert (script.bodies, connection.activity, connection.held.size) == ([b"<1>"], Activity.READING, 0)


@pytest.mark.parametrize("when", ["at once", "later", "while it is written"])
def test_a_peer_that_is_gone_ends_it(when: str) -> None:
    script = Script(room=-1 if when == "at once" else 5)
    script.feed(post(b"slow" if when == "later" else b"1"))
    if when == "later":
        script.room = -1
        script.handler.go()
    elif when == "while it is written":
        script.connection.taken(-1)
    assert (script.closed, script.connection.activity, script.budget.used) == (1, Activity.OVER, 0)


def test_an_answer_without_room_ends_its_connection_in_order() -> None:
    script = Script(room=5, budget=Budget(50))
    script.feed(post(b"1"))
    assert (script.eof, script.closed, script.connection.activity) == (1, 0, Activity.LINGERING)
    script.connection.receive(b"")
    assert script.closed == 1


def test_the_close_waits_for_the_client() -> None:
    script = Script().feed(post(b"1", "Connection: close") + post(b"never asked"))
    assert (script.eof, script.closed, script.left) == (1, 0, script.limits.linger)
    script.feed(b"x" * (READ_SIZE + 1))
    assert script.again_asked == 1
    script.connection.receive(b"")
    assert (script.closed, script.handler.asked) == (1, [b"1"])


def test_at_a_stop_all_that_was_asked_is_answered_and_the_last_answer_says_so() -> None:
    script = Script().feed(post(b"slow") + post(b"2"))
    script.connection.finish()
    script.handler.go()
    script.feed(b"")
    assert [answer.header("Connection") for answer in split_answers(script.sent)] == [None, "close"]
    assert (script.bodies, script.eof, script.left) == ([b"<slow>", b"<2>"], 1, script.limits.linger)


def test_at_a_stop_a_request_that_has_begun_is_waited_for() -> None:
    script = Script().feed(post(b"slow") + post(b"2")[:-1])
    script.connection.finish()
    script.handler.go()
    assert (script.eof, script.connection.asks()) == (0, True)
    assert script.feed(b"2").bodies == [b"<slow>", b"<2>"]
    assert (script.eof, split_answers(script.sent)[-1].header("Connection")) == (1, "close")


def test_at_a_stop_what_is_unread_is_waited_for() -> None:
    script = Script().feed(post(b"slow"))
    script.connection.finish()
    script.unread = True
    script.handler.go()
    assert (script.eof, script.connection.asks()) == (0, True)


def test_who_has_just_connected_is_about_to_ask_and_who_has_asked_is_not() -> None:
    script = Script()
    assert script.connection.asks()
    script.now = script.limits.last
    assert not script.connection.asks()
    script = Script().feed(post(b"1"))
    assert not script.connection.asks()
    assert script.feed(b"POST").connection.asks()
    assert not Script().feed(post(b"slow")).connection.asks()


def test_a_request_that_crosses_the_end_finds_its_answer_and_is_not_executed() -> None:
    script = Script().feed(post(b"1"))
    script.connection.part()
    script.feed(post(b"crosses"))
    answer = split_answers(script.sent)[-1]
    assert (answer.status, answer.header("Connection"), script.handler.asked) == (503, "close", [b"1"])
    assert (script.eof, script.closed, script.left) == (1, 0, script.limits.crossing)
    assert script.handler.refusals == []
    script.connection.receive(b"")
    assert script.closed == 1


def test_a_request_that_does_not_come_to_its_end_is_refused_in_time_to_be_read() -> None:
    script = Script().feed(post(b"x" * 900)[:-1])
    script.connection.part()
    assert (split_answers(script.sent)[0].status, script.handler.refusals) == (503, [503])
    assert (script.left, script.budget.used) == (script.limits.linger, 0)
    script.feed(b"x")
    assert script.handler.asked == []


@pytest.mark.parametrize("what", [post(b"slow"), post(b"1", "Connection: close")], ids=["waits", "lingers"])
def test_who_is_answered_is_left_to_it(what: bytes) -> None:
    script = Script().feed(what)
    before = script.sent
    script.connection.part()
    assert (script.sent, script.closed) == (before, 0)


def test_continue_is_said_when_the_body_is_waited_for() -> None:
    script = Script().feed(post(b"1") + post(b"2", "Expect: 100-continue")[:-1])
    assert [answer.status for answer in split_answers(script.sent)] == [200, 100]
    assert script.left == script.limits.body
    assert script.feed(b"2").bodies[2:] == [b"<2>"]


def test_time_is_counted_from_what_is_waited_for() -> None:
    script = Script()
    script.now = 1.0
    assert script.left == script.limits.head - 1
    script.feed(GET[:5])
    assert script.left == script.limits.head
    script.now = 2.0
    script.feed(GET[5:9])
    assert script.left == script.limits.head - 1
    script.feed(GET[9:] + post(b"12")[:-1])
    assert script.left == script.limits.body


def test_who_is_shed_hears_why_and_holds_nothing() -> None:
    script = Script().feed(post(b"x" * 900)[:-1])
    assert script.connection.held.size == 899
    script.connection.shed()
    [answer] = split_answers(script.sent)
    assert (answer.status, answer.header("Retry-After"), script.budget.used) == (503, "1", 0)
    assert script.connection.activity is Activity.LINGERING
    deaf = Script(room=3).feed(post(b"1"))
    deaf.connection.shed()
    assert (deaf.closed, deaf.budget.used) == (1, 0)
    full = Script(room=0).feed(post(b"x" * 900)[:-1])  # as over TLS, where nothing goes out at once
    full.connection.shed()
    assert (full.closed, full.budget.used, full.connection._parser.partial) == (1, 0, 0)


def test_every_503_says_that_nothing_was_done() -> None:
    """Scripts go by these words: they ask another bridge then (opensips-examples/janus-bridge.inc)."""
    stopping, shed, crowded = Script(), Script(), Script(budget=Budget(900))
    stopping.connection.part()
    shed.feed(post(b"x" * 900)[:-1]).connection.shed()
    crowded.feed(post(b"x" * 1000)[:-1])
    for script in (stopping, shed, crowded):
        [answer] = split_answers(script.sent)
        assert (answer.status, script.handler.asked) == (503, [])
        assert b"nothing was done" in answer.body


def test_a_fault_of_a_later_answer_is_that_connections_alone() -> None:
    script = Script().feed(post(b"slow"))

    def fault() -> None:
        raise RuntimeError("broken")

    script.again, script.unread = fault, True  # type: ignore[method-assign]
    script.handler.go()  # does not raise: whoever brings the answer has nothing to do with it
    assert (script.faults, script.closed) == (1, 1)


def test_the_work_is_what_was_read_and_what_is_answered() -> None:
    """So that a large request, whose parsing is to come, has a turn for itself."""
    connection, request = Script().connection, post(b"x" * 900)
    assert connection.receive(request[:-1]) == len(request) - 1
    assert connection.receive(request[-1:]) == 1 + 900
    pipeline = post(b"1") + request
    assert connection.receive(pipeline) == len(pipeline) + 1
    assert connection.go_on() == 900


# Heads that are known


def test_a_head_that_was_let_in_is_not_looked_at_again() -> None:
    script = Script().feed(post(b"1")).feed(post(b"2")).feed(post(b"3"))
    assert (script.bodies, script.handler.admitted) == ([b"<1>", b"<2>", b"<3>"], 1)
    script.handler.known.clear()
    assert script.feed(post(b"4")).handler.admitted == 2


@pytest.mark.parametrize(
    "request_",
    [
        post(b"1", "Origin: x"),
        post(b"1", version="1.0"),
        post(b"1", "Connection: close"),
        post(b"x" * 900, "X: " + "x" * 1024),
        post(b"1", path="http://h/mi"),
        b"POST /mi HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    ],
)
def test_what_is_not_the_same_again_is_not_remembered(request_: bytes) -> None:
    assert Script().feed(request_).handler.known == {}


def test_heads_are_known_up_to_a_number() -> None:
    script = Script()
    for number in range(1500):
        script.feed(post(b"1", f"X: {number}"))
        assert len(script.handler.known) <= 512
    assert len(script.bodies) == 1500


SAME = post(b"a")  # what is known as a rule
PIECES = [
    *(SAME, SAME, SAME + b"\r\n", b"\r\n" + SAME, SAME[:-1], SAME[:-1] + b"b", SAME + b"c", SAME * 2),
    *(post(b""), post(b"slow"), post(b"slow", "X: y"), GET),
    post(b"b", "Expect: 100-continue"),
    post(b"b", "Expect: 100-continue")[:-1],
    post(b"c", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"),
    post(b"d", "Connection: keep-alive", version="1.0"),
    post(b"e", "Origin: x"),
    post(b"e", "X-No: 1"),
    post(b"f", "Connection: close"),
    *(b"\r\n", b"\r\n\r\n", b"x"),
]


@example([SAME, SAME[:-1], b"b"], set())
@example([post(b"e", "X-No: 1")] * 2, set())
@example([b"\r\n\r\n" + SAME, b"\r\n\r\nx"], set())
@settings(max_examples=50)
@given(st.lists(st.sampled_from(PIECES), max_size=8), st.sets(st.integers(0, 700), max_size=3))
def test_known_heads_change_nothing(pieces: list[bytes], cuts: set[int]) -> None:
    """Whatever comes, however it is cut: with heads that are known and without, all that happens is the same."""
    stream = b"".join(pieces)
    edges = sorted({0, *itertools.accumulate(map(len, pieces)), *(cut for cut in cuts if cut < len(stream))})

    def run(forget: Callable[[Script], None]) -> tuple[object, ...]:
        script = Script()
        for start, end in itertools.pairwise(edges):
            forget(script)
            script.feed(stream[start:end])
            script.handler.go()
            script.feed(b"")
        answers = [(answer.status, answer.body, answer.header("Connection")) for answer in split_answers(script.sent)]
        handler = script.handler
        return answers, handler.asked, handler.refusals, script.connection.activity, script.connection.held.size

    assert run(lambda script: None) == run(lambda script: script.handler.known.clear())
