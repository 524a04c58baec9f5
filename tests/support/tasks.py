"""Dispatches whose answers are made by tasks."""

from collections.abc import Awaitable, Callable

import trio

from bridge.protocol.caller import Caller
from bridge.protocol.jsonrpc import Abandon, Dispatch, TakeAnswer


def in_tasks(nursery: trio.Nursery, handler: Callable[[bytes], Awaitable[bytes]]) -> Dispatch:
    """A dispatch that answers what ``handler(body)`` returns, each in a task of its own."""

    async def run(body: bytes, answer: TakeAnswer, scope: trio.CancelScope) -> None:
        with scope:
            answer(await handler(body))

    def dispatch(body: bytes, _caller: Caller, answer: TakeAnswer) -> Abandon:
        scope = trio.CancelScope()
        nursery.start_soon(run, body, answer, scope)
        return scope.cancel

    return dispatch
