"""Transactions of the bridge's own, and whose a message is (contract 5.4)."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.janus import Kind
from bridge.protocol.transactions import BridgeTransaction, TransactionTable, decode, encode
from tests.support.janus import Janus
from tests.support.janus_client import JanusClient

KINDS: tuple[Kind, ...] = get_args(Kind)

# Whatever a caller may call its transaction: everything but lone surrogates, which no JSON of Janus can carry.
callers = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
starts = st.text("0123456789abcdef", min_size=1, max_size=12)
numbers = st.integers(0, 10**18 - 1)
kinds = st.sampled_from(KINDS)


@given(starts, numbers, kinds, callers)
def test_decode_is_the_inverse_of_encode(start: str, number: int, kind: Kind, caller: str | None) -> None:
    text = encode(start, number, kind, caller)
    assert text.isascii()
    assert text.isprintable()
    assert decode(text) == BridgeTransaction(start, number, kind, caller)


@given(st.text(max_size=40) | st.text("jb.0123aoxl=%\ud800\u0663", max_size=30).map(lambda text: f"jb.{text}"))
def test_decode_is_total_and_takes_nothing_that_encode_does_not_write(text: str) -> None:
    decoded = decode(text)
    if decoded is not None:
        assert decode(encode(*decoded)) == decoded


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abcdef123456",
        "jb.",
        "jb.s.1.x",
        "jb..1.x.",
        "jb.s..x.",
        "jb.s.1.z.",
        "jb.s.-1.x.",
        "jb.s.\u0663.x.",
        "jb.s.1.x.caller",
        "JB.s.1.x.",
        "jb.s." + "9" * 19 + ".x.",
    ],
)
def test_transaction_that_no_bridge_made_is_nobodys(text: str) -> None:
    assert decode(text) is None


def test_empty_transaction_of_a_caller_is_not_a_missing_one() -> None:
    assert decode(encode("s", 1, "message", "")) == ("s", 1, "message", "")
    assert decode(encode("s", 1, "message", None)) == ("s", 1, "message", None)


@pytest.mark.parametrize("caller", [None, "", "x" * 10_000, "a.b=c%d jb.s.1.o.", 'é"\\\n\0', "\U0001f600"])
async def test_janus_gives_it_back_as_it_was(janus: Janus, caller: str | None) -> None:
    async with JanusClient.open(janus) as client:
        text = encode("s", 7, "other", caller)
        answer = await client.request({"janus": "ping", "transaction": text})
        assert decode(answer["transaction"]) == ("s", 7, "other", caller)


@given(st.lists(st.tuples(kinds, callers), max_size=20), st.data())
def test_table_has_each_until_it_is_taken_out(requests: list[tuple[Kind, str]], data: st.DataObject) -> None:
    table: TransactionTable[object] = TransactionTable("start")
    open_ones = {table.open(request, *request): request for request in requests}
    assert len(open_ones) == len(requests), "two have the same text"
    for text in data.draw(st.permutations(list(open_ones))):
        assert table.waiting.pop(text) is open_ones.pop(text)
        assert text not in table.waiting


def test_transaction_that_nobody_waits_for_has_a_number_of_its_own() -> None:
    table: TransactionTable[object] = TransactionTable("start")
    waiting = table.open(object(), "message", "c")
    text = table.name("internal", "4711")
    assert decode(text) == ("start", 2, "internal", "4711")
    assert text != waiting
    assert text not in table.waiting


def test_answer_to_another_start_is_nobodys() -> None:
    before: TransactionTable[object] = TransactionTable("before")
    now: TransactionTable[object] = TransactionTable("now")
    text = before.open(object(), "message", "c")
    now.open(object(), "message", "d")
    assert text not in now.waiting
