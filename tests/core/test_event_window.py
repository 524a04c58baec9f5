"""Brokers: what is on its way, and what comes again after a fault. In memory, on a mock clock."""

import logging
from collections import deque
from collections.abc import Callable  # noqa: TC003 - of a class attribute

import pytest
import trio
from trio.testing import MockClock

from bridge.core.event_log import EventLog, LogLimits
from bridge.core.event_queue import Gap
from bridge.core.event_sender import QueueLimits
from bridge.core.event_window import WindowDelivery
from bridge.core.stats import Stats
from bridge.protocol.event_delivery import EventRefused, NotSent, NotTaken, Parcel
from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS, Event, janus_event
from bridge.protocol.event_record import EventRecord, Loss, StoreContents
from bridge.protocol.reply_socket import ReplySocket
from tests.support.event_logs import MemoryStore, record
from tests.support.evi_bed import URL

SOCKET = ReplySocket.parse("rabbitmq:h/k")


class MemoryPublisher:
    """A broker that confirms when it is told to. ``sending`` plays the outcomes of those that go alone, then all is
    well; ``window`` is what may be on its way.
    """

    def __init__(self, window: int = 4, sending: list[Exception | None] | None = None) -> None:
        self.wake: Callable[[], None] = lambda: None
        self.patient = False
        self.window = window
        self.is_open = False
        self.trouble: str | None = None
        self.sending = deque(sending or [])
        self.alone: list[int] = []
        self.published: list[int] = []  # in windows
        self.out = 0
        self.news: deque[int | Exception] = deque()
        self.deadline = float("inf")
        self.socket = SOCKET

    def renew(self, socket: ReplySocket) -> None:
        self.socket = socket

    def try_send(self, parcel: Parcel) -> bool:
        return False

    async def send(self, parcel: Parcel, patience: float) -> None:
        await trio.lowlevel.checkpoint()
        self.alone.append(parcel.event.number)
        parcel.sent = True
        if self.sending and (fault := self.sending.popleft()) is not None:
            raise fault
        self.is_open = True

    @property
    def can_publish(self) -> bool:
        return self.is_open and self.out < self.window

    def publish(self, parcel: Parcel) -> None:
        self.published.append(parcel.event.number)
        self.out += 1

    def say(self, *news: int | Exception) -> None:
        self.news.extend(news)
        self.wake()

    def confirmed(self) -> int:
        if not self.news:
            return 0
        news = self.news.popleft()
        if isinstance(news, Exception):
            raise news
        self.out -= news
        if self.news:
            self.wake()
        return news

    def withdraw(self) -> None:
        self.out = 0

    def close(self) -> None:
        self.is_open = False


def event(number: int, name: str = E_JANUS_EVENT) -> Event:
    return Event(name, janus_event("g1", "janusws://h", "{}"), f"p-{number}", number, "g1", f"1-{number}")


class Bed:
    """A delivery, its broker, and what it tells of losses."""

    def __init__(self, publisher: MemoryPublisher, limits: QueueLimits = QueueLimits()) -> None:  # noqa: B008
        self.publisher = publisher
        self.stats = Stats()
        self.notices: deque[Event] = deque()
        self.made = WindowDelivery(SOCKET, publisher, self._announce, self.stats, limits)

    def _announce(self, socket: ReplySocket, gap: Gap) -> list[Event]:
        return [self.notices.popleft()] if self.notices else []

    def put(self, *numbers: int) -> None:
        for number in numbers:
            self.made.put(event(number), trio.current_time())

    async def serve(self, nursery: trio.Nursery, *numbers: int) -> list[object]:
        gone: list[object] = []
        self.put(*numbers)
        nursery.start_soon(self.made.run, gone.append)
        await trio.testing.wait_all_tasks_blocked()
        return gone

    async def say(self, *news: int | Exception) -> None:
        self.publisher.say(*news)
        await trio.testing.wait_all_tasks_blocked()


async def test_the_first_goes_alone_and_a_window_follows(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = Bed(MemoryPublisher(window=4))
    await bed.serve(nursery, *range(10))
    assert (bed.publisher.alone, bed.publisher.published) == ([0], [1, 2, 3, 4])
    await bed.say(2)
    assert bed.publisher.published == [1, 2, 3, 4, 5, 6]
    bed.put(10)
    await bed.say(3, 1)
    assert bed.publisher.published == list(range(1, 11))
    assert bed.made.figures().queued == 4
    await bed.say(4)
    await bed.made.drained()
    assert bed.made.figures() == ("rabbitmq:guest@h:5672/k", 0, 0, 11, {})


async def test_what_comes_while_others_are_on_their_way_does_not_wait_for_them(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bed = Bed(MemoryPublisher(window=4))
    await bed.serve(nursery, 0, 1)
    bed.put(2)
    await trio.testing.wait_all_tasks_blocked()
    assert bed.publisher.published == [1, 2]


async def test_after_a_lost_connection_it_goes_on_with_the_first_that_is_not_confirmed(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bed = Bed(MemoryPublisher(window=4))
    await bed.serve(nursery, *range(8))
    bed.publisher.is_open = False
    bed.publisher.sending.append(NotSent("cannot be reached"))
    await bed.say(2, NotSent("the connection was lost"))
    assert bed.made.trouble() == "cannot be reached"
    await trio.sleep(1)
    assert bed.publisher.alone == [0, 3, 3]
    assert bed.publisher.published == [1, 2, 3, 4, 4, 5, 6, 7]
    await bed.say(4)
    assert bed.made.figures() == ("rabbitmq:guest@h:5672/k", 0, 0, 8, {})
    assert [message.partition("events ")[2] for message in caplog.messages] == [
        "do not arrive: the connection was lost",  # and no more for a minute
    ]


async def test_after_one_was_given_back_all_that_were_on_their_way_go_one_by_one(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bed = Bed(MemoryPublisher(window=4))
    await bed.serve(nursery, *range(8))
    bed.publisher.sending.extend([NotTaken("no queue"), NotTaken("no queue")])
    await bed.say(1, NotTaken("no queue"))
    await trio.sleep(5)
    assert bed.publisher.alone == [0, 2, 2, 2, 3, 4]
    assert bed.publisher.published == [1, 2, 3, 4, 5, 6, 7]
    assert bed.stats.totals()["events_returned"] == 3
    await bed.say(3)
    assert bed.made.figures() == ("rabbitmq:guest@h:5672/k", 0, 0, 8, {})


async def test_what_the_broker_cannot_take_is_lost_alone(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = Bed(MemoryPublisher(window=4))
    await bed.serve(nursery, *range(4))
    bed.publisher.sending.extend([None, EventRefused("refused", "too large")])
    await bed.say(NotTaken("too large"))
    assert bed.publisher.alone == [0, 1, 2, 3]
    assert bed.made.figures() == ("rabbitmq:guest@h:5672/k", 0, 0, 3, {"refused": 1})


async def test_a_gap_is_told_in_its_place(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = Bed(MemoryPublisher(window=8), QueueLimits(queue_events=3))
    bed.notices.append(event(100, E_JANUS_STATUS))
    await bed.serve(nursery, 0, 1, 2, 3)
    assert bed.publisher.published == [1, 2]  # and no further before they are confirmed
    bed.put(4)
    await bed.say(2)
    assert bed.publisher.published == [1, 2, 100]
    await bed.say(1)
    assert bed.publisher.published == [1, 2, 100, 4]
    await bed.say(1)
    assert bed.made.figures() == ("rabbitmq:guest@h:5672/k", 0, 0, 5, {"full": 1})


async def test_from_memory_what_had_no_confirmation_in_time_is_unanswered(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bed = Bed(MemoryPublisher(window=2))
    await bed.serve(nursery, 0, 1, 2, 3)
    await trio.sleep(31)
    bed.publisher.is_open = False
    for parcel in list(bed.made._memory._line)[:2]:
        assert isinstance(parcel, Parcel)
        parcel.sent = True
    await bed.say(NotSent("confirmed nothing"))
    assert bed.made.figures() == ("rabbitmq:guest@h:5672/k", 0, 0, 1, {"unanswered": 2, "age": 1})


async def test_a_broker_that_takes_nothing_for_a_while_is_told_of(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bed = Bed(MemoryPublisher())
    await bed.serve(nursery, 0, 1)
    bed.publisher.trouble = "low on memory"
    await bed.say()
    assert bed.made.trouble() == "low on memory"
    bed.publisher.trouble = None
    await bed.say(1)
    assert bed.made.trouble() is None
    assert [message.partition("events ")[2] for message in caplog.messages] == [
        "do not arrive: low on memory",
        "arrive again after: low on memory",
    ]


async def test_ended_while_something_is_on_its_way_it_waits_for_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bed = Bed(MemoryPublisher())
    gone = await bed.serve(nursery, 0, 1, 2)
    bed.made.retire(True)
    await trio.testing.wait_all_tasks_blocked()
    assert not gone
    await bed.say(2)
    assert gone == [bed.made]


# From the log


def revived(item: EventRecord) -> Event:
    return Event(item.name, item.params, f"p-{item.position}", item.position, item.origin, item.seq)


async def logged(bed: Bed, nursery: trio.Nursery, count: int) -> tuple[EventLog, MemoryStore]:
    """It follows a log of so many events on the disk, of which a page has three."""
    store = MemoryStore()
    store.records = {position: record(position) for position in range(1, count + 1)}
    events = EventLog(store, StoreContents(count), Stats(), 7, LogLimits())
    bed.made.wanted.change({E_JANUS_EVENT: None}, 0, 0)
    bed.made.follow(events.outlet("rabbitmq:guest@h:5672/k", bed.made.drops, 0), revived)
    await bed.serve(nursery)
    return events, store


async def test_a_window_spans_pages_and_the_place_is_that_of_the_first_without_confirmation(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bed = Bed(MemoryPublisher(window=8))
    events, _ = await logged(bed, nursery, 20)
    cursor = events.outlets["rabbitmq:guest@h:5672/k"]
    assert bed.publisher.patient
    assert (bed.publisher.alone, bed.publisher.published) == ([1], list(range(2, 10)))
    assert cursor.state().position == 1
    await bed.say(5)
    assert cursor.state().position == 6
    assert bed.publisher.published == list(range(2, 15))
    bed.publisher.is_open = False
    await bed.say(NotSent("the connection was lost"))
    assert bed.publisher.alone == [1, 7]
    assert cursor.state().position == 7
    await bed.say(8)
    await bed.say(5)
    assert (cursor.state().position, bed.made.figures().queued) == (20, 0)
    events.append(E_JANUS_EVENT, janus_event("g1", "u", '{"n":21}'), "g1", 21)
    await trio.testing.wait_all_tasks_blocked()
    assert bed.publisher.published[-1] == 21


async def test_what_is_cut_off_while_it_is_on_its_way_is_lost_and_told_once(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bed = Bed(MemoryPublisher(window=4))
    bed.notices.append(event(100, E_JANUS_STATUS))
    events, _ = await logged(bed, nursery, 10)
    cursor = events.outlets["rabbitmq:guest@h:5672/k"]
    after = cursor.begin_cut()
    cursor.cut(after, 3, "store_age")  # 2 to 5 are on their way
    cursor.end_cut()
    assert cursor.state().losses == (Loss("g1", URL, "store_age", 2, "7-3", 3),)
    await bed.say(4)  # of what is cut off, too: that is of no interest any more
    assert bed.publisher.published == [2, 3, 4, 5, 100]
    await bed.say(1)
    assert cursor.state().losses == ()
    assert bed.publisher.published == [2, 3, 4, 5, 100, 6, 7, 8, 9]
    await bed.say(4)
    await bed.say(1)
    assert cursor.state().position == 10


async def test_a_record_that_cannot_be_read_in_the_middle_of_a_window(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bed = Bed(MemoryPublisher(window=8))
    store = MemoryStore()
    store.records = {position: record(position) for position in range(1, 7)}
    store.records[4] = EventRecord(4, 0.0, E_JANUS_EVENT, "g1", 7, 4, None, "damaged")
    events = EventLog(store, StoreContents(6), Stats(), 7, LogLimits())
    bed.made.wanted.change({E_JANUS_EVENT: None}, 0, 0)
    bed.made.follow(events.outlet("r", bed.made.drops, 0), revived)
    await bed.serve(nursery)
    assert bed.publisher.published == [2, 3]
    await bed.say(2)
    assert bed.publisher.published == [2, 3, 5, 6]
    await bed.say(2)
    assert (events.outlets["r"].state().position, bed.made.figures().drops) == (6, {"too_large": 1})


async def test_another_password_is_for_the_next_connect(autojump_clock: MockClock) -> None:
    bed = Bed(MemoryPublisher())
    other = ReplySocket.parse("rabbitmq:guest:other@h/k")
    assert other == SOCKET
    bed.made.renew(other)
    assert bed.publisher.socket.password == "other"
