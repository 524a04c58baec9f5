"""Transactions: what goes out under which name, and whose a message is.

Owns the text of the bridge's transactions and the table of those that wait. Must not know connections, sessions or
time. Authority: contract 5.4. Janus echoes a transaction verbatim and of any length (observed), so everything that is
needed to give a later message back to its caller travels in the text itself, and survives a restart of the bridge:

    jb.START.NUMBER.KIND.CALLER

START is random for each start of the bridge, so that an answer to the last bridge's request 7 is not taken for one to
this bridge's request 7. KIND is a letter (what the request was, for answers that come after the table forgot it).
CALLER is the caller's own transaction percent-encoded behind an ``=``, or nothing if the caller sent none.
"""

from typing import Final, Generic, NamedTuple, TypeVar
from urllib.parse import quote, unquote

from bridge.protocol.janus import Kind
from bridge.protocol.numbers import read_decimal

_MAX_NUMBER = 10**18 - 1

_LETTERS: Final[dict[Kind, str]] = {
    "internal": "o",
    "create": "c",
    "claim": "l",
    "attach": "a",
    "detach": "t",
    "destroy": "d",
    "message": "m",
    "other": "x",
}
_KINDS: dict[str, Kind] = {letter: kind for kind, letter in _LETTERS.items()}


class BridgeTransaction(NamedTuple):
    """What the text of one of our transactions says. ``caller`` is None if the caller sent none."""

    start: str
    number: int
    kind: Kind
    caller: str | None


def encode(start: str, number: int, kind: Kind, caller: str | None) -> str:
    """The text that goes to Janus. Pure ASCII. ``start`` has no dot; ``caller`` has no lone surrogate (ValueError)."""
    if caller is None:
        return f"jb.{start}.{number}.{_LETTERS[kind]}."
    if not (caller.isascii() and caller.isalnum()):  # nearly all are: nothing to be quoted
        caller = quote(caller, safe="")
    return f"jb.{start}.{number}.{_LETTERS[kind]}.={caller}"


def decode(text: str) -> BridgeTransaction | None:
    """The inverse of ``encode``, for any start of any bridge; None for a transaction that no bridge made."""
    if not text.startswith("jb."):
        return None
    parts = text.split(".", 4)
    if len(parts) != 5:
        return None
    _, start, digits, letter, tail = parts
    number, kind = read_decimal(digits, _MAX_NUMBER), _KINDS.get(letter)
    if number is None or kind is None or not start or (tail and not tail.startswith("=")):
        return None
    return BridgeTransaction(start, number, kind, unquote(tail[1:]) if tail else None)


def number_of(text: str) -> int:
    """The number of a transaction that ``encode`` made."""
    return int(text.split(".", 3)[2])


W = TypeVar("W")


class TransactionTable(Generic[W]):
    """``waiting``: the transactions that wait for an answer, by their text on the wire. Whoever opened one takes it out
    when it is answered, given up or lost.
    """

    def __init__(self, start: str) -> None:
        self._start = start
        self._next = 0
        self.waiting: Final[dict[str, W]] = {}

    def open(self, waiting: W, kind: Kind, caller: str | None) -> str:
        """A new transaction, as ``encode`` makes it; returns its text on the wire."""
        number = self._next = self._next + 1
        text = encode(self._start, number, kind, caller)
        self.waiting[text] = waiting
        return text

    def name(self, kind: Kind, caller: str | None) -> str:
        """A new transaction that nobody waits for: its text on the wire."""
        self._next += 1
        return encode(self._start, self._next, kind, caller)
