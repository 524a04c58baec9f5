"""Beat and watch as playbooks, and as a cluster in which anything may fail: nobody who may claim is taken over."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.protocol.cluster import Node, NodeState, Start, Word
from bridge.protocol.membership import Membership
from bridge.protocol.watched_node import NEVER
from tests.support.examples import examples

ACTIVE, DRAINING, OVER, TAKEN = NodeState.ACTIVE, NodeState.DRAINING, NodeState.OVER, NodeState.TAKEN
URL = "http://127.0.0.1:1/mi"


def node(node_id: int, epoch: int = 5, beat: int = 1, state: NodeState = ACTIVE) -> Node:
    return Node(node_id, URL, epoch, beat, state)


def member(*, serve: bool = False, known: list[Node] | None = None) -> Membership:
    """Node 1 in its life 9, since 100.0; ping_interval 1, node_timeout 10."""
    made = Membership(1, 1.0, 10.0, serve=serve, known=known)
    made.began(9, 1, 100.0)
    return made


def watch(me: Membership, seconds: float, *nodes: Node, start: float = 101.0) -> float:
    """Read these once a second; when it was read last."""
    now = start
    while True:
        me.read(nodes, now, now)
        if now >= start + seconds:
            return now
        now += 1.0


# Our own life


def test_a_beat_is_worth_four_fifths_of_the_timeout_from_its_sending_on() -> None:
    me = member()
    assert (me.valid_until, me.open_until) == (108.0, 108.0)
    me.counted(103.0)
    assert (me.beat, me.valid_until) == (2, 111.0)
    me.unknown()
    assert (me.beat, me.valid_until) == (2, 111.0)


def test_a_beat_of_unknown_outcome_may_have_counted() -> None:
    me = member()
    me.unknown()
    assert not me.refused(node(1, 9, 2))
    assert (me.beat, me.valid_until) == (2, 108.0)  # the others have seen it long ago, perhaps
    me.counted(106.0)
    assert (me.beat, me.valid_until) == (3, 114.0)


@pytest.mark.parametrize(
    ("row", "unsure"),
    [
        (None, True),  # somebody deleted it
        (node(1, 10, 1), True),  # a peer took over
        (node(1, 9, 0), True),  # the table was set back
        (node(1, 9, 2), False),  # a copy of this process, out of a snapshot of its machine
    ],
)
def test_a_beat_that_is_refused_ends_this_life(row: Node | None, unsure: bool) -> None:
    me = member()
    if unsure:
        me.unknown()
    assert me.refused(row)
    assert (me.epoch, me.valid_until, me.open_until) == (None, NEVER, NEVER)


def test_a_row_that_is_gone_is_that_of_a_bridge_for_as_long_as_it_may_put_it_back() -> None:
    me = member()
    now = watch(me, 1.0, node(2), node(3, state=TAKEN))
    me.read([], now + 1.0, now + 1.0)
    assert [one.node_id for one in me.living()] == [2]
    assert [one.node_id for one in me.electors()] == [2]
    me.read([node(2, beat=2)], now + 2.0, now + 2.0)
    watch(me, 4.0, start=now + 3.0)
    assert me.rows() == []


def test_the_word_of_all_peers_is_as_good_as_a_beat() -> None:
    me = member()
    me.read([node(2), node(3), node(4, state=TAKEN), node(5, state=OVER)], 101.0, 101.0)
    assert [peer.node_id for peer in me.electors()] == [2, 3]
    assert not me.asked({2: Word.ALIVE, 3: Word.ALIVE}, 104.0)
    assert (me.valid_until, me.open_until) == (112.0, 112.0)


def test_who_was_taken_over_may_have_begun_anew_where_nobody_sees_it() -> None:
    me = member(serve=True)
    me.read([node(2, state=TAKEN)], 101.0, 101.0)
    assert [peer.node_id for peer in me.electors()] == [2]
    me.asked({2: None}, 104.0)
    assert (me.valid_until, me.open_until) == (108.0, 112.0)
    me.asked({2: Word.ALIVE}, 105.0)
    assert me.valid_until == 113.0


@pytest.mark.parametrize("words", [{2: Word.ALIVE, 3: None}, {2: None, 3: None}, {2: Word.ALIVE, 3: Word.UNSURE}])
def test_with_one_of_them_out_of_reach_only_what_is_open_goes_on(words: dict[int, Word | None]) -> None:
    for serve, open_until in ((False, 108.0), (True, 112.0)):
        me = member(serve=serve)
        me.read([node(2), node(3)], 101.0, 101.0)
        assert not me.asked(words, 104.0)
        assert (me.valid_until, me.open_until) == (108.0, open_until)


def test_a_peer_that_knows_better_ends_this_life() -> None:
    me = member(serve=True)
    me.read([node(2), node(3)], 101.0, 101.0)
    assert me.asked({2: Word.ALIVE, 3: Word.OVER}, 104.0)
    assert (me.epoch, me.valid_until, me.open_until) == (None, NEVER, NEVER)


def test_who_has_no_peers_needs_no_word_but_has_to_know_it() -> None:
    me = member()
    me.read([node(1, 9)], 101.0, 101.0)
    assert not me.asked({}, 104.0)
    assert me.valid_until == 112.0
    for known, valid_until in ((None, NEVER), ([], 112.0), ([node(1)], 112.0)):
        fresh = Membership(1, 1.0, 10.0, serve=False, known=known)
        fresh.goes_on(9)
        fresh.asked({}, 104.0)
        assert fresh.valid_until == valid_until


def test_the_life_of_the_last_process_goes_on_where_the_table_says_so() -> None:
    me = Membership(1, 1.0, 10.0, serve=True, known=[node(2)])
    me.goes_on(9)
    assert (me.epoch, me.valid_until, me.open_until) == (9, NEVER, NEVER)
    me.asked({2: None}, 100.0)
    assert (me.valid_until, me.open_until) == (NEVER, 108.0)
    assert not me.refused(node(1, 9, 77))
    assert (me.beat, me.valid_until) == (77, NEVER)


# A start


def start(me: Membership, *rows: Node, mine: tuple[int, ...] = ()) -> list[Start]:
    found = []
    for second, row in enumerate(rows):
        me.read([row], float(second), float(second))
        found.append(me.enter(mine))
    return found


def fresh() -> Membership:
    return Membership(1, 1.0, 10.0, serve=False)


def test_what_nobody_has_is_free_at_once() -> None:
    me = fresh()
    me.read([node(2)], 1.0, 1.0)
    assert me.enter(()) is Start.ENTER
    for row in (node(1, state=OVER), node(1, state=TAKEN)):
        assert start(fresh(), row) == [Start.ENTER]
    assert start(fresh(), node(1, 5), mine=(4, 5)) == [Start.ENTER]


def test_a_row_that_stands_still_is_free_after_the_timeout() -> None:
    assert start(fresh(), *[node(1)] * 11) == [Start.WAIT] * 10 + [Start.ENTER]


def test_a_row_that_beats_is_another_one_s() -> None:
    assert start(fresh(), node(1), node(1, beat=2)) == [Start.WAIT, Start.TWIN]
    rows = [node(1), node(1, beat=2), *[node(1, beat=3)] * 11]
    assert start(fresh(), *rows) == [Start.WAIT] + [Start.TWIN] * 11 + [Start.ENTER]  # until it dies


def test_after_a_life_the_row_is_watched_anew() -> None:
    me = member()
    watch(me, 5.0, node(1, 9, 2))
    watch(me, 5.0, node(1, 20, 2))
    me.over()
    me.read([node(1, 20, 3)], 200.0, 200.0)
    assert me.enter(()) is Start.WAIT


# The others


def test_one_that_stands_still_is_suspected_and_one_that_beats_is_not() -> None:
    me = member()
    me.counted(105.0)
    now = watch(me, 9.0, node(2), node(3), node(4, state=DRAINING))
    assert me.suspects(now) == []
    me.read([node(2), node(3, beat=2), node(4, state=DRAINING)], 110.5, 110.5)
    assert me.suspects(110.5) == [node(2), node(4, state=DRAINING)]
    assert me.silent() == [node(2), node(4, state=DRAINING)]
    assert me.living() == [node(3, beat=2)]
    me.read([node(2, epoch=6)], 112.0, 112.0)
    assert me.suspects(112.0) == []


def test_it_is_asked_so_that_its_answer_is_due_with_the_timeout_and_taken_to_the_moment() -> None:
    me = member()
    me.counted(105.0)
    now = watch(me, 9.0, node(2))
    assert me.wake_at(now) == 110.5
    me.read([node(2)], 110.5, 110.6)
    assert me.suspects(110.6) == [node(2)]
    me.unanswered(node(2), 110.6)
    assert me.suspects(111.0) == me.heirless(111.0) == []
    assert me.wake_at(110.9) == 111.0
    me.read([node(2)], 111.0, 111.1)
    assert me.heirless(111.1) == [node(2)]
    assert me.wake_at(111.1) == float("inf")


def test_a_silence_of_long_ago_is_none() -> None:
    me = member()
    now = watch(me, 9.5, node(2))
    me.counted(now)
    me.unanswered(node(2), now)
    now = watch(me, 0.0, node(2), start=now + 4.0)
    assert me.heirless(now) == []
    assert me.suspects(now) == [node(2)]
    me.unanswered(node(2, beat=0), now)  # of a row that it has no more
    me.unanswered(node(9), now)
    assert me.heirless(now) == []


def test_what_a_read_takes_is_watched_but_for_the_first() -> None:
    me = member()
    for second in range(4):
        me.read([node(2)], 101.0 + second, 101.5 + second)
    assert me.peers[2].still == 2.5
    assert me.wake_at(104.5) == 104.0 + 10.0 - 2.5 - 0.5


def test_one_whose_process_has_said_that_it_is_over_is_taken_at_once() -> None:
    me = member()
    now = watch(me, 2.0, node(2), node(3), node(4, state=DRAINING))
    assert me.vouch(2, 5, now) is Word.ALIVE  # it wants it no more
    assert [me.released(one, 5) for one in (2, 2, 4)] == [True, False, True]
    assert me.heirless(now) == [node(2), node(4, state=DRAINING)]
    assert me.silent() == [node(2), node(4, state=DRAINING)]
    assert me.living() == [node(3)]
    me.read([node(2, 6), node(3), node(4, state=OVER)], now, now)  # begun anew, and as the table says
    assert me.heirless(now) == [node(4, state=OVER)]
    assert [me.released(2, 5), me.released(4, 5)] == [False, False]


def test_one_that_is_released_before_it_was_read_of() -> None:
    me = member()
    me.read([node(2, 5)], 101.0, 101.0)
    assert me.released(2, 6)
    assert me.released(3, 5)
    assert me.heirless(101.0) == []
    me.read([node(2, 6)], 101.1, 101.1)
    assert me.heirless(101.1) == [node(2, 6)]
    me.read([node(2, 6), node(3)], 101.2, 101.2)  # which was in no table when it was told
    assert me.heirless(101.2) == [node(2, 6)]


def test_who_is_not_sure_of_himself_takes_nobody() -> None:
    me = member()
    now = watch(me, 10.0, node(2), node(3, state=OVER))
    assert now == 111.0  # valid until 108
    assert me.suspects(now) == me.heirless(now) == []
    assert not me.taking(node(2), now)


@pytest.mark.parametrize("stopped", [False, True])
def test_what_could_not_be_read_was_not_watched(stopped: bool) -> None:
    me = member()
    watch(me, 5.0, node(2))
    if not stopped:
        me.not_read()
    now = watch(me, 2.0, node(2), start=900.0)
    me.counted(now)
    assert me.suspects(now) == []
    assert me.peers[2].still == (9.0 if stopped else 7.0)  # a stop counts as two intervals


def test_who_answers_is_left_alone_for_as_long() -> None:
    me = member()
    now = watch(me, 10.0, node(2))
    me.counted(now)
    me.answered(2, now)
    assert me.suspects(now) == []
    assert not me.taking(node(2), now)
    now = watch(me, 9.0, node(2), start=now + 1.0)
    me.counted(now)
    assert me.suspects(now) == [node(2)]


def test_one_that_is_over_is_taken_at_once_and_one_that_is_taken_never() -> None:
    me = member()
    watch(me, 0.0, node(2, state=OVER), node(3, state=TAKEN))
    assert me.heirless(102.0) == [node(2, state=OVER)]
    assert me.silent() == [node(2, state=OVER)]
    assert me.suspects(102.0) == me.living() == []


def test_a_word_that_was_given_holds() -> None:
    me = member()
    now = watch(me, 9.0, node(2))
    me.counted(now)
    assert me.vouch(2, 5, now) is Word.ALIVE
    assert me.vouch(7, 5, now) is Word.ALIVE  # which has joined while we could not read
    assert me.vouch(2, 6, now) is Word.ALIVE  # a life that we have not read of yet
    assert me.vouch(2, 4, now) is Word.OVER
    now = watch(me, 5.0, node(2), start=now + 1.0)
    assert me.suspects(now) == []
    now = watch(me, 0.0, node(2, state=OVER), start=now + 1.0)
    me.counted(now)
    assert me.heirless(now) == [node(2, state=OVER)]  # it has said itself that it needs none
    assert me.taking(node(2, state=OVER), now)


def test_who_is_being_taken_over_gets_no_word() -> None:
    me = member()
    now = watch(me, 10.0, node(2))
    me.counted(now)
    assert not me.taking(node(2, beat=0), now)  # it has changed meanwhile
    assert me.taking(node(2), now)
    assert me.vouch(2, 5, now) is Word.UNSURE
    assert me.state_of(me.peers[2]) == "silent"
    me.not_taken(node(2))
    assert me.vouch(2, 5, now) is Word.ALIVE
    assert not me.taking(node(9), now)
    me.not_taken(node(9))


# A cluster of which anything may fail


@dataclass
class Site:
    """A table, and members that share it. ``now`` is everybody's clock."""

    members: dict[int, Membership]
    table: dict[int, Node]
    now: float = 0.0
    epochs: int = 100

    def beat(self, me: Membership, outcome: str) -> None:
        if me.epoch is None or outcome == "lost":
            me.unknown()
            return
        row, sent_at = self.table[me.node_id], self.now
        if (row.epoch, row.beat) != (me.epoch, me.beat):
            if outcome == "counts" and me.refused(row):
                return
        else:
            self.table[me.node_id] = row._replace(beat=row.beat + 1)
            if outcome == "counts":
                me.counted(sent_at)
                return
        me.unknown()

    def ask(self, me: Membership, reached: set[int]) -> None:
        if me.epoch is None:
            return
        electors = [peer.node_id for peer in me.electors()]
        words: dict[int, Word | None] = {
            one: self.members[one].vouch(me.node_id, me.epoch, self.now) if one in reached else None for one in electors
        }
        me.asked(words, self.now)

    def take(self, me: Membership, reached: set[int]) -> None:
        for row in me.suspects(self.now):
            if row.node_id in reached and self.members[row.node_id].epoch == row.epoch:
                me.answered(row.node_id, self.now)
            else:
                me.unanswered(row, self.now)
        for row in me.heirless(self.now):
            other = self.members[row.node_id]
            if me.taking(row, self.now):
                mine = self.table[me.node_id]
                if self.table[row.node_id] != row or (mine.epoch, mine.beat) != (me.epoch, me.beat):
                    me.not_taken(row)
                    continue
                assert other.epoch != row.epoch or other.valid_until <= self.now, "it may still claim"
                self.epochs += 1
                self.table[row.node_id] = row._replace(epoch=self.epochs, state=TAKEN)
                self.table[me.node_id] = mine._replace(beat=mine.beat + 1)
                me.counted(self.now)


def site_of(*node_ids: int) -> Site:
    site = Site({}, {})
    for node_id in node_ids:
        site.members[node_id] = Membership(node_id, 1.0, 10.0, serve=False)
        site.table[node_id] = node(node_id, 10 + node_id)
        site.members[node_id].began(10 + node_id, 1, 0.0)
    for me in site.members.values():
        me.read(site.table.values(), 0.0, 0.0)
    return site


def test_exactly_one_peer_takes_over() -> None:
    site = site_of(1, 2, 3, 4)
    seconds = 0
    while site.table[1].state is ACTIVE:
        site.now += 1.0
        seconds += 1
        for node_id in (2, 3, 4):
            me = site.members[node_id]
            site.beat(me, "counts")
            me.read(site.table.values(), site.now, site.now)
        before = dict(site.table)
        for node_id in (2, 3, 4):
            site.take(site.members[node_id], set())
    assert seconds == 10
    assert site.table[1] == node(1, 101, 1, TAKEN)
    assert sum(site.table[one].beat - before[one].beat for one in (2, 3, 4)) == 1


# What a node can do in a phase: its beats count, have no outcome (they counted or not), or do not reach the table; it
# reads; its MI is reached by the others; it does anything at all.
MODES = {
    "well": ("counts", True, True, True),
    "without the database": ("lost", False, True, True),
    "commits hang": ("unsure", True, True, True),
    "cut off": ("lost", False, False, True),
    "cut off from its peers": ("counts", True, False, True),
    "stopped": ("lost", False, False, False),
}
PHASES = st.tuples(st.integers(1, 14), st.lists(st.sampled_from(sorted(MODES)), min_size=3, max_size=3), st.booleans())


@settings(max_examples=examples(150))
@given(st.lists(PHASES, min_size=1, max_size=6), st.lists(st.sampled_from([0.6, 1.0, 1.4]), min_size=3, max_size=3))
def test_nobody_is_taken_over_who_may_still_claim(
    phases: list[tuple[int, list[str], bool]], steps: list[float]
) -> None:
    site = site_of(1, 2, 3)
    for rounds, names, dies in phases:
        modes = dict(zip((1, 2, 3), (MODES[name] for name in names), strict=True))
        for number in range(rounds):
            for node_id, (outcome, reads, mi, runs) in modes.items():
                site.now += steps[node_id - 1] / 3
                me = site.members[node_id]
                if not runs:
                    continue
                reached = {one for one, (_, _, others, does) in modes.items() if mi and others and does}
                site.beat(me, outcome)
                if outcome != "counts":
                    site.ask(me, reached)
                if reads:
                    me.read(site.table.values(), site.now, site.now)
                else:
                    me.not_read()
                if outcome == "counts" or number % 2:
                    site.take(me, reached - {node_id})
        if dies:  # the process of node 1, and systemd says so, to one of the others before the table
            site.members[2].released(1, site.members[1].epoch or 0)
            site.members[1].over()
            if site.table[1].running:
                site.table[1] = site.table[1]._replace(state=OVER)


def test_one_that_was_taken_before_we_read_is_searched_once_it_stands_still_for_long() -> None:
    me, taken = member(), node(2, state=TAKEN)
    now = watch(me, 5.0, taken)
    me.counted(now)
    assert me.unsearched(now) == []
    now = watch(me, 10.0, taken, start=now)
    me.counted(now)
    assert me.unsearched(now) == [taken]
    me.searched(taken)
    assert me.unsearched(now) == []
