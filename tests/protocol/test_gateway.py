"""What rows of the janus table mean (contract 4.5)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.gateway import Gateway, TableRow, read_rows
from bridge.protocol.janus_url import JanusUrl

URL = "janusws://127.0.0.1:8188/janus"
janus_ids = st.sampled_from(["gw1", "gw2", "", "a\nb"]) | st.text(max_size=5)
urls = st.sampled_from([URL, "januswss://h", "http://h", ""]) | st.text(max_size=10)
tables = st.lists(st.builds(TableRow, st.integers(1, 50), janus_ids, urls), max_size=8, unique_by=lambda row: row.id)


def test_rows_become_gateways() -> None:
    gateways, warnings = read_rows([TableRow(1, "gw1", URL), TableRow(2, "gw2", "wss://h")])
    assert gateways == {
        "gw1": Gateway(1, "gw1", URL, JanusUrl(False, "127.0.0.1", 8188, "/janus")),
        "gw2": Gateway(2, "gw2", "wss://h", JanusUrl(True, "h", 8989, "/janus")),
    }
    assert warnings == []


def test_bad_url_disables_that_row_alone() -> None:
    gateways, warnings = read_rows([TableRow(1, "gw1", URL), TableRow(2, "gw2", "http://h")])
    assert gateways["gw1"].fault is None
    assert gateways["gw2"].url is None
    assert gateways["gw2"].fault == "janus_url: scheme 'http' is not one of janusws, januswss, ws, wss"
    assert warnings == [f"row id=2: 'gw2': {gateways['gw2'].fault}; the row is disabled"]


@pytest.mark.parametrize("janus_id", ["", "a\nb", "\x1b[31m", "\0", "\u202e", "\ud800"])
def test_bad_janus_id_disables_that_row_alone(janus_id: str) -> None:
    gateways, warnings = read_rows([TableRow(7, janus_id, URL), TableRow(8, "gw", URL)])
    assert list(gateways) == ["gw"]
    assert warnings == [f"row id=7: janus_id {janus_id!r} is empty or unprintable; the row is disabled"]
    assert warnings[0].isprintable()


@pytest.mark.parametrize("janus_id", ["account1", "müller", "a b", "令狐", "x" * 64])
def test_other_janus_ids_are_taken_as_they_are(janus_id: str) -> None:
    assert list(read_rows([TableRow(1, janus_id, URL)])[0]) == [janus_id]


def test_highest_id_wins_whatever_the_order_and_the_others_are_named() -> None:
    rows = [TableRow(3, "gw", "ws://three"), TableRow(1, "gw", "ws://one"), TableRow(2, "gw", "ws://two")]
    gateways, warnings = read_rows(rows)
    assert gateways["gw"].janus_url == "ws://three"
    assert warnings == [
        "row id=1: 'gw' is also that of row id=2, which wins",
        "row id=2: 'gw' is also that of row id=3, which wins",
    ]


def test_winner_may_be_a_bad_one() -> None:
    gateways, warnings = read_rows([TableRow(1, "gw", URL), TableRow(2, "gw", "ftp://h")])
    assert gateways["gw"].fault is not None
    assert [warning.partition(":")[0] for warning in warnings] == ["row id=1", "row id=2"]


@given(tables, st.randoms())
def test_any_table_is_read_and_every_row_is_accounted_for(rows: list[TableRow], random: Any) -> None:
    gateways, warnings = read_rows(rows)
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert read_rows(shuffled) == (gateways, warnings)
    used = {gateway.id for gateway in gateways.values() if gateway.url is not None}
    named = {int(warning.partition(":")[0].removeprefix("row id=")) for warning in warnings}
    assert used | named == {row.id for row in rows}
    assert not used & named
    for janus_id, gateway in gateways.items():
        assert gateway.janus_id == janus_id
        assert gateway.id == max(row.id for row in rows if row.janus_id == janus_id)
        assert (gateway.url is None) == (gateway.fault is not None)
