"""The model itself: what it must find, it finds."""

from typing import Any

import pytest

from tests.model.ledger import Asked, Ledger

ASKED = Asked(1, "gw", "echo", 0)


def result(number: int = 1) -> dict[str, Any]:
    data = {"data": {"number": number}}
    return {"result": {"janus": "success", "transaction": f"t{number}", "plugindata": data}}


def error(code: int, data: str = "", message: str = "x") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "data": data}}


def answered(answer: dict[str, Any], seen: int, epoch: int | None = 0) -> list[str]:
    """The faults of a round with one request, which Janus saw so often."""
    ledger = Ledger()
    ledger.ask(ASKED)
    ledger.seen[1] += seen
    ledger.answer(ASKED, answer, epoch)
    ledger.close_round()
    return ledger.faults


@pytest.mark.parametrize(
    ("answer", "seen", "epoch", "fault"),
    [
        (result(), 1, 0, None),
        (result(), 0, 0, "Janus never saw it"),
        (result(), 2, 0, "2 times"),
        (result(5), 1, 0, "another request"),
        (error(502), 1, 0, "calm, but"),
        (error(502), 1, None, None),
        (error(500), 1, None, "disturbed, but"),
        (error(503), 1, None, "called unsent"),
        (error(408, "not sent"), 1, None, "called unsent"),
        (error(503, message="Too many commands in flight"), 0, 0, None),
    ],
)
def test_an_outcome_that_cannot_be_is_found(answer: dict[str, Any], seen: int, epoch: int, fault: str | None) -> None:
    faults = answered(answer, seen, epoch)
    assert len(faults) == (fault is not None), faults
    assert fault is None or fault in faults[0]


def test_a_request_without_an_outcome_and_one_with_two_are_found() -> None:
    ledger = Ledger()
    ledger.ask(ASKED)
    ledger.close_round()
    assert ledger.faults == ["request 1 has no outcome"]
    ledger.answer(ASKED, result(), 0)
    assert "second answer" in ledger.faults[1]


def hear(ledger: Ledger, *numbers: int) -> None:
    for number in numbers:
        body = {"plugindata": {"data": {"series": "s", "i": number}}}
        ledger.hear({"janus_id": "gw"}, body)


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [([0, 1, 2], None), ([0, 2], "1 events of s are missing"), ([0, 1, 1], "event 1"), ([1, 0], "missing before 1")],
)
def test_events_out_of_order_or_missing_are_found(numbers: list[int], fault: str | None) -> None:
    ledger = Ledger()
    for _ in range(3):
        ledger.tell("s", "gw", 0)
    hear(ledger, *numbers)
    assert bool(ledger.faults) == (fault is not None)
    assert fault is None or fault in ledger.faults[0]


def test_a_gap_that_was_announced_is_no_fault_and_nothing_is_owed() -> None:
    ledger = Ledger()
    for _ in range(4):
        ledger.tell("s", "gw", 0)
    hear(ledger, 0)
    assert ledger.owed({"gw": 0}) == 3
    ledger.hear({"janus_id": "gw", "status": "events_lost"}, {"lost": 2})
    hear(ledger, 3)
    assert ledger.faults == []
    assert ledger.owed({"gw": 0}) == 0


def test_statistics_that_do_not_add_up_are_found() -> None:
    ledger = Ledger()
    ledger.ask(ASKED)
    ledger.seen[1] += 1
    ledger.answer(ASKED, result(), 0)
    names = ["commands_answered", "events", "status_events", "events_sent", "event_drops"]
    ledger.balance(dict.fromkeys(names, 0), dict.fromkeys(names, 0) | {"events": 1}, ("answered",))
    assert len(ledger.faults) == 2
