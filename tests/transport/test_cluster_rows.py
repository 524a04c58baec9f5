"""Tables of the cluster that hold what they like: what is a node or a session there, and what is said of the rest."""

from typing import Any

import pytest

from bridge.protocol.cluster import Node, NodeSession, NodeState
from bridge.transport.cluster_rows import MOST, MOST_FAULTS, FaultyRows, RowFault, node_rows, session_rows

GOOD = (1, b"http://h/mi", 5, 6, 0)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ((None, "u", 1, 1, 1), "a row has the node_id NULL"),
        (("2", "u", 1, 1, 1), "a row has the node_id '2'"),
        ((-2, "u", 1, 1, 1), "a row has the node_id -2"),
        ((2.5, "u", 1, 1, 1), "a row has the node_id '2.5'"),
        ((2, "u", b"abc\n\x1b[31m", 1, 1), "a row of node 2 has the epoch 'abc\\n\\x1b[31m'"),
        ((2, "u", "9" * 99, 1, 1), f"a row of node 2 has the epoch '{'9' * 40}'"),
        ((2, "u", 2**53 - 1, 1, 1), "a row of node 2 has the epoch 9007199254740991"),
        ((2, "u", 1, None, 1), "a row of node 2 has the beat NULL"),
        ((2, "u", 1, MOST + 1, 1), "a row of node 2 has the beat 9223372036854775807"),
    ],
)
def test_a_row_that_is_no_node_is_named(row: Any, text: str) -> None:
    nodes, [fault], _ = node_rows([GOOD, row])
    assert nodes == [Node(1, "http://h/mi", 5, 6, NodeState.DRAINING)]
    assert fault.text.startswith(f"{text}, which is no whole number from 0 to ")
    assert fault.node_id == (2 if row[0] == 2 else None)


@pytest.mark.parametrize("state", [None, "1", b"1", 9, -1, "active"])
def test_a_state_that_is_none_is_nobody_s_to_take(state: Any) -> None:
    nodes, faults, _ = node_rows([(2, None, 1, 1, state)])
    assert nodes == [Node(2, "", 1, 1, NodeState.TAKEN)]
    assert faults == []


def test_a_node_that_is_there_twice_is_none() -> None:
    nodes, faults, newest = node_rows([GOOD, (2, "u", 7, 1, 1), (2, "u", 8, 1, 1), (3, "u", "99", 1, 1)])
    assert [node.node_id for node in nodes] == [1]
    assert faults[0] == RowFault(2, "2 rows have the node_id 2")
    assert newest == 8  # nobody may have it again


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (("gw", "u", None, 0), "a row of gateway 'gw' has the session_id NULL, which is no whole number from 0 to "),
        (("gw", "u", "x", 0), "a row of gateway 'gw' has the session_id 'x'"),
        ((None, "u", 2**63, 0), "a row of gateway NULL has the session_id 9223372036854775808"),
        (("gw", "u", 2, "0"), "a row of gateway 'gw' has the managed '0', which is no whole number from 0 to 1"),
        ((b"gw1", b"u", 1, 0), "two rows have the session 1 of 'gw1'"),
    ],
)
def test_a_row_that_is_no_session_is_named(row: Any, text: str) -> None:
    sessions, [fault] = session_rows([(b"gw1", b"u", 1, 1), row])
    assert sessions == [NodeSession("gw1", "u", 1, True)]
    assert fault.text.startswith(text)


def test_each_is_said_once_while_it_stands_there(caplog: pytest.LogCaptureFixture) -> None:
    rows = FaultyRows("janus_node")
    faults = [RowFault(None, f"fault {number}") for number in range(MOST_FAULTS + 5)]
    rows.tell(faults[:1])
    rows.tell(faults[:1] * 2)
    assert caplog.messages == ["janus_node: fault 0; the row is ignored: correct or delete it in SQL"]
    rows.tell(faults[1:])
    assert len(caplog.messages) == 1 + MOST_FAULTS + 1
    assert caplog.messages[-1] == "janus_node: 4 more rows bad"
    rows.tell(faults[:1])
    assert len(caplog.messages) == 1 + MOST_FAULTS + 2
