"""A request to the MI for a task that waits for its answer.

Owns the bridge from callbacks to tasks, for every transport whose answers need a task anyway. Must not know any of
them. Authority: ``protocol.jsonrpc.Dispatch``.
"""

import trio

from bridge.protocol.caller import Caller
from bridge.protocol.jsonrpc import Dispatch


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
