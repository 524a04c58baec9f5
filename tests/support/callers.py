"""Who asks, in tests of what is asked."""

import trio

from bridge.core.mi import Registry
from bridge.errors import MalformedMessage
from bridge.protocol.caller import Caller, Role
from bridge.transport import mi_ask

OPERATOR = Caller(Role.EVERYTHING, "a test")


async def ask(registry: Registry, body: bytes, caller: Caller) -> bytes | None:
    """One request to a registry that does not run; the bytes of its answer. Raises MalformedMessage."""
    malformed: MalformedMessage | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(registry.run)
        try:
            answer = await mi_ask.ask(registry.dispatch, body, caller)
        except MalformedMessage as exc:
            malformed = exc
        nursery.cancel_scope.cancel()
    if malformed is not None:
        raise malformed
    return answer
