"""A call of the module's function as the call of the route that replaces it.

Owns how the line looks. A string for a function is filled by OpenSIPS (``$var(x)`` in it), a string for a route is not:
such a text is put together first. Authority: OpenSIPS pvar.c (pv_parse_format); opensips-examples/janus-bridge.inc.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from bridge.protocol.opensips_lex import Token, quoted

ROUTE = "JANUS_SEND_REQUEST"
_NAMED = re.compile(r"\$(var|avp)\(([A-Za-z0-9_]+)\)")
_NAME = re.compile(r"[A-Za-z0-9_.]+")
_TAKEN = ("janus_error", "janus_reply", "janus_request", "janus_status")  # AVPs of janus-bridge.inc
_ANSWER = "janus_answer"


class Converted(NamedTuple):
    """``before``: what has to stand on the lines before; ``call``; ``after``: what reads the answer, if any."""

    before: tuple[str, ...]
    call: str
    after: str


def converted(arguments: tuple[Token | None, ...] | None) -> Converted | None:
    """janus_id, janus_command and perhaps a variable, as they stand; None for other arguments."""
    if arguments is None or not 2 <= len(arguments) <= 3:
        return None
    janus_id, command, answer = (*arguments, None)[:3]
    if janus_id is None or command is None or (answer is not None and answer.kind != "variable"):
        return None
    before: list[str] = []
    words = [ROUTE]
    for token, name in ((janus_id, "janus_id"), (command, "janus_command")):
        try:
            built = _expression(token)
        except ValueError:
            return None
        if " + " in built and token.kind == "string" and built != token.text:
            before.append(f"$var({name}) = {built};")
            built = f"$var({name})"
        words.append(built)
    after = ""
    if answer is not None:
        match = _NAMED.fullmatch(answer.text)
        name = match[2] if match is not None and match[2] not in _TAKEN else _ANSWER
        words.append(f'"{name}"')
        if answer.text != f"$avp({name})":
            after = f"{answer.text} = $avp({name});"
    return Converted(tuple(before), f"route({', '.join(words)})", after)


def _expression(token: Token) -> str:
    """What has the token's value. Raises ValueError for a string that has none, or holds half a variable."""
    if token.kind != "string":
        return token.text
    if not isinstance(token.value, bytes):
        raise ValueError
    parts = list(_parts(token.value.decode("latin-1")))
    if len(parts) == 1 and parts[0].startswith("$"):
        return parts[0]
    if not parts or parts[0].startswith("$"):
        parts.insert(0, '""')  # what begins with a string becomes one
    return " + ".join(parts)


def _parts(text: str) -> Iterator[str]:
    """Strings in quotes, and variables, in turn."""
    plain = ""
    at = 0
    while at < len(text):
        if text[at] != "$":
            end = text.find("$", at)
            end = len(text) if end < 0 else end
            plain += text[at:end]
        elif text.startswith("$$", at):
            end = at + 2
            plain += "$"
        else:
            end = _variable_end(text, at + 1)
            if plain:
                yield quoted(plain.encode("latin-1"))
                plain = ""
            yield text[at:end]
        at = end
    if plain:
        yield quoted(plain.encode("latin-1"))


def _variable_end(text: str, at: int) -> int:
    """Of ``$name``, ``$name(...)`` or ``$(...)``; ``at`` is behind the ``$``. Raises ValueError if it is none."""
    name = _NAME.match(text, at)
    at = at if name is None else name.end()
    if text[at : at + 1] != "(":
        if name is None:
            raise ValueError
        return at
    depth = 0
    for match in re.compile(r"[()]").finditer(text, at):
        depth += 1 if match[0] == "(" else -1
        if depth == 0:
            return match.end()
    raise ValueError
