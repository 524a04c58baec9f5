"""What is remembered of requests that are over without an answer."""

from typing import Any

from bridge.core.late_answers import MOST, LateAnswers
from bridge.core.pending import PendingRequest
from bridge.protocol.command import JanusCommand, read_command
from bridge.protocol.transactions import BridgeTransaction, TransactionTable, decode

KEEPER: Any = None


class Bed:
    def __init__(self) -> None:
        self.late = LateAnswers("test")
        self.table: TransactionTable[PendingRequest] = TransactionTable("test")

    def over(self, command: JanusCommand) -> BridgeTransaction:
        """A command that was sent, and is over; its transaction, as an answer has it."""
        pending = PendingRequest(command, command.kind, KEEPER, None)
        pending.transaction = self.table.open(pending, pending.kind, pending.caller)
        self.late.expect(pending)
        transaction = decode(pending.transaction)
        assert transaction is not None
        return transaction


def test_late_answer_is_understood_once() -> None:
    bed = Bed()
    transaction = bed.over(read_command({"janus": "attach", "plugin": "p", "transaction": "mine"}))
    asked = bed.late.take(transaction)
    assert asked is not None
    assert (asked.kind, asked.plugin) == ("attach", "p")
    assert bed.late.take(transaction) is None


def test_answer_to_another_life_of_the_bridge_is_none_of_ours() -> None:
    bed = Bed()
    transaction = bed.over(read_command({"janus": "detach", "handle_id": 1}))
    assert bed.late.take(transaction._replace(start="other")) is None
    assert bed.late.take(transaction) is not None


def test_what_was_never_sent_gets_no_answer() -> None:
    bed = Bed()
    bed.late.expect(PendingRequest(JanusCommand("message", {}), "message", KEEPER, None))
    assert bed.late.take(BridgeTransaction("test", 0, "message", None)) is None


def test_the_oldest_are_forgotten() -> None:
    bed = Bed()
    transactions = [bed.over(JanusCommand("message", {})) for _ in range(MOST + 2)]
    known = [bed.late.take(transaction) is not None for transaction in transactions]
    assert known == [False, False] + [True] * MOST
