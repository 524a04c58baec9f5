"""For how long a row has stood still, and whose change was the last."""

import pytest

from bridge.protocol.cluster import Node, NodeState
from bridge.protocol.watched_node import NEVER, WatchedNode

ROW = Node(2, "http://127.0.0.1:1/mi", 5, 1, NodeState.ACTIVE)
TAKEN = ROW._replace(epoch=6, state=NodeState.TAKEN)


def watched() -> WatchedNode:
    """Since 100.0."""
    return WatchedNode(ROW, 100.0, 100.0)


def test_what_was_not_watched_does_not_count() -> None:
    one = watched()
    one.seen(ROW, 101.0, 101.1, 2.0)
    assert one.still == 1.0
    one.seen(ROW, 161.0, 161.1, 2.0)
    assert (one.still, one.seen_at) == (3.0, 161.0)
    one.seen(ROW, 160.0, 161.2, 2.0)  # asked before, answered later
    assert (one.still, one.seen_at) == (3.0, 161.0)


def test_a_change_begins_anew() -> None:
    one = watched()
    one.seen(ROW, 101.0, 101.1, 2.0)
    one.unanswered_at, one.taking, one.searched = 101.0, True, True
    one.seen(ROW._replace(beat=2), 102.0, 102.1, 2.0)
    assert (one.still, one.seen_at, one.moved_at, one.changes) == (0.0, 102.1, 102.1, 1)
    assert (one.unanswered_at, one.taking, one.searched) == (NEVER, False, False)


@pytest.mark.parametrize(
    ("known", "before"),
    [
        (ROW._replace(beat=2), ROW),
        (ROW._replace(state=NodeState.OVER), ROW),
        (TAKEN, ROW),
        (TAKEN, ROW._replace(beat=9)),
        (ROW._replace(epoch=7), TAKEN),
    ],
)
def test_what_it_was_before_is_another_host_s_that_lags_behind(known: Node, before: Node) -> None:
    one = WatchedNode(known, 100.0, 100.0)
    one.seen(before, 101.0, 101.1, 2.0)
    assert one == WatchedNode(known, 100.0, 100.0)
    one.seen(known, 102.0, 102.1, 2.0)
    assert (one.node, one.still) == (known, 2.0)


def test_one_that_was_called_over_and_beats_lives() -> None:
    one = WatchedNode(ROW._replace(state=NodeState.OVER), 100.0, 100.0)
    one.seen(ROW._replace(beat=2), 101.0, 101.1, 2.0)
    assert one.node.running


def test_what_others_write_is_no_sign_of_life() -> None:
    for state in (NodeState.OVER, NodeState.TAKEN):
        one = watched()
        one.seen(ROW._replace(state=state), 104.0, 104.1, 2.0)
        assert (one.moved_at, one.taken) == (100.0, (NEVER, NEVER))  # systemd's word of it, or its own: all are given


def test_who_was_taken_over_by_another_one_had_moved_before() -> None:
    one = watched()
    one.seen(TAKEN, 104.0, 104.1, 2.0)
    assert (one.moved_at, one.taken) == (100.0, (104.1, 100.0))
    one.seen(ROW._replace(epoch=7), 105.0, 105.1, 2.0)  # it begins anew
    assert (one.moved_at, one.taken) == (105.1, (104.1, 100.0))


def test_what_we_took_over_ourselves_is_heard() -> None:
    one = watched()
    one.taking = True
    one.seen(TAKEN, 104.0, 104.1, 2.0)
    assert one.taken == (NEVER, NEVER)
    assert one.owed  # there may be more
