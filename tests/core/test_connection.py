"""A connection as the link sees it: what it notes in its record, and what it reports."""

from typing import Any

import pytest
import trio

from bridge.core.connection import JanusConnection
from bridge.protocol.credentials import Credentials
from bridge.protocol.gateway import Gateway
from bridge.protocol.life import Cause, Input, State, Target
from bridge.protocol.roster import ConnectionRecord


class Socket:
    """A WebSocket that is open until it is closed."""

    adopted = False
    number = 0
    last_received = 0.0

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def send_text(self, text: bytes) -> None:
        self.sent.append(text)

    def send_ping(self) -> None:
        self.sent.append(b"ping")

    def close(self) -> None:
        self.closed = True

    async def freeze(self) -> str | None:
        return None


class Bed:
    """A connection, and what it reports. It is its reader and its owner as well."""

    def __init__(self) -> None:
        self.reports: list[Any] = []
        self.record = ConnectionRecord(1, Target(Gateway(1, "gw", "ws://h/", None), Credentials()))
        self.connection = JanusConnection(self.record, self, self)
        self.socket = Socket()

    def text(self, connection: JanusConnection, text: str) -> None: ...

    async def long_text(self, connection: JanusConnection, text: str) -> None: ...

    def refused(self, reason: str, head: str, *, too_large: bool) -> None: ...

    def happened(self, connection: JanusConnection, what: Input, reason: str = "") -> None:
        self.reports.append(what)

    def events_lost(self, reason: str) -> None:
        self.reports.append(reason)

    async def open(self) -> None:
        """It is opened, and ends."""

        async def connect(_gateway: Gateway, _reports: object, opened: Any, _socket: int) -> str:
            opened(self.socket)
            return "reset"

        assert await self.connection.run(connect) == "reset"


@pytest.fixture
def bed() -> Bed:
    return Bed()


async def test_one_that_is_no_longer_wanted_is_closed_as_it_opens(bed: Bed) -> None:
    bed.record.state = State.ENDED
    await bed.open()
    assert bed.socket.closed


async def test_one_that_has_ended_is_not_written_to(bed: Bed) -> None:
    await bed.open()
    assert (bed.reports, bed.socket.closed) == ([Input.OPENED], False)
    bed.connection.send(b"{}")
    bed.connection.ping()
    assert (bed.connection.usable, bed.connection.end_reason, bed.socket.sent) == (False, "reset", [])


def test_frames_are_of_consequence_where_it_was_silent(bed: Bed) -> None:
    bed.connection.on_frames()
    assert bed.reports == []
    bed.record.cause = Cause.SILENCE
    bed.connection.on_frames()
    assert bed.reports == [Input.SPOKE]
    bed.record.stalled = True
    bed.connection.on_frames()
    assert bed.reports == [Input.SPOKE]


def test_a_stall_is_noted_before_it_is_told(bed: Bed) -> None:
    bed.connection.on_stalled()
    assert (bed.record.stalled, bed.connection.usable, bed.reports) == (True, False, [Input.STALLED])


def test_what_makes_no_sense_is_told_as_lost_and_left_alone(bed: Bed) -> None:
    bed.connection.on_out_of_step("Reserved bit set")
    assert (bed.record.stalled, bed.reports) == (True, ["Reserved bit set", Input.STALLED])


async def test_a_keepalive_is_answered_once_and_by_its_own_answer(bed: Bed) -> None:
    connection, now = bed.connection, trio.current_time()
    for before in ("", None, "t1"):
        assert not connection.keepalive_answered(before)
    assert (connection.rtt, bed.record.served) == (None, False)
    connection.keepalive_sent("t1", now - 2)
    connection.keepalive_sent("t2", now - 1)
    assert not connection.keepalive_answered("t1")
    assert connection.keepalive_answered("t2")
    measured = connection.rtt
    assert measured is not None
    assert (measured >= 1, bed.record.served) == (True, True)
    assert not connection.keepalive_answered("t2")
    assert connection.rtt == measured
