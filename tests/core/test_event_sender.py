"""Outlets: when they try, when they try again, when they give up, and what they say. In memory, on a mock clock."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio
from trio.testing import MockClock

from bridge.core.event_queue import Gap
from bridge.core.event_sender import BURST, Delivery, QueueLimits
from bridge.core.stats import Stats
from bridge.protocol.event_delivery import EventRefused, NotSent, Parcel
from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS, Event, janus_event
from bridge.protocol.reply_socket import ReplySocket

SOCKET = ReplySocket.parse("udp:h:1")
Attempt = Callable[[Parcel, float], Awaitable[None]]


class MemorySender:
    """Takes everything at once; or plays ``attempts`` first, one for each call of send()."""

    def __init__(self, *attempts: Attempt) -> None:
        self.attempts = deque(attempts)
        self.got: list[int] = []
        self.sends: list[tuple[float, int, float]] = []  # when, which event, with what patience
        self.closed = 0

    def try_send(self, parcel: Parcel) -> bool:
        if self.attempts:
            return False
        self.got.append(parcel.event.number)
        return True

    async def send(self, parcel: Parcel, patience: float) -> None:
        self.sends.append((trio.current_time(), parcel.event.number, patience))
        if self.attempts:
            await self.attempts.popleft()(parcel, patience)
        self.got.append(parcel.event.number)

    def close(self) -> None:
        self.closed += 1


async def unreachable(parcel: Parcel, patience: float) -> None:
    raise NotSent("cannot be reached")


async def silent(parcel: Parcel, patience: float) -> None:
    parcel.sent = True
    await trio.sleep(patience)
    raise NotSent("did not answer")


async def refusing(parcel: Parcel, patience: float) -> None:
    raise EventRefused("no_subscriber", "answers 480")


async def slow(parcel: Parcel, patience: float) -> None:
    await trio.sleep(5)


def event(number: int, body: str = "{}", name: str = E_JANUS_EVENT) -> Event:
    return Event(name, janus_event("g1", "janusws://h", body), f"p-{number}", number, "g1", f"1-{number}")


def delivery(sender: MemorySender, announce: Sequence[Event] = (), limits: QueueLimits = QueueLimits()) -> Delivery:  # noqa: B008
    notices = deque(announce)

    def announced(socket: ReplySocket, gap: Gap) -> list[Event]:
        assert socket == SOCKET
        return [notices.popleft()] if notices else []

    return Delivery(SOCKET, sender, announced, Stats(), limits)


def put(made: Delivery, *numbers: int) -> None:
    for number in numbers:
        made.put(event(number), trio.current_time())


async def serve(nursery: trio.Nursery, made: Delivery) -> list[Delivery]:
    gone: list[Delivery] = []
    nursery.start_soon(made.run, gone.append)
    await trio.testing.wait_all_tasks_blocked()
    return gone


async def test_everything_in_order_before_and_while_it_runs(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    sender = MemorySender()
    made = delivery(sender)
    put(made, 1, 2)
    await serve(nursery, made)
    put(made, 3, 4)
    await made.drained()
    assert sender.got == [1, 2, 3, 4]
    assert made.figures() == ("udp:h:1", 0, 0, 4, {})


async def test_what_a_stream_has_no_room_for_is_not_put_into_bytes(autojump_clock: MockClock) -> None:
    socket = ReplySocket.parse("tcp:h:1")
    made = Delivery(socket, MemorySender(), lambda *_: [], Stats(), QueueLimits(queue_bytes=1000))
    small, large = event(1), event(2, "x" * 2000)
    made.put(small, 0.0)
    made.put(large, 0.0)
    assert (len(small._encoded), len(large._encoded)) == (1, 0)
    assert made.figures().drops == {"full": 1}


async def test_others_get_their_turn_after_each_burst(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    sender = MemorySender()
    made = delivery(sender)
    await serve(nursery, made)
    put(made, *range(10 * BURST))
    turns = 0
    while len(sender.got) < 10 * BURST:
        await trio.lowlevel.checkpoint()
        turns += 1
    assert turns >= 9


async def test_attempts_are_a_quarter_half_one_and_then_two_seconds_apart(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    sender = MemorySender(*[unreachable] * 6)
    made = delivery(sender)
    await serve(nursery, made)
    put(made, 1, 2)
    await made.drained()
    assert [when for when, _, _ in sender.sends] == [0.0, 0.25, 0.75, 1.75, 3.75, 5.75, 7.75]
    assert sender.got == [1, 2]  # the second at once, by try_send


async def test_waiting_for_an_answer_is_part_of_the_pause(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    sender = MemorySender(*[silent] * 4)
    made = delivery(sender)
    await serve(nursery, made)
    put(made, 1)
    await made.drained()
    assert sender.sends == [(0.0, 1, 0.25), (0.25, 1, 0.5), (0.75, 1, 1.0), (1.75, 1, 2.0), (3.75, 1, 2.0)]


async def test_a_dead_one_is_tried_once_in_two_seconds_however_much_grows_too_old(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    sender = MemorySender(*[unreachable] * 1000)
    made = delivery(sender)
    await serve(nursery, made)
    for number in range(600):
        put(made, number)
        await trio.sleep(0.1)
    assert len(sender.sends) == pytest.approx(60 / 2, abs=4)
    await trio.sleep(33)
    assert (made.figures().queued, made.figures().drops, sender.got) == (0, {"age": 600}, [])


async def test_nothing_is_dropped_before_its_time(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    sender = MemorySender(*[unreachable] * 16)  # until 27.75 s
    made = delivery(sender)
    await serve(nursery, made)
    put(made, 1, 2)
    await made.drained()
    assert (sender.got, made.figures().drops) == ([1, 2], {})


async def test_given_up_without_an_answer_is_unanswered_never_sent_is_age(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    sender = MemorySender(*[silent] * 18)  # until 31.75 s
    made = delivery(sender)
    await serve(nursery, made)
    put(made, 1, 2)
    await trio.sleep(10)
    put(made, 3)
    await made.drained()
    assert (sender.got, made.figures().drops) == ([3], {"unanswered": 1, "age": 1})


async def test_an_answer_on_its_way_is_waited_for_though_the_event_is_too_old(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Else a queue that is old throughout would never recover."""
    sender = MemorySender(*[unreachable] * 17, slow)
    made = delivery(sender)
    await serve(nursery, made)
    put(made, 1)
    await made.drained()
    assert (sender.got, made.figures().drops) == ([1], {})
    assert trio.current_time() == 29.75 + 5


async def test_a_refusal_is_final_counted_and_said_once_until_it_is_over(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sender = MemorySender(refusing, refusing, refusing)
    made = delivery(sender)
    await serve(nursery, made)
    put(made, 1, 2, 3, 4, 5)
    await made.drained()
    assert (sender.got, made.figures().drops) == ([4, 5], {"no_subscriber": 3})
    said = [line for line in caplog.messages if "dropped" not in line]
    assert said == ["udp:h:1: events do not arrive: answers 480", "udp:h:1: events arrive again after: answers 480"]


async def test_a_flapping_subscriber_fills_no_log(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sender = MemorySender()
    made = delivery(sender)
    await serve(nursery, made)
    for number in range(200):
        sender.attempts.append(unreachable)
        put(made, number)
        await trio.sleep(1)
    assert len(sender.got) == 200
    assert len(caplog.messages) == 8  # "cannot" and "again", in 200 seconds


async def test_where_events_were_lost_a_notice_says_so(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    sender = MemorySender(unreachable)
    made = delivery(sender, [event(99, name=E_JANUS_STATUS)], QueueLimits(queue_events=2))
    await serve(nursery, made)
    put(made, 1, 2, 3, 4)
    await trio.testing.wait_all_tasks_blocked()
    await made.drained()
    put(made, 5)
    await made.drained()
    assert sender.got == [1, 2, 99, 5]
    assert made.figures() == ("udp:h:1", 0, 0, 4, {"full": 2})


async def test_a_notice_never_grows_too_old(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    sender = MemorySender(*[unreachable] * 100)
    made = delivery(sender, [event(99, name=E_JANUS_STATUS)])
    await serve(nursery, made)
    put(made, 1)
    await made.drained()
    assert trio.current_time() > 190
    assert (sender.got, made.figures().drops) == ([99], {"age": 1})


async def test_an_event_too_large_for_its_socket_is_counted(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    sender = MemorySender()
    made = delivery(sender)
    await serve(nursery, made)
    large = Event("E_X", [("text", "x" * 70_000)], "p-1", 1)
    made.put(large, trio.current_time())
    put(made, 2)
    await made.drained()
    assert (sender.got, made.figures().drops) == ([2], {"too_large": 1})


async def test_retired_it_delivers_what_it_has_and_ends(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    sender = MemorySender(unreachable)
    made = delivery(sender)
    gone = await serve(nursery, made)
    put(made, 1, 2)
    made.retire(True)
    await trio.testing.wait_all_tasks_blocked()
    assert (gone, sender.closed) == ([], 0)
    await trio.sleep(1)
    assert (sender.got, gone, sender.closed) == ([1, 2], [made], 1)


async def test_retired_and_wanted_again_it_goes_on(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    sender = MemorySender(unreachable)
    made = delivery(sender)
    gone = await serve(nursery, made)
    put(made, 1)
    made.retire(True)
    made.retire(False)
    await trio.sleep(1)
    put(made, 2)
    await made.drained()
    assert (sender.got, gone) == ([1, 2], [])


async def test_retired_idle_it_ends_at_once_even_with_a_notice_nobody_waits_for(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    sender = MemorySender(*[unreachable] * 1000)
    made = delivery(sender, [event(99, name=E_JANUS_STATUS)], QueueLimits(max_age=1.0))
    gone = await serve(nursery, made)
    put(made, 1)
    await trio.sleep(10)
    made.retire(True)
    await trio.sleep(3)
    assert gone == [made]


async def test_cancelled_it_counts_what_is_left_and_closes(autojump_clock: MockClock) -> None:
    sender = MemorySender(slow)
    made = delivery(sender)
    async with trio.open_nursery() as nursery:
        await serve(nursery, made)
        put(made, 1, 2, 3)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert (sender.got, made.figures().drops, sender.closed) == ([], {"stopped": 3}, 1)
