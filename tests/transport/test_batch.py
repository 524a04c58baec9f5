"""One epoll for many sockets: whose turn it is, how much of it, who leaves, what a fault costs."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import trio

from bridge.transport.batch import HUNG_UP, PIECE, READABLE, SHARE, WRITABLE, Batch, Member
from tests.support.deadlines import HANG_SECONDS


class Reader(Member):
    """Reads once a turn; ``seen`` is what it was told and what it read, by name, of all of them."""

    def __init__(self, batch: Batch, name: str, seen: list[tuple[str, int, bytes]], size: int = 100) -> None:
        super().__init__()
        self.name, self.size, self.seen, self.batch = name, size, seen, batch
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.work = 0
        self.then: Callable[[], None] = lambda: None
        self.failed = 0
        batch.add(self, self.ours.fileno())

    def __repr__(self) -> str:
        return f"<reader {self.name}>"

    def serve(self, events: int) -> int:
        try:
            data = self.ours.recv(self.size)
        except BlockingIOError:
            data = b"-"
        self.seen.append((self.name, events, data))
        self.then()
        return self.work

    def fail(self) -> None:
        self.failed += 1

    def close(self) -> None:
        self.batch.remove(self)
        self.ours.close()
        self.theirs.close()


class Bed:
    """A batch, its members, and what was served."""

    def __init__(self, share: int = SHARE) -> None:
        self.batch = Batch(share)
        self.seen: list[tuple[str, int, bytes]] = []
        self.members: list[Reader] = []

    def reader(self, name: str, size: int = 100) -> Reader:
        """A member that has had its first news: that it can be written to."""
        reader = Reader(self.batch, name, self.seen, size)
        self.members.append(reader)
        self.batch.turn()
        self.seen.clear()
        return reader

    def turn(self) -> list[str]:
        """The names of those who were served in one turn."""
        self.seen.clear()
        self.batch.turn()
        return [name for name, *_ in self.seen]


@pytest.fixture
def bed() -> Iterator[Bed]:
    bed = Bed()
    yield bed
    for member in bed.members:
        member.close()
    assert len(bed.batch) == 0
    bed.batch.close()


def test_bytes_room_and_leaving_are_told_once(bed: Bed) -> None:
    one = bed.reader("one")
    assert bed.turn() == []
    one.theirs.send(b"abc")
    assert bed.turn() == ["one"]
    [(_, events, data)] = bed.seen
    assert (events & READABLE, events & HUNG_UP, data) == (READABLE, 0, b"abc")
    one.theirs.shutdown(socket.SHUT_WR)
    assert bed.turn() == ["one"]
    [(_, events, data)] = bed.seen
    assert (bool(events & HUNG_UP), data) == (True, b"")
    assert bed.turn() == []


def test_room_is_told_to_who_found_none(bed: Bed) -> None:
    one = bed.reader("one")
    with suppress(BlockingIOError):
        while one.ours.send(b"x" * 65_536):
            pass
    assert bed.turn() == []
    while one.theirs.recv(1 << 20, socket.MSG_DONTWAIT):
        if bed.turn():
            break
    assert bed.seen[0][1] & WRITABLE


def test_what_is_left_unread_makes_no_noise_and_more_is_news(bed: Bed) -> None:
    one = bed.reader("one", size=2)
    one.theirs.send(b"abcd")
    assert bed.turn() == ["one"]
    assert bed.turn() == []
    one.theirs.send(b"e")
    assert bed.turn() == ["one"]
    assert bed.seen[0][2] == b"cd"


def test_who_asks_again_is_served_in_the_next_turn_after_the_others(bed: Bed) -> None:
    one, two = bed.reader("one"), bed.reader("two")
    one.then = lambda: bed.batch.again(one)
    one.theirs.send(b"1")
    assert bed.turn() == ["one"]
    two.theirs.send(b"2")
    assert bed.turn() == ["two", "one"]
    assert bed.seen[1] == ("one", 0, b"-")
    one.then = lambda: None
    assert bed.turn() == ["one"]
    assert bed.turn() == []


def test_a_turn_has_its_share_and_the_rest_is_first_in_the_next() -> None:
    bed = Bed(share=2 * PIECE)
    for reader in [bed.reader(name) for name in "abcde"]:
        reader.theirs.send(b"x")
    assert [bed.turn(), bed.turn()] == [["a", "b"], ["c", "d"]]
    bed.members[0].theirs.send(b"again")
    assert bed.turn() == ["e", "a"]
    for member in bed.members:
        member.close()
    bed.batch.close()


def test_who_has_much_to_do_has_a_turn_for_itself(bed: Bed) -> None:
    for reader in [bed.reader(name) for name in "abc"]:
        reader.work = SHARE if reader.name == "b" else 1
        reader.theirs.send(b"x")
    assert [bed.turn(), bed.turn()] == [["a", "b"], ["c"]]


def test_a_flood_of_one_leaves_the_others_every_other_turn(bed: Bed) -> None:
    flood = bed.reader("flood")
    others = [bed.reader(name) for name in "abc"]
    flood.work, flood.then = 10 * SHARE, lambda: bed.batch.again(flood)
    flood.theirs.send(b"x")
    assert bed.turn() == ["flood"]
    for _ in range(3):
        for other in others:
            other.theirs.send(b"x")
        assert bed.turn() == ["a", "b", "c", "flood"]


def test_a_fault_ends_one_and_is_logged_once_a_while(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    def fault() -> None:
        raise RuntimeError("broken")

    for reader in [bed.reader(name) for name in "abc"]:
        reader.theirs.send(b"x")
        if reader.name != "c":
            reader.then = fault
    assert bed.turn() == ["a", "b", "c"]
    assert [member.failed for member in bed.members] == [1, 1, 0]
    assert len(bed.batch) == 1
    [record] = caplog.records
    assert record.getMessage() == "<reader a> failed and is closed (1 since the last such line)"
    assert record.exc_info is not None
    bed.members[0].theirs.send(b"y")
    assert bed.turn() == []


def test_a_fault_in_the_end_of_one_is_no_fault_of_the_batch(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    class Hopeless(Reader):
        def fail(self) -> None:
            raise RuntimeError("nor that")

    hopeless = Hopeless(bed.batch, "hopeless", bed.seen)
    bed.members.append(hopeless)
    hopeless.then = lambda: os.close(-1)
    other = bed.reader("other")
    hopeless.theirs.send(b"x")
    other.theirs.send(b"x")
    assert bed.turn() == ["other"]
    assert "<reader hopeless> failed again while it was closed" in caplog.text


def test_who_leaves_in_a_turn_is_not_served_in_it_any_more(bed: Bed) -> None:
    one, two = bed.reader("one"), bed.reader("two")
    one.then = lambda: bed.batch.remove(two)
    two.then = lambda: bed.batch.remove(one)
    one.theirs.send(b"x")
    two.theirs.send(b"x")
    assert len(bed.turn()) == 1
    assert bed.turn() == []
    bed.batch.remove(one)  # twice is the same as once
    bed.batch.remove(one)


def test_a_descriptor_used_anew_within_a_turn_gets_nothing_of_its_predecessors(bed: Bed) -> None:
    first, old = bed.reader("first"), bed.reader("old")
    number = old.ours.fileno()
    newcomers: list[Reader] = []

    def replace() -> None:
        old.close()
        newcomers.append(Reader(bed.batch, "new", bed.seen))

    first.then = replace
    first.theirs.send(b"x")
    old.theirs.send(b"for the old one")
    assert bed.turn() == ["first"]
    [new] = bed.members = [first, *newcomers][1:]
    assert new.ours.fileno() == number
    assert bed.turn() == ["new"]  # its own first news
    assert not bed.seen[0][1] & READABLE
    first.close()


async def test_other_tasks_have_their_turn_between_two(bed: Bed, nursery: trio.Nursery) -> None:
    busy = bed.reader("busy")
    busy.then = lambda: bed.batch.again(busy)
    busy.theirs.send(b"x")
    nursery.start_soon(bed.batch.run)
    with trio.fail_after(HANG_SECONDS):
        for number in range(20):
            before = len(bed.seen)
            while len(bed.seen) == before:
                await trio.lowlevel.checkpoint()
            assert len(bed.seen) <= before + 3, number
    nursery.cancel_scope.cancel()


async def test_who_asks_from_outside_of_a_turn_wakes_it(bed: Bed, nursery: trio.Nursery) -> None:
    one = bed.reader("one")
    served = trio.Event()
    one.then = served.set
    nursery.start_soon(bed.batch.run)
    for _ in range(3):
        served = trio.Event()
        one.then = served.set
        await trio.testing.wait_all_tasks_blocked()
        bed.batch.again(one)
        with trio.fail_after(HANG_SECONDS):
            await served.wait()
    assert [events for _, events, _ in bed.seen] == [0, 0, 0]
    nursery.cancel_scope.cancel()


async def test_a_member_without_bytes_hears_of_the_end_alone(bed: Bed) -> None:
    one = bed.reader("one")
    bed.batch.remove(one)
    bed.batch.add(one, one.ours.fileno(), 0)
    one.theirs.send(b"x")
    assert bed.turn() == []
    one.theirs.shutdown(socket.SHUT_WR)
    assert bed.turn() == ["one"]
    assert bed.seen[0][1] & HUNG_UP
