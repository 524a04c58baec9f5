"""The sessions of a node in the cluster's table: there before they are used, where the table answers at all."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from bridge.core.cluster_sessions import RESERVE, SessionKeeper
from bridge.core.fence import FOREVER, Fence
from bridge.protocol.cluster import OWN, Life, Node, NodeSession, NodeState, Right
from bridge.protocol.gateway import Gateway
from bridge.protocol.session import SavedSession
from tests.support.memory_cluster import LONGEST, MemoryNodes, MemorySite

GW = Gateway(1, "gw1", "janusws://h", None)


def session(number: int, *, managed: bool = False) -> NodeSession:
    return NodeSession("gw1", "janusws://h", number, managed)


def keeper_of(table: MemoryNodes, fence: Fence, *restored: list[NodeSession]) -> SessionKeeper:
    """In a life that goes on."""
    keeper = SessionKeeper(table, fence, *restored)
    keeper.epoch = lambda: 1
    return keeper


@pytest.fixture
def site() -> MemorySite:
    site = MemorySite()
    site.table[1] = Node(1, "http://1/mi", 1, 1, NodeState.ACTIVE)
    return site


@pytest.fixture
def table(site: MemorySite) -> MemoryNodes:
    return MemoryNodes(site, 1)


@pytest.fixture
def fence() -> Fence:
    fence = Fence(trio.current_time)
    fence.move(FOREVER)
    return fence


async def test_it_is_there_before_it_is_used(
    site: MemorySite, table: MemoryNodes, fence: Fence, autojump_clock: MockClock
) -> None:
    keeper = keeper_of(table, fence)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        await keeper.reserve(GW, 5, managed=True)
        assert site.sessions == {session(5, managed=True): 1}
        await keeper.reserve(GW, 6, managed=False)
        commits = table.commits
        keeper.save(GW, SavedSession(6, False))  # made as it was reserved
        keeper.save(GW, SavedSession(6, False, handles=((1, "p"),)))
        await trio.sleep(1)
        assert table.commits == commits
        keeper.save(GW, SavedSession(7, False))
        keeper.save(GW, SavedSession(5, True, ended=True))
        keeper.save(GW, SavedSession(99, True, ended=True))  # never ours
        await trio.sleep(1)
        assert site.sessions == {session(6): 1, session(7): 1}
        assert len(keeper) == 2
        nursery.cancel_scope.cancel()


async def test_without_the_table_nothing_waits_and_all_is_written_later(
    site: MemorySite, table: MemoryNodes, fence: Fence, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    table.hangs = True
    keeper = keeper_of(table, fence)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        at = trio.current_time()
        await keeper.reserve(GW, 5, managed=True)
        assert trio.current_time() - at == pytest.approx(RESERVE)
        await trio.sleep(3)
        at = trio.current_time()
        for number in range(6, 50):
            await keeper.reserve(GW, number, managed=False)
        assert trio.current_time() == at  # it is known to be away
        keeper.save(GW, SavedSession(6, False, ended=True))
        await trio.sleep(10)
        table.hangs = False
        await trio.sleep(3)
        assert set(site.sessions) == {session(5, managed=True), *(session(number) for number in range(7, 50))}
        nursery.cancel_scope.cancel()
    assert caplog.text.count("cannot write sessions to the cluster's database: away; retrying") == 1


async def test_of_many_each_visit_writes_some(
    site: MemorySite, table: MemoryNodes, fence: Fence, autojump_clock: MockClock
) -> None:
    """What does not end in time would be done again for ever."""
    many = [session(number) for number in range(1, 2 * LONGEST + 2)]
    keeper = keeper_of(table, fence)
    table.away = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        for one in many:
            keeper.save(GW, SavedSession(one.session_id, False))
        await trio.sleep(1)
        table.away = False
        await trio.sleep(2)
        assert len(site.sessions) == len(many)
        nursery.cancel_scope.cancel()
    site.sessions.clear()  # the table was made anew
    assert await keeper.unknown() == []
    assert len(site.sessions) == len(many)


async def test_what_is_unwritten_at_the_end_is_tried_once_more(
    site: MemorySite, table: MemoryNodes, fence: Fence, autojump_clock: MockClock
) -> None:
    keeper = keeper_of(table, fence)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        keeper.save(GW, SavedSession(5, True))
        nursery.cancel_scope.cancel()
    assert site.sessions == {session(5, managed=True): 1}
    table.hangs = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        keeper.save(GW, SavedSession(6, True))
        await trio.sleep(0.1)
        at = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - at <= 2


async def test_what_a_peer_has_meanwhile_stays(
    site: MemorySite, table: MemoryNodes, fence: Fence, autojump_clock: MockClock
) -> None:
    keeper = keeper_of(table, fence)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        await keeper.reserve(GW, 5, managed=False)
        site.sessions[session(5)] = 2
        keeper.save(GW, SavedSession(5, False, ended=True))
        await trio.sleep(1)
        assert site.sessions == {session(5): 2}
        nursery.cancel_scope.cancel()


async def test_what_the_table_and_we_know_of_each_other(
    site: MemorySite, table: MemoryNodes, fence: Fence, autojump_clock: MockClock
) -> None:
    keeper = keeper_of(table, fence, [session(1), session(2)])
    site.sessions = {session(2): 1, session(3): 1, session(4): 2}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        assert await keeper.unknown() == [session(3)]
        assert await keeper.unknown() == []
        await trio.sleep(1)
        assert site.sessions == {session(1): 1, session(2): 1, session(3): 1, session(4): 2}
        keeper.know([session(4)])
        assert len(keeper) == 4
        keeper.forget()
        assert len(keeper) == 0
        await trio.sleep(1)
        assert len(site.sessions) == 4
        nursery.cancel_scope.cancel()


async def test_what_was_deleted_or_altered_is_entered_again_each_time(
    site: MemorySite, table: MemoryNodes, fence: Fence, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = keeper_of(table, fence, [session(number) for number in range(1, 6)])
    keeper.lost = lambda _sessions: pytest.fail("nothing is lost by that")
    ours = {session(number): 1 for number in range(1, 5)}
    for _ in range(2):
        site.sessions = {session(1): 1, session(2, managed=True): 1, session(4): 1, session(5): 2, session(6): 1}
        await keeper.mend()
        del site.sessions[session(2, managed=True)]
        assert site.sessions == {**ours, session(5): 2, session(6): 1}
    await keeper.mend()
    text = "janus_session: somebody deleted or altered rows of this bridge: entered again (2)"
    assert caplog.messages == [text, text]


async def test_what_ends_while_it_is_entered_again_leaves_no_row(
    site: MemorySite, table: MemoryNodes, fence: Fence, autojump_clock: MockClock
) -> None:
    keeper = keeper_of(table, fence, [session(1), session(2)])
    write = table.write

    async def slow(sessions: Sequence[NodeSession], epoch: int, right: Right = OWN) -> list[NodeSession]:
        await trio.sleep(1)  # in which the end of the session gets to the table first
        return await write(sessions, epoch, right)

    table.write = slow  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        nursery.start_soon(keeper.mend)
        await trio.sleep(0.5)
        keeper.save(GW, SavedSession(1, False, ended=True))
        await trio.sleep(5)
        assert site.sessions == {session(2): 1}
        nursery.cancel_scope.cancel()


async def test_what_the_table_has_as_another_node_s_is_lost(
    site: MemorySite, table: MemoryNodes, fence: Fence, autojump_clock: MockClock
) -> None:
    """After a hand-over whose answer was lost, a journal that knows less is not believed; nor is a write of before."""
    keeper = keeper_of(table, fence, [session(1), session(2)])
    lost: list[NodeSession] = []
    keeper.lost = lost.extend
    site.sessions = {session(1): 2, session(2): 1, session(3): 2}
    assert await keeper.unknown() == []
    assert lost == [session(1)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        assert not await keeper.reserve(GW, 3, managed=False)
        assert lost == [session(1), session(3)]
        assert site.sessions == {session(1): 2, session(2): 1, session(3): 2}
        keeper.save(GW, SavedSession(1, False))  # Janus has just granted it to a caller
        await keeper.reserve(GW, 4, managed=False)
        assert site.sessions[session(1)] == 1
        nursery.cancel_scope.cancel()


async def test_what_is_given_is_taken_as_long_as_its_giver_lives_that_life(
    site: MemorySite, table: MemoryNodes, fence: Fence, autojump_clock: MockClock
) -> None:
    site.table[2] = Node(2, "http://2/mi", 5, 1, NodeState.ACTIVE)
    site.sessions = {session(1): 2, session(2): 2}
    keeper = keeper_of(table, fence)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        assert await keeper.reserve(GW, 1, managed=False, giver=Life(2, 5))
        assert not await keeper.reserve(GW, 2, managed=False, giver=Life(2, 4))
        assert site.sessions == {session(1): 1, session(2): 2}
        keeper.let_go(GW, 1)
        assert len(keeper) == 0
        await keeper.reserve(GW, 3, managed=False)
        assert site.sessions == {session(1): 1, session(2): 2, session(3): 1}  # who takes it writes it
        nursery.cancel_scope.cancel()


async def test_without_a_valid_beat_nothing_is_taken_back_from_a_peer(
    site: MemorySite, table: MemoryNodes, fence: Fence, autojump_clock: MockClock
) -> None:
    """It was written, and the answer was lost with the network: the peer takes it over before it is tried again."""
    table.unsure = ("write",)
    keeper = keeper_of(table, fence)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        await keeper.reserve(GW, 5, managed=False)
        assert site.sessions == {session(5): 1}
        fence.move(trio.current_time())
        table.unsure, site.sessions[session(5)] = (), 2
        await trio.sleep(10)
        assert site.sessions == {session(5): 2}
        at = trio.current_time()
        await keeper.reserve(GW, 6, managed=False)
        assert trio.current_time() == at  # it waits for nothing
        keeper.forget()  # as the next beat says
        fence.move(FOREVER)
        await keeper.reserve(GW, 7, managed=False)
        await trio.sleep(2)
        assert site.sessions == {session(5): 2, session(7): 1}
        nursery.cancel_scope.cancel()
