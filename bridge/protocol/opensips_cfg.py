"""What of an opensips.cfg concerns the janus module.

Owns the few tokens that this needs: comments, strings, ``modparam``, ``loadmodule``, one global, and where the module
is used. It is no parser of the language. Authority: OpenSIPS cfg.lex; the janus module's manual.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

FUNCTIONS = ("janus_send_request", "janus_send_requeest")  # the second is how the manual spells its heading
EVENT_ROUTE = "E_JANUS_EVENT"

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<comment>\#[^\n]*|/\*.*?\*/)"
    r'|(?P<string>"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')'
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<number>-?[0-9]+)"
    r"|(?P<other>.)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Modparam:
    """``modparam("janus", name, value)`` at a line."""

    line: int
    name: str
    value: str | int


@dataclass(slots=True)
class JanusUse:
    """All that was found. ``calls`` and ``event_routes`` are lines; ``includes`` are files that were not read."""

    modparams: list[Modparam] = field(default_factory=list)
    db_default_url: Modparam | None = None  # as if it were the module's own
    loads: list[int] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    event_routes: list[int] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)


def read(text: str) -> JanusUse:
    """Look through the text of an opensips.cfg. Total: any text has an answer."""
    use = JanusUse()
    tokens = list(_tokens(text))
    for at, (line, kind, token) in enumerate(tokens):
        if kind != "word":
            continue
        following = [value for _, _, value in tokens[at + 1 : at + 7]]
        if token == "modparam":
            _modparam(use, line, tokens[at + 1 : at + 7])
        elif token == "db_default_url" and following[:1] == ["="] and len(following) > 1:
            use.db_default_url = Modparam(line, "janus_db_url", _unquote(following[1]))
        elif token in ("loadmodule", "mpath") and following and "janus.so" in following[0]:
            use.loads.append(line)
        elif token in ("include_file", "import_file") and following:
            use.includes.append(_unquote(following[0]))
        elif token in FUNCTIONS:
            use.calls.append(line)
        elif token == "event_route" and following[1:2] == [EVENT_ROUTE]:
            use.event_routes.append(line)
    return use


def _tokens(text: str) -> Iterator[tuple[int, str, str]]:
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind not in ("space", "comment"):
            yield line, kind, match[0]
        line += match[0].count("\n")


def _modparam(use: JanusUse, line: int, following: list[tuple[int, str, str]]) -> None:
    """``( "module[|module]" , "name" , value``; the module's name is a regular expression in OpenSIPS."""
    kinds = [kind for _, kind, _ in following]
    if kinds[:4] != ["other", "string", "other", "string"] or len(following) < 6:
        return
    modules, name, value = _unquote(following[1][2]), _unquote(following[3][2]), following[5]
    if "janus" not in modules.split("|"):
        return
    if value[1] == "number":
        use.modparams.append(Modparam(line, name, int(value[2])))
    elif value[1] == "string":
        use.modparams.append(Modparam(line, name, _unquote(value[2])))


def _unquote(token: str) -> str:
    if len(token) < 2 or token[0] not in "\"'":
        return token
    return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)
