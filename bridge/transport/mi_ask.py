"""A request to the MI for a task that waits for its answer.

Owns the bridge from callbacks to tasks, for every transport whose answers need a task anyway, and what such a one is
given. Must not know any of them. Authority: ``protocol.jsonrpc.Dispatch``.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from bridge.protocol.budget import Budget
from bridge.protocol.caller import Caller
from bridge.protocol.jsonrpc import Dispatch, Refused
from bridge.transport.peer_roles import PeerRoles


@dataclass(frozen=True, slots=True)
class Reception:
    """What callers who come in are met with: ``roles`` judges those without a token, ``dispatch`` answers. ``pending``
    is the budget of what waits, be it request or answer; ``lost`` is called for each answer that does not reach its
    caller, ``refused(who, reason)`` for each request that no method sees.
    """

    dispatch: Dispatch
    roles: PeerRoles = field(default_factory=PeerRoles)
    pending: Budget = field(default_factory=lambda: Budget(sys.maxsize))
    lost: Callable[[], None] = lambda: None
    refused: Refused = lambda who, reason: None


async def ask(dispatch: Dispatch, body: bytes, caller: Caller) -> bytes | None:
    """The bytes of the answer, None where there is none to give. Raises MalformedMessage. Its cancellation abandons the
    request.
    """
    answers: list[bytes | None] = []
    answered = trio.Event()

    def take(answer: bytes | None) -> None:
        answers.append(answer)
        answered.set()

    abandon = dispatch(body, caller, take)
    del body  # what a method does not keep is not kept here, either
    if abandon is not None:
        try:
            await answered.wait()
        except trio.Cancelled:
            abandon()
            raise
    return answers[0]
