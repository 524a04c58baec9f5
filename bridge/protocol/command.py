"""A command: what a caller asks of Janus, checked before it is sent.

Owns the rules of contract 5.4, 5.6 and 6.3 on what is refused with 400 and what is rewritten on the way. Must not know
sessions or connections. Authority: Janus's own checks, observed: what it would answer without the transaction (and so
could not be matched with its caller) is refused here.
"""

import math
from collections.abc import Callable
from typing import Any, Final

from bridge.errors import InvalidCommand, MalformedMessage
from bridge.protocol import codec
from bridge.protocol.codec import INT64_MAX, INT64_MIN, MAX_DEPTH, JsonObject
from bridge.protocol.janus import MAX_PLUGIN, VERBS, Kind, Verb, verb_of
from bridge.protocol.offence import explain
from bridge.protocol.plugin_types import UNKNOWN, PluginTypes, narrow

_SECRETS = ("apisecret", "token")  # which configured ones replace when it is sent
MAX_KEY: Final = 64  # characters of a member's name that an error repeats
# Characters of a caller's transaction: with nine bytes for each it still stands in the head of an answer that is too
# large to be kept, and it is remembered for as long as its answer may come.
MAX_TRANSACTION: Final = 400

# plugin_of(session_id, handle_id): the plugin of a handle, None where it is not known.
PluginOf = Callable[[int | None, int | None], str | None]


class JanusCommand:
    """A command that Janus can answer.

    ``members`` is what goes out: ids are integers, and what is known only when it is sent is not among them, but the
    secrets that the caller shows to Janus are. Of one that waits it is those alone, and ``text`` is the rest, as JSON:
    as values a command takes up to 24 times its bytes.
    ``session_id`` and ``handle_id`` are what the caller named, None where that is no id; ``caller`` is the caller's
    own transaction; ``new_id`` is the id that a create asks for, ``plugin`` what an attach names; ``strange`` says that
    the plugin of its handle is not known.
    """

    __slots__ = (
        *("caller", "handle_id", "kind", "members", "name", "new_id", "plugin", "session_id", "strange"),
        *("text", "verb"),
    )

    def __init__(self, name: str, members: JsonObject, caller: str | None = None) -> None:
        self.name = name
        self.members = members
        self.caller = caller
        self.text = b""
        self.verb: Verb = VERBS.get(name) or verb_of(name)
        self.kind: Kind = self.verb.kind
        self.session_id: int | None = None
        self.handle_id: int | None = None
        self.new_id: int | None = None
        self.plugin: str | None = None
        self.strange = False

    def fold(self) -> None:
        """It has to wait: keep it as text."""
        secrets = {key: self.members.pop(key) for key in _SECRETS if key in self.members}
        self.text, self.members = codec.render_bytes(self.members), secrets

    def take(self) -> bytes:
        """The command as JSON. For sending it, once: what it consists of is not kept."""
        text, rendered = self.text, codec.render_bytes(self.members)
        self.text, self.members = b"", {}
        return b"%b,%b" % (text[:-1], rendered[1:]) if text else rendered


def read_command(
    value: Any,
    types: PluginTypes = UNKNOWN,
    plugin_of: PluginOf = lambda _session, _handle: None,
    *,
    clean: bool = False,
) -> JanusCommand:
    """Check a ``janus_command`` parameter: an object or its text. Raises InvalidCommand; ``data`` is the reason.

    By ``types`` the plugin that ``plugin_of`` names gets the integers of its body as such. ``clean``: the text that an
    object comes from shows that Janus can read all that is in it (``codec.read``).
    """
    if isinstance(value, str):
        try:
            value, clean = codec.read(value, codec.REQUEST_ELEMENTS)
        except MalformedMessage as exc:
            raise InvalidCommand(f"janus_command cannot be read: {explain(value, exc)}") from None
    if not isinstance(value, dict):
        raise InvalidCommand("janus_command is not a JSON object")
    fault = None if clean else _fault(value, None, MAX_DEPTH)
    if fault is not None:
        raise InvalidCommand(fault)
    members = value.copy()
    name = members.get("janus")
    if type(name) is not str:
        raise InvalidCommand("member 'janus' is missing" if name is None else "member 'janus' is not a string")
    caller = members.pop("transaction", None)
    if caller is not None:
        if type(caller) is not str:
            raise InvalidCommand("member 'transaction' is not a string")
        if len(caller) > MAX_TRANSACTION:
            raise InvalidCommand(f"member 'transaction' is longer than {MAX_TRANSACTION} characters")
    command = JanusCommand(name, members, caller)
    verb = command.verb
    session_id: int | None = None
    if "session_id" in members:
        session_id = _read_id(members, "session_id")
        # Janus answers 453 or 458 to a server-level verb that carries one; claim alone names one that is not replaced.
        if session_id is not None or verb.kind != "claim":
            del members["session_id"]
    if not verb.server:
        command.session_id = session_id
    if "id" in members:  # Janus checks its type in every request, whatever the verb, before it looks at the transaction
        _read_new_id(command)
    if "handle_id" in members:
        command.handle_id = _read_id(members, "handle_id")
    if "body" in members:
        plugin = plugin_of(session_id, command.handle_id)
        command.strange = plugin is None
        members["body"] = narrow(members["body"], types.rules.get(plugin, types.guessed))
    if "plugin" in members:
        named = members["plugin"]
        command.plugin = named[:MAX_PLUGIN] if isinstance(named, str) else None
    return command


def _read_id(members: JsonObject, key: str) -> int | None:
    """The id that stands there, which is an integer from now on; None where it is none."""
    value: Any = members[key]
    if type(value) is str:
        number = codec.integer(value)
        if number is not None:
            members[key] = number
        return number if number is not None and number > 0 else None
    return value if type(value) is int and 0 < value <= INT64_MAX else None


def _read_new_id(command: JanusCommand) -> None:
    members = command.members
    number: Any = members["id"]
    if command.kind == "create":
        number = codec.integer(number)
    if type(number) is not int or number < 0:
        raise InvalidCommand("member 'id' is not an integer >= 0")
    members["id"] = number
    command.new_id = number if command.kind == "create" else None


def _fault(value: Any, key: str | None, levels: int) -> str | None:
    """Why Janus (jansson) could not read a value, in words; None if it can.

    Nesting deeper than 100, integers beyond 64 bits, NaN and Infinity, NUL or lone surrogates in a string or a key.
    ``key`` is the member that has the value, or the array with it, None at the top; ``levels`` it may have.
    """
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
