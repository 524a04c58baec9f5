"""A command: what a caller asks of Janus, checked before it is sent.

Owns the rules of contract 5.4, 5.6 and 6.3 on what is refused with 400 and what is rewritten on the way. Must not know
sessions or connections. Authority: Janus's own checks, observed: what it would answer without the transaction (and so
could not be matched with its caller) is refused here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bridge.errors import InvalidCommand, MalformedMessage
from bridge.protocol import codec
from bridge.protocol.codec import INT64_MAX, INT64_MIN, MAX_DEPTH, JsonObject
from bridge.protocol.janus import MAX_PLUGIN, Kind, Verb, member_id, verb_of
from bridge.protocol.offence import explain
from bridge.protocol.plugin_types import UNKNOWN, PluginTypes, narrow

_SECRETS = ("apisecret", "token")  # which configured ones replace when it is sent
MAX_KEY = 64  # characters of a member's name that an error repeats
# Characters of a caller's transaction: with nine bytes for each it still stands in the head of an answer that is too
# large to be kept, and it is remembered for as long as its answer may come.
MAX_TRANSACTION = 400

# plugin_of(session_id, handle_id): the plugin of a handle, None where it is not known.
PluginOf = Callable[[int | None, int | None], str | None]


@dataclass(slots=True)
class JanusCommand:
    """A command that Janus can answer.

    ``text`` is what it has of its own, as JSON: ids are integers, and what is known only when it is sent is not in it.
    Text and not values: a command may wait for long, and as values it takes up to 24 times its bytes.
    ``session_id`` and ``handle_id`` are what the caller named, None where that is no id; ``caller`` is the caller's
    own transaction, ``secrets`` what the caller shows to Janus; ``new_id`` is the id that a create asks for, ``plugin``
    what an attach names; ``strange`` says that the plugin of its handle is not known.
    """

    text: bytes
    name: str
    verb: Verb
    session_id: int | None = None
    handle_id: int | None = None
    caller: str | None = None
    secrets: JsonObject = field(default_factory=dict, repr=False)
    new_id: int | None = None
    plugin: str | None = None
    strange: bool = False

    @property
    def kind(self) -> Kind:
        return self.verb.kind

    def take(self) -> tuple[bytes, JsonObject]:
        """``text``, and the members that are to be added to: the secrets. For sending it, once: neither is kept."""
        taken = self.text, self.secrets
        self.text, self.secrets = b"", {}
        return taken


def read_command(
    value: Any, types: PluginTypes = UNKNOWN, plugin_of: PluginOf = lambda _session, _handle: None
) -> JanusCommand:
    """Check a ``janus_command`` parameter: an object or its text. Raises InvalidCommand; ``data`` is the reason.

    By ``types`` the plugin that ``plugin_of`` names gets the integers of its body as such.
    """
    if isinstance(value, str):
        try:
            value = codec.parse(value, codec.REQUEST_ELEMENTS)
        except MalformedMessage as exc:
            raise InvalidCommand(f"janus_command cannot be read: {explain(value, exc)}") from None
    if not isinstance(value, dict):
        raise InvalidCommand("janus_command is not a JSON object")
    fault = find_fault(value)
    if fault is not None:
        raise InvalidCommand(fault)
    name = value.get("janus")
    if not isinstance(name, str):
        raise InvalidCommand("member 'janus' is missing" if name is None else "member 'janus' is not a string")
    caller = value.get("transaction")
    if caller is not None and not isinstance(caller, str):
        raise InvalidCommand("member 'transaction' is not a string")
    if caller is not None and len(caller) > MAX_TRANSACTION:
        raise InvalidCommand(f"member 'transaction' is longer than {MAX_TRANSACTION} characters")
    return _rewrite(dict(value), name, caller, types, plugin_of)


def _rewrite(
    request: JsonObject, name: str, caller: str | None, types: PluginTypes, plugin_of: PluginOf
) -> JanusCommand:
    request.pop("transaction", None)
    verb = verb_of(name)
    for key in ("session_id", "handle_id"):
        if isinstance(request.get(key), str):
            number = codec.integer(request[key])
            if number is not None:
                request[key] = number
    session_id = member_id(request.get("session_id"))
    # Janus answers 453 or 458 to a server-level verb that carries one; claim alone names one that is not replaced.
    if session_id is not None or verb.kind != "claim":
        request.pop("session_id", None)
    new_id: int | None = None
    if "id" in request:  # Janus checks its type in every request, whatever the verb, before it looks at the transaction
        asked: Any = codec.integer(request["id"]) if verb.kind == "create" else request["id"]
        if type(asked) is not int or asked < 0:
            raise InvalidCommand("member 'id' is not an integer >= 0")
        request["id"] = asked
        new_id = asked if verb.kind == "create" else None
    handle_id = member_id(request.get("handle_id"))
    strange = False
    if "body" in request:
        of = plugin_of(session_id, handle_id)
        strange = of is None
        request["body"] = narrow(request["body"], types.rule(of))
    plugin = request.get("plugin")
    secrets = {key: request.pop(key) for key in _SECRETS if isinstance(request.get(key), str)}
    return JanusCommand(
        text=codec.render_bytes(request),
        name=name,
        verb=verb,
        session_id=None if verb.server else session_id,
        handle_id=handle_id,
        caller=caller,
        secrets=secrets,
        new_id=new_id,
        plugin=plugin[:MAX_PLUGIN] if isinstance(plugin, str) else None,
        strange=strange,
    )


def find_fault(value: Any) -> str | None:
    """Why Janus (jansson) could not read a value, in words; None if it can.

    Nesting deeper than 100, integers beyond 64 bits, NaN and Infinity, NUL or lone surrogates in a string or a key.
    """
    return _fault(value, None, MAX_DEPTH)


def _fault(value: Any, key: str | None, levels: int) -> str | None:
    """``key`` is the member that has the value, or the array with it, None at the top; ``levels`` it may have."""
    what: str | None = None
    if isinstance(value, (dict, list)) and not levels:
        return f"janus_command is nested deeper than {MAX_DEPTH}"
    if isinstance(value, str):
        what = _text_fault(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            # Printable text has neither NUL nor surrogate: one look at nearly all there is.
            if not name.isprintable() and (what := _text_fault(name)) is not None:
                return f"the name of a member has {what}"
            kind = type(item)
            if kind is str and item.isprintable():
                continue
            if kind is int and INT64_MIN <= item <= INT64_MAX:
                continue
            fault = _fault(item, name, levels - 1)
            if fault is not None:
                return fault
    elif isinstance(value, list):
        for item in value:
            fault = _fault(item, key, levels - 1)
            if fault is not None:
                return fault
    elif isinstance(value, int):
        what = None if INT64_MIN <= value <= INT64_MAX else "an integer beyond 64 bits"
    elif isinstance(value, float):
        what = None if math.isfinite(value) else "a number that is NaN or too large for a real"
    if what is None:
        return None
    return f"janus_command has {what}" if key is None else f"member {key[:MAX_KEY]!r} has {what}"


def _text_fault(text: str) -> str | None:
    if "\0" in text:
        return "a NUL character"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "a lone surrogate"
    return None
