"""Who asks, in tests of what is asked."""

import json
from typing import Any

import jsonschema
import trio

from bridge.core.mi import Registry
from bridge.errors import MalformedMessage
from bridge.protocol.caller import Caller, Role
from bridge.resources import schema
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


async def ask_by_name(registry: Registry, method: str, params: Any = None) -> Any:
    """The result (checked against its schema), or the error object."""
    request = {"jsonrpc": "2.0", "id": "1", "method": method}
    body = json.dumps(request if params is None else request | {"params": params}).encode()
    answer = await ask(registry, body, OPERATOR)
    assert answer is not None
    decoded = json.loads(answer)
    if "error" in decoded:
        return decoded["error"]
    name = registry.find(method).name
    jsonschema.validate(decoded["result"], schema(f"result-{name}"), jsonschema.Draft202012Validator)
    return decoded["result"]
