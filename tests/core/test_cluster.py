"""Nodes that beat, watch, vouch and take over: what they do in which time, and what they never do."""

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bridge.core.cluster import MEND
from bridge.errors import AnotherNode, TableRefused
from bridge.protocol.cluster import Life, Node, NodeSession, NodeState, Word
from bridge.protocol.gateway import Gateway
from tests.support.memory_cluster import PING, TIMEOUT, MemorySite

ACTIVE, DRAINING, OVER, TAKEN = NodeState.ACTIVE, NodeState.DRAINING, NodeState.OVER, NodeState.TAKEN
GATEWAY = Gateway(1, "gw1", "janusws://h", None)
SESSION = NodeSession("gw1", "janusws://h", 42, True)


@pytest.fixture
def site() -> MemorySite:
    return MemorySite()


async def until(happened: Callable[[], object]) -> float:
    """Seconds until it has, looked at every tenth of one."""
    since = trio.current_time()
    while not happened():  # noqa: ASYNC110 - there is no event, and time is virtual
        await trio.sleep(0.1)
    return trio.current_time() - since


async def test_a_beat_an_interval_and_nothing_more(site: MemorySite, autojump_clock: MockClock) -> None:
    async with site.running(1, 2) as (one, two):
        before = one.table.commits
        await trio.sleep(20 * PING)
        assert one.table.commits - before in (19, 20, 21)
        assert one.fence.valid()
        assert one.fence.open()
        assert one.cluster.living() == [site.table[2]] or one.cluster.living()[0].node_id == 2
        assert two.cluster.silent() == []
        assert one.stats.counts["beats_late"] == 0
        assert not one.links.adopted
        assert not one.links.given_up


async def test_rows_of_its_sessions_that_somebody_deletes_are_entered_again_each_time(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    """By a live beat alone."""
    async with site.running(1, 2) as (one, two):
        await one.sessions.reserve(GATEWAY, 42, managed=True)
        for _ in range(2):
            del site.sessions[SESSION]
            assert await until(lambda: SESSION in site.sessions) <= MEND + PING
        one.table.away = one.mi = False
        one.table.unsure = ("beat",)
        await trio.sleep(TIMEOUT)
        del site.sessions[SESSION]
        await trio.sleep(2 * MEND)
        assert site.sessions == {}
        assert not one.links.lost
        assert not two.links.lost


async def test_a_machine_that_dies_is_taken_over_by_exactly_one_peer(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    async with site.running(1, 2, 3) as (one, two, three):
        site.sessions[SESSION] = 1
        one.kill()
        assert TIMEOUT - PING < await until(lambda: two.links.adopted or three.links.adopted) <= TIMEOUT + PING + 0.1
        await trio.sleep(5 * PING)
        [(node_id, sessions, silent_for)] = two.links.adopted + three.links.adopted
        assert (node_id, sessions) == (1, [SESSION])
        assert TIMEOUT <= silent_for <= TIMEOUT + 0.1  # it is asked meanwhile, and not after
        assert site.table[1].state is TAKEN
        winner = two if two.links.adopted else three
        assert site.sessions == {SESSION: winner.node_id}
        assert winner.stats.counts["take_overs"] == 1
        assert len(winner.sessions) == 1
        assert not two.links.given_up
        assert not three.links.given_up


@pytest.mark.parametrize("unsure", [(), ("rest",)])
async def test_what_a_dead_one_wrote_last_is_taken_when_it_is_there(
    site: MemorySite, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, unsure: tuple[str, ...]
) -> None:
    """A server may commit it long after nobody waits for it any more."""
    late = SESSION._replace(session_id=43)
    async with site.running(1, 2) as (one, two):
        site.sessions[SESSION] = 1
        one.kill()
        await until(lambda: two.links.adopted)
        site.sessions[late] = 1
        two.table.unsure = unsure
        await trio.sleep(TIMEOUT + 3 * PING)
        assert [sessions for _, sessions, _ in two.links.adopted] == [[SESSION], [late]]
        assert site.sessions == {SESSION: 2, late: 2}
        assert len(two.sessions) == 2
        assert two.stats.counts["take_overs"] == (2 if unsure else 1)
        assert ("cannot tell whether node 1 has more sessions" in caplog.text) == bool(unsure)


async def test_an_heir_that_dies_before_it_has_claimed_anything_leaves_all_to_the_next(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    """Also what the first one wrote last, which nobody has seen yet, and the gap is told from its death on."""
    second, late = SESSION._replace(session_id=43), SESSION._replace(session_id=44)
    async with site.running(1, 2, 3) as (one, two, three):
        site.sessions = {SESSION: 1, second: 2}
        two.links.claiming = 60.0
        one.kill()
        three.life.state = DRAINING  # it leaves one to two
        await until(lambda: two.links.adopted)
        two.kill()
        site.sessions[late] = 1
        three.life.state = ACTIVE
        await trio.sleep(2 * TIMEOUT + 5 * PING)
        [(first, rest, _), (heir, sessions, _)] = sorted(three.links.adopted)
        assert (first, rest, heir, sorted(sessions)) == (1, [late], 2, [SESSION, second])
        assert all(abs(silent_for - 2 * TIMEOUT) <= 3 * PING for _, _, silent_for in three.links.adopted)
        assert set(site.sessions.values()) == {3}
        assert three.stats.counts["take_overs"] == 1


async def test_an_heir_that_begins_anew_looks_for_what_the_dead_one_wrote_last(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    async with site.running(1, 2) as (one, two):
        one.kill()
        await until(lambda: two.links.adopted)
        two.kill()
        site.sessions[SESSION] = 1
        again = site.process(2)
        await again.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(again.run)
            await trio.sleep(TIMEOUT + 3 * PING)
            assert [(node_id, sessions) for node_id, sessions, _ in again.links.adopted] == [(1, [SESSION])]
            nursery.cancel_scope.cancel()


async def test_what_a_dead_one_wrote_last_is_its_own_where_it_lives_again(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    async with site.running(1, 2) as (one, two):
        one.kill()
        await until(lambda: two.links.adopted)
        again = site.process(1)
        await again.start()
        site.sessions[SESSION] = 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(again.run)
            await trio.sleep(TIMEOUT + 3 * PING)
            assert again.links.adopted == [(1, [SESSION], 0.0)]
            assert site.sessions == {SESSION: 1}
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("unsure", [(), ("rest",)])
async def test_more_than_a_page_is_taken_page_by_page(
    site: MemorySite, autojump_clock: MockClock, unsure: tuple[str, ...]
) -> None:
    """And as long as that lasts, nobody may say that what it does not find is nowhere."""
    site.page = 2
    async with site.running(1, 2) as (one, two):
        site.sessions = {SESSION._replace(session_id=number): 1 for number in range(1, 8)}
        two.table.unsure, rest, silent = unsure, two.table.rest, []

        async def watched(node: Node, epoch: int) -> list[NodeSession]:
            silent.append([node.node_id for node in two.cluster.silent()])
            return await rest(node, epoch)

        two.table.rest = watched  # type: ignore[method-assign]
        two.links.claiming = 60.0
        one.kill()
        site.table[1] = site.table[1]._replace(state=OVER)
        await until(lambda: len(silent) > 1)
        two.table.unsure = ()
        assert await until(lambda: set(site.sessions.values()) == {2}) < 3 * PING  # no page waits for a claim
        await trio.sleep(60.0)
        assert not two.cluster.silent()
        assert [1] in silent
        assert [] not in silent[:-1]  # what it wrote last is looked for later
        taken = [one.session_id for _, sessions, _ in two.links.adopted for one in sessions]
        assert sorted(taken) == list(range(1, 8))
        assert set(site.sessions.values()) == {2}
        assert len(two.sessions) == 7
        assert two.cluster.idle()[0].node_id == 1


async def test_the_pages_that_an_heir_leaves_are_the_next_one_s_at_once(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    site.page = 2
    async with site.running(1, 2, 3) as (one, two, three):
        site.sessions = {SESSION._replace(session_id=number): 1 for number in range(1, 8)}
        three.life.state = DRAINING  # it leaves one to two
        one.kill()
        site.table[1] = site.table[1]._replace(state=OVER)
        await until(lambda: site.table[1].state is TAKEN)
        two.kill()
        three.life.state = ACTIVE
        site.sessions |= {session: 1 for session, owner in list(site.sessions.items())[2:]}  # it had one page
        await trio.sleep(PING)
        assert three.cluster.released(2, site.table[2].epoch)
        assert await until(lambda: set(site.sessions.values()) == {3} and not three.cluster.silent()) < PING
        assert sum(len(sessions) for _, sessions, _ in three.links.adopted) == 7


async def test_one_that_is_released_is_taken_over_at_once(site: MemorySite, autojump_clock: MockClock) -> None:
    async with site.running(1, 2) as (one, two):
        site.sessions[SESSION] = 1
        one.kill()
        site.table[1] = site.table[1]._replace(state=OVER)
        await trio.sleep(1.5 * PING)
        [(node_id, sessions, _)] = two.links.adopted
        assert (node_id, sessions) == (1, [SESSION])


async def test_one_that_is_released_is_taken_over_by_whom_it_tells_before_the_table(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    async with site.running(1, 2, 3) as (one, two, three):
        site.sessions[SESSION] = 1
        epoch = site.table[1].epoch
        assert not one.cluster.released(1, epoch)  # nobody believes that of himself
        one.kill()
        assert two.cluster.released(1, epoch)
        assert [node.node_id for node in two.cluster.silent()] == [1]
        assert await until(lambda: two.links.adopted) < 0.2
        assert not two.cluster.released(1, epoch)
        await trio.sleep(3 * PING)
        assert [(node_id, sessions) for node_id, sessions, _ in two.links.adopted] == [(1, [SESSION])]
        assert not three.links.adopted


async def test_one_that_only_lost_the_database_is_left_alone_and_goes_on(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    async with site.running(1, 2, 3) as (one, two, three):
        one.table.away = True
        for _ in range(60):
            await trio.sleep(PING)
            assert one.fence.valid()
        assert [*two.links.adopted, *three.links.adopted, *one.links.given_up] == []
        one.table.away = False
        await trio.sleep(3 * PING)
        assert one.life.trouble is None
        assert site.table[1].state is ACTIVE


async def test_the_database_away_is_noticed_by_nobody_at_any_length(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    async with site.running(1, 2, 3) as nodes:
        for node in nodes:
            node.table.hangs = True
        for _ in range(100):
            await trio.sleep(PING)
            assert all(node.fence.valid() for node in nodes)
        for node in nodes:
            node.table.hangs = False
        await trio.sleep(15 * PING)
        assert not any(node.links.adopted or node.links.given_up for node in nodes)


async def test_one_that_refuses_us_lives(
    site: MemorySite, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with site.running(1, 2) as (one, two):
        one.table.away, one.mi = True, False
        site.refusing.add("http://1/mi")
        await trio.sleep(30 * PING)
        assert not two.links.adopted
        assert caplog.text.count("node 1 at http://1/mi does not answer as a peer: its answer is 401") == 1


async def test_a_token_that_is_wrong_is_told_before_a_word_is_needed(
    site: MemorySite, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    site.refusing.add("http://2/mi")
    async with site.running(1, 2) as (one, two):
        await trio.sleep(TIMEOUT + 3 * PING)
        assert caplog.text.count("node 2 at http://2/mi does not answer as a peer: its answer is 401") == 1
        assert [*one.life.membership._left, *two.life.membership._left] == []  # it bound nobody


async def test_the_word_of_another_one_under_a_copied_url_is_none(
    site: MemorySite, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """One and two say that two is at one's own URL: one is not to take its own word for that of two."""
    async with site.running(1, 2) as (one, two):
        two.life.settings = replace(two.life.settings, url="http://1/mi")
        site.table[2] = site.table[2]._replace(url="http://1/mi")
        await trio.sleep(2 * PING)
        one.table.away = True
        await trio.sleep(0.8 * TIMEOUT + PING)
        assert not one.fence.valid()
        one.table.away = False
        await trio.sleep(3 * PING)
        two.kill()
        await trio.sleep(TIMEOUT + 3 * PING)
        assert one.links.adopted
        text = "node 2: the MI at http://1/mi is that of node 1 of cluster 7; give each bridge"
        assert caplog.text.count(text) >= 1


async def test_who_took_its_only_peer_over_is_not_sure_that_it_is_alone(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    """Two dies and is taken over; later one is cut off, and two begins anew where one does not see it."""
    async with site.running(1, 2) as (one, two):
        two.kill()
        site.table[2] = site.table[2]._replace(state=OVER)
        await trio.sleep(3 * PING)
        assert one.links.adopted
        one.table.away, one.mi = True, False
        again = site.process(2)
        await again.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(again.run)
            await trio.sleep(TIMEOUT + 3 * PING)
            assert again.links.adopted
            assert again.fence.valid()
            assert not one.fence.valid()
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("serve", [False, True])
async def test_cut_off_from_all_it_claims_nothing_and_is_taken_over(serve: bool, autojump_clock: MockClock) -> None:
    site = MemorySite(serve=serve)
    async with site.running(1, 2) as (one, two):
        one.table.away, one.mi = True, False
        assert await until(lambda: not one.fence.valid()) <= 0.8 * TIMEOUT + 0.1
        assert not two.links.adopted
        assert one.fence.open() == serve
        await trio.sleep(TIMEOUT)
        assert two.links.adopted
        assert one.fence.open() == serve  # nobody has told it
        one.mi = True
        await trio.sleep(3 * PING)
        assert len(one.links.given_up) == 1
        assert not one.fence.open()
        one.table.away = False
        await trio.sleep(3 * PING)
        assert one.fence.valid()  # a new life
        assert site.table[1].state is ACTIVE
        assert len(one.links.given_up) == 1


async def test_a_stopped_process_finds_its_fence_closed_and_gives_up(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    async with site.running(1, 2) as (one, two):
        site.sessions[SESSION] = 1
        one.sessions.know([SESSION])
        one.kill()  # SIGSTOP: nothing runs
        await trio.sleep(TIMEOUT + 3 * PING)
        assert two.links.adopted
        assert not one.fence.open()
        one.mi, one._scope = True, trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.run)
            await trio.sleep(3 * PING)
            assert len(one.links.given_up) == 1
            assert one.fence.valid()
            assert site.sessions == {SESSION: 2}
            nursery.cancel_scope.cancel()


async def test_a_take_over_without_an_outcome_is_looked_at_again(
    site: MemorySite, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with site.running(1, 2) as (one, two):
        site.sessions[SESSION] = 1
        two.table.unsure, two.links.claiming = ("take",), 60.0
        one.kill()
        await trio.sleep(TIMEOUT + 4 * PING)
        [(node_id, sessions, _)] = two.links.adopted
        assert (node_id, sessions) == (1, [SESSION])
        assert "cannot tell whether node 1 is taken over" in caplog.text
        assert not two.links.given_up
        await trio.sleep(TIMEOUT)
        assert two.fence.valid()
        assert two.stats.counts["beats_late"] == 0


async def test_a_take_over_without_an_outcome_of_a_node_that_is_forgotten(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    async with site.running(1, 2) as (one, two):
        site.sessions[SESSION] = 1
        two.table.unsure = ("take",)
        one.kill()
        site.table[1] = site.table[1]._replace(state=OVER)
        while site.table[1].state is not TAKEN:  # noqa: ASYNC110 - there is no event, and time is virtual
            await trio.sleep(0.1)
        del site.table[1]  # by an operator
        await trio.sleep(3 * PING)
        assert [(node_id, sessions) for node_id, sessions, _ in two.links.adopted] == [(1, [SESSION])]


async def test_beats_without_an_outcome_keep_it_alive_by_the_word_of_its_peers(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    async with site.running(1, 2) as (one, two):
        one.table.unsure = ("beat",)
        for _ in range(30):
            await trio.sleep(PING)
            assert one.fence.valid()
        one.table.unsure = ()
        await trio.sleep(3 * PING)
        assert one.life.trouble is None
        assert [*one.links.given_up, *two.links.adopted] == []


async def test_who_drains_takes_nobody_over_and_who_leaves_is_taken(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    async with site.running(1, 2, 3) as (one, two, three):
        await two.cluster.draining()
        assert site.table[2].state is DRAINING
        one.kill()
        site.table[1] = site.table[1]._replace(state=OVER)
        await trio.sleep(3 * PING)
        assert three.links.adopted
        assert not two.links.adopted
        two.sessions.know([SESSION])
        await two.cluster.leave()
        assert site.table[2].state is OVER
        await trio.sleep(3 * PING)
        assert [node_id for node_id, _, _ in three.links.adopted] == [1, 2]
        await three.cluster.leave()
        await trio.sleep(3 * PING)
        assert site.table[3].state is TAKEN  # it had nothing, and it beats no more


@pytest.mark.parametrize("stopping", [False, True])
async def test_who_drained_and_runs_takes_over_what_nobody_else_is_left_for(
    site: MemorySite, autojump_clock: MockClock, stopping: bool
) -> None:
    async with site.running(1, 2) as (one, two):
        await one.cluster.draining()
        one.life.stopping = stopping
        site.sessions[SESSION] = 2
        two.kill()
        await trio.sleep(TIMEOUT + 3 * PING)
        adopted = [(node_id, sessions) for node_id, sessions, _ in one.links.adopted]
        assert adopted == ([] if stopping else [(2, [SESSION])])


async def test_who_leaves_in_the_middle_of_a_round_asks_for_no_word(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    async with site.running(1, 2) as (one, two), trio.open_nursery() as nursery:
        await one.life.row.acquire()  # by a take-over, or a beat that hangs
        nursery.start_soon(one.cluster.leave)
        await wait_all_tasks_blocked()
        nursery.start_soon(one.life.go_on)
        await wait_all_tasks_blocked()
        one.life.row.release()
        await wait_all_tasks_blocked()
        assert two.life.membership._left == {}


# A start


async def test_a_restart_knows_its_row_and_waits_for_nothing(site: MemorySite, autojump_clock: MockClock) -> None:
    async with site.running(1) as [one]:
        one.kill()
        at, epoch = trio.current_time(), site.table[1].epoch
        again = site.process(1)
        assert await again.start(epoch + 5000) == epoch + 5000
        assert trio.current_time() == at
        assert again.life.inherited
        assert site.table[1] == Node(1, "http://1/mi", epoch + 5000, site.table[1].beat, ACTIVE)
        assert site.files[1].epochs == [epoch + 5000]


async def test_an_epoch_is_larger_than_any_other_and_than_what_was_asked_for(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    assert await site.process(1).start(7000) == 7001  # and ends in the node_id
    assert await site.process(2).start(5) == 7002
    assert await site.process(1).start(5) == 8001


async def test_a_copied_configuration_is_refused(site: MemorySite, autojump_clock: MockClock) -> None:
    async with site.running(1):
        del site.files[1]  # it has a state directory of its own
        twin = site.process(1)
        with pytest.raises(AnotherNode, match=r"node 1 of cluster 7 is another running bridge .*http://1/mi"):
            await twin.start()
        assert site.table[1].state is ACTIVE


async def test_with_a_new_disk_it_waits_until_its_row_stands_still(site: MemorySite, autojump_clock: MockClock) -> None:
    async with site.running(1) as [one]:
        one.kill()
        del site.files[1]
        site.sessions[SESSION] = 1
        at = trio.current_time()
        again = site.process(1)
        again.links.claiming = 60.0
        assert await again.start()
        assert TIMEOUT <= trio.current_time() - at < TIMEOUT + 2 * PING
        async with trio.open_nursery() as nursery:
            nursery.start_soon(again.run)
            await trio.sleep(20 * PING)
            assert again.links.adopted == [(1, [SESSION], 0.0)]
            assert again.stats.counts["beats_late"] == 0  # no beat waits for a claim
            nursery.cancel_scope.cancel()


async def test_a_start_waits_for_commits_that_stand_still_and_not_for_ever(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    one = site.process(1)
    one.table.unsure = ("enter",)
    assert await one.start(50) is None  # and it has no outcome, though it is there
    assert trio.current_time() <= TIMEOUT + 2 * PING
    one.table.unsure = ()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await trio.sleep(2 * PING)
        assert one.fence.valid()  # at once: the row has an epoch of ours
        assert not one.links.given_up
        nursery.cancel_scope.cancel()


async def test_what_only_an_operator_can_mend_ends_the_start(site: MemorySite, autojump_clock: MockClock) -> None:
    one = site.process(1)
    one.table.denied = True
    with pytest.raises(TableRefused, match="INSERT command denied"):
        await one.start()


async def test_only_one_way_leads_in(site: MemorySite, autojump_clock: MockClock) -> None:
    one = site.process(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await trio.sleep(3 * PING)
        assert site.table == {}
        assert await one.start(50) == 1001
        await trio.sleep(3 * PING)
        assert site.table[1].epoch == 1001
        assert one.fence.valid()
        nursery.cancel_scope.cancel()


async def test_what_was_taken_over_meanwhile_is_not_inherited(site: MemorySite, autojump_clock: MockClock) -> None:
    async with site.running(1, 2) as (one, two):
        one.kill()
        await trio.sleep(TIMEOUT + 3 * PING)
        assert two.links.adopted
        again = site.process(1)
        assert await again.start()
        assert not again.life.inherited_at_start


async def test_what_a_peer_took_meanwhile_is_not_inherited(site: MemorySite, autojump_clock: MockClock) -> None:
    """By a hand-over whose answer was lost: the rest of what the journal has is ours as ever."""
    given, kept, later = (NodeSession("gw1", "janusws://h", number, False) for number in (1, 2, 3))
    async with site.running(1, 2) as (one, _two):
        one.kill()
        site.sessions = {given: 2, kept: 1, later: 1}
        again = site.process(1)
        again.sessions.know([given, kept])
        await again.start()
        assert again.life.inherited_at_start
        assert again.lost == [given]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(again.run)
            await trio.sleep(2 * PING)
            assert again.links.adopted == [(1, [later], 0.0)]
            assert (again.links.lost, site.sessions) == ([], {given: 2, kept: 1, later: 1})
            again.kill()
        site.nodes[1] = late = site.process(1)  # the table cannot be read until later
        late.sessions.know([given, kept, later])
        late.table.away = True
        await late.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(late.run)
            await trio.sleep(2 * PING)
            assert late.lost == late.links.lost == []
            late.table.away = False
            await trio.sleep(2 * PING)
            assert late.links.lost == [given]
            assert site.sessions[given] == 2
            late.kill()


async def test_who_may_live_is_known_once_the_database_was_away_for_long(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    """Unless somebody asks of whom nothing was read."""
    async with site.running(1, 2) as (one, two):
        assert not one.cluster.all_known()
        one.table.away = two.table.away = True
        await trio.sleep(TIMEOUT - 2 * PING)
        assert not one.cluster.all_known()
        await trio.sleep(4 * PING)
        assert one.cluster.all_known()
        one.cluster.alive(3, 77)
        assert not one.cluster.all_known()
        one.table.away = False
        await trio.sleep(2 * PING)
        assert not one.cluster.all_known()
        assert [node.node_id for node in one.cluster.living()] == [2]
        assert one.cluster.idle() == []


async def test_no_word_for_a_life_that_is_over_is_got_from_one_whose_host_lags_behind(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    async with site.running(1, 2) as (one, two):
        one.table.away, one.mi = True, False
        before = dict(site.table)
        await until(lambda: two.links.adopted)
        await trio.sleep(2 * PING)
        two.table.lags = before
        await trio.sleep(2 * PING)
        one.mi = True
        assert two.cluster.alive(1, before[1].epoch) is Word.OVER
        await trio.sleep(2 * PING)
        assert not one.fence.open()


async def test_who_has_just_begun_at_another_host_of_the_database_is_known_when_it_counts(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    """Before it is said that nobody has a handle, and before sessions are handed over."""
    async with site.running(1) as [one]:
        one.table.lags = dict(site.table)
        two = site.process(2)
        await two.start()
        assert await one.cluster.look()
        assert [node.node_id for node in one.cluster.living()] == [2]


async def test_who_was_forgotten_with_its_row_inherits_nothing(site: MemorySite, autojump_clock: MockClock) -> None:
    """Its machine was gone for good, as everybody thought."""
    async with site.running(1, 2) as (one, two):
        one.kill()
        await until(lambda: two.links.adopted)
        del site.table[1]  # by an operator
        again = site.process(1)
        assert await again.start()
        assert not again.life.inherited_at_start
    alone = MemorySite()
    alone.files[1] = site.files[1]
    first = alone.process(1)  # of tables that were made anew, for everybody
    assert await first.start()
    assert first.life.inherited_at_start


async def test_a_row_that_was_deleted_is_back_and_the_life_goes_on(
    site: MemorySite, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with site.running(1, 2) as (one, two):
        site.sessions[SESSION] = 1
        one.sessions.know([SESSION])
        for again in range(3):
            epoch = site.table.pop(1).epoch
            await until(lambda: 1 in site.table)
            assert site.table[1].epoch == epoch
            assert one.fence.valid()
            one.table.unsure = ("enter_again",) if again else ()  # it is there, and no answer comes
            await trio.sleep(3 * PING)
            assert [node.node_id for node in two.cluster.living()] == [1]
        assert not one.links.given_up + one.links.lost
        assert not two.links.adopted
        assert site.sessions == {SESSION: 1}
        assert caplog.text.count("somebody deleted the row of this bridge, node 1") == 1


async def test_a_row_that_was_deleted_brings_back_nothing_that_a_peer_has(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    """It was said to be over, while it ran, and taken over; or its beats had stopped for too long."""
    async with site.running(1, 2) as (one, _two):
        kept = SESSION._replace(session_id=43)
        one.sessions.know([SESSION, kept])
        site.sessions |= {SESSION: 2, kept: 1}
        del site.table[1]
        await until(lambda: one.links.lost)
        assert one.links.lost == [SESSION]
        assert not one.links.given_up
        one.table.away, one.mi = True, False
        await until(lambda: not one.fence.valid())
        del site.table[1]
        one.table.away = False
        await until(lambda: one.links.given_up)


async def test_what_a_peer_was_given_and_had_not_written_when_it_died_is_ours_again(
    site: MemorySite, autojump_clock: MockClock
) -> None:
    """The table says so; nobody else would have it. As long as the peer lives, nothing is taken back."""
    async with site.running(1, 2, 3) as (one, two, three):
        site.sessions[SESSION] = 1
        one.sessions.know([SESSION])
        gateway = Gateway(1, SESSION.janus_id, SESSION.janus_url, None)
        one.sessions.let_go(gateway, SESSION.session_id, Life(2, site.table[2].epoch))
        one.links.claiming = 3 * PING
        assert await one.cluster.reconcile()
        await trio.sleep(2 * PING)
        assert not one.links.adopted
        two.kill()
        await until(lambda: site.table[2].state is TAKEN)
        while not [adopted for adopted in one.links.adopted if adopted[1]]:
            assert [node.node_id for node in one.cluster.silent()] == [2]
            await trio.sleep(PING / 10)
        await trio.sleep(PING)
        assert [node.node_id for node in one.cluster.silent()] == [2]
        await trio.sleep(2 * TIMEOUT)
        [(node_id, sessions, silent_for)] = [adopted for adopted in one.links.adopted if adopted[1]]
        assert (node_id, sessions) == (2, [SESSION])
        assert silent_for >= TIMEOUT - PING
        assert not [adopted for adopted in three.links.adopted if adopted[1]]
        assert site.sessions == {SESSION: 1}
        assert not one.cluster.silent()


async def test_without_the_database_the_last_life_goes_on(site: MemorySite, autojump_clock: MockClock) -> None:
    async with site.running(1, 2) as (one, _two):
        one.kill()
        epoch = site.table[1].epoch
        again = site.process(1)
        again.table.away = True
        assert await again.start() is None
        assert again.life.inherited_at_start
        async with trio.open_nursery() as nursery:
            nursery.start_soon(again.run)
            await trio.sleep(2 * PING)
            assert again.fence.valid()  # its peer vouches
            again.table.away = False
            await trio.sleep(3 * PING)
            assert site.table[1].epoch == epoch
            assert not again.links.given_up
            nursery.cancel_scope.cancel()


async def test_the_first_start_of_all_may_be_without_the_database(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    for serve in (False, True):
        site = MemorySite(serve=serve)
        one = site.process(1)
        one.table.away = True
        assert await one.start() is None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.run)
            await trio.sleep(3 * PING)
            assert one.fence.open() == serve
            assert not one.fence.valid()
            one.table.away = False
            await trio.sleep(3 * PING)
            assert one.fence.valid()
            assert site.table[1].state is ACTIVE
            nursery.cancel_scope.cancel()
    assert [record for record in caplog.records if record.levelno > logging.ERROR] == []


async def test_a_twin_that_comes_later_does_not_fight_for_ever(
    site: MemorySite, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with site.running(1) as [one]:
        del site.files[1]
        epoch = site.table[1].epoch
        site.table[1] = site.table[1]._replace(epoch=epoch + 9)  # as an operator with SQL can
        await trio.sleep(2 * PING)
        assert len(one.links.given_up) == 1
        for beat in range(30):
            site.table[1] = site.table[1]._replace(epoch=epoch + 9, beat=500 + beat)
            await trio.sleep(PING)
        assert site.table[1].epoch == epoch + 9
        assert not one.fence.open()
        assert caplog.text.count("is another running bridge") == 1


# What others ask


async def test_what_is_shown(site: MemorySite, autojump_clock: MockClock) -> None:
    async with site.running(1, 2) as (one, two):
        two.kill()
        await trio.sleep(5 * PING)
        shown = one.cluster.figures()
        assert (shown.cluster_id, shown.node_id, shown.serves, shown.trouble) == (7, 1, True, None)
        assert 0 < shown.valid <= 8
        assert [(node.node_id, node.state) for node in shown.nodes] == [(1, "active"), (2, "silent")]
        assert 4 <= shown.nodes[1].still <= 6
        assert one.cluster.silent() == [site.table[2]]
        assert one.cluster.living() == []


async def test_whose_life_goes_on(site: MemorySite, autojump_clock: MockClock) -> None:
    async with site.running(1, 2) as (one, two):
        epoch = site.table[1].epoch
        assert one.cluster.alive(1, epoch) is Word.ALIVE
        assert one.cluster.alive(1, epoch - 1) is Word.OVER
        assert one.cluster.alive(1, epoch + 100) is Word.UNSURE
        assert two.cluster.alive(1, epoch) is Word.ALIVE
        assert two.cluster.alive(1, epoch - 1) is Word.OVER
