"""The requests to one Janus that are over though it may still answer them.

Owns how many of them are remembered: a late answer still says what became of sessions and handles. Must not know what
that is.
"""

from collections import OrderedDict

from bridge.core.pending import Asked, PendingRequest
from bridge.protocol.transactions import BridgeTransaction, number_of

MOST = 1024


class LateAnswers:
    """``start`` is that of the bridge's transactions."""

    def __init__(self, start: str) -> None:
        self._start = start
        self._asked: OrderedDict[int, Asked] = OrderedDict()  # by number: a text may be long

    def expect(self, request: PendingRequest) -> None:
        """It is over without an answer; one that was never sent gets none."""
        if request.transaction is not None:
            self._asked[number_of(request.transaction)] = request.asked
            if len(self._asked) > MOST:
                self._asked.popitem(last=False)

    def take(self, transaction: BridgeTransaction) -> Asked | None:
        """What a request was about that Janus answers now; known once. None: it was not ours, or too long ago."""
        return self._asked.pop(transaction.number, None) if transaction.start == self._start else None
