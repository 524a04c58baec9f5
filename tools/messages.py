"""``python -m tools.messages``: what the log and the errors say, and what to do about it, in docs/messages.md.

Owns that file. The texts are read from the program: every log call of level warning and above, and what fills such a
line or reaches a caller as an error. Their words stand in ``messages.toml``; tests/test_messages.py fails where file
and program differ. So a text without an answer to "what do I do now?" cannot come into the program.
"""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from tools import source

ROOT = source.ROOT
FILE = ROOT / "docs" / "messages.md"
WORDS = Path(__file__).with_suffix(".toml")
HEAD = """\
# Messages

For whoever is woken at three in the morning: every line that the log writes at level warning and above, what it means,
and what to do. A "reason" fills such a line, or reaches a caller as the `data` of an error. "…" stands for a value, at
the beginning of a line mostly the `janus_id`. Errors about a single value of the configuration are left out: each says
what the value has to be. [names.md](names.md) has the codes of MI errors, [faults.md](faults.md) what an outage means
for callers.

`python -m tools.messages` makes this page from the program; a test compares the two.

"""
SKIPPED = "…"  # what is filled in

LEAST = 9  # letters of its own, below which a reason only names a thing, before the system's own words

LEVELS = {"warning": "warning", "error": "error", "critical": "critical", "exception": "error"}
# Those whose text is told where they are caught, in a log line or in an answer; and the functions that say a trouble.
SPEAKERS = {
    "AmqpFault", "AnotherNode", "BridgeError", "ConfigError", "ConnectFailed", "DiscardedMessage", "Draining", "End",
    "EventRefused", "InvalidCommand", "JoinStopped", "LinkDown", "NoSuchTable", "NoVersion", "NotSent", "NotServing",
    "PeerNotReached", "PeerRefused", "PeerSilent",
    "NothingAnswered", "OSError", "OverBudget", "ReconnectRefused", "TableRefused", "TableUnavailable",
    "TakeOverPending", "TooManyInFlight", "TransactionLost", "UnknownJanusId", "WrongTableVersion",
    "Incident", "_end", "_told_of", "_note_shortage", "_refuse", "_say", "_trouble", "happened", "lose", "refuse",
    "refused", "reset", "_over", "_stalled", "session_over",
}  # fmt: skip
# Functions and tables that make such a text.
MAKERS = {
    "refusal", "why_closed", "tls_text", "path_fault", "bind_fault", "in_use", "_text", "_connect_failure",
    "_pending", "_unasked",
    "CLOSED_BY_JANUS", "PIKA_NEEDED", "_OF_STREAM", "_REMEDIES", "_LOST", "_PEM_FAULTS", "DROP_REASONS",
}  # fmt: skip
# Where a text belongs: the first that matches the file, below bridge/.
PARTS = (
    (
        "Cluster",
        r"(core|transport|daemon|cli)/(cluster|commands_(cluster|peers)|errand|fence|hand_over|offers|node_file|peer_client|whereabouts)"
        r"|protocol/(cluster|membership)",
    ),
    (
        "Process",
        r"logs|daemon/(?!ev)|cli/foreground"
        r"|core/supervise|transport/(batch|state_dir|reload_verdict|systemd|fd_store|successor|port_holder)",
    ),
    ("Configuration and command line", r"config/|cli/|transport/mi_client|files|protocol/.*url"),
    ("Table and database", r"core/table|transport/(db|saved_table)"),
    (
        "Events",
        r"(core|transport|protocol|daemon)/ev|core/commands_evi|protocol/(subscriptions|amqp)|transport/(epoch|amqp)",
    ),
    ("Gateways", r"core/(?!mi|metrics|figures)|transport/(janus|upgrade|tls|session_journal|drained)|protocol/"),
    ("MI", r"core/(mi|metrics|figures)|transport/"),
)


def render() -> str:
    """The whole file."""
    found, words = collect(), read_words()
    missing, gone = set(found) - set(words), set(words) - set(found)
    if missing or gone:
        raise SystemExit(f"{WORDS.name} has no words for {sorted(missing)}; the program has no {sorted(gone)}")
    return HEAD + "\n".join(_part(part, found, words) for part, _ in PARTS)


def read_words() -> dict[tuple[str, str], tuple[str, str]]:
    """What a text means, and what to do, by part and text."""
    parts = tomllib.loads(WORDS.read_text(encoding="utf-8"))
    return {(part, text): (meaning, todo) for part, rows in parts.items() for text, (meaning, todo) in rows.items()}


def _part(part: str, found: Mapping[tuple[str, str], str], words: Mapping[tuple[str, str], tuple[str, str]]) -> str:
    lines = [f"## {part}", "", "| text | level | meaning | what to do |", "| --- | --- | --- | --- |"]
    keys = [key for key in words if key[0] == part]
    for key in sorted(keys, key=lambda key: found[key] == "reason"):  # lines first, else in the order of the words
        cells = [f"`{key[1].replace('`', chr(39))}`", found[key], *words[key]]
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def collect() -> dict[tuple[str, str], str]:
    """Level by part and text. A text that is both a line and a reason is a line."""
    found: dict[tuple[str, str], str] = {}
    for path, level, text in told():
        if found.get((part_of(path), text), "reason") == "reason":
            found[part_of(path), text] = level
    return found


@cache
def told() -> list[tuple[str, str, str]]:
    """File below bridge/, level and text of each."""
    return [
        (file.relative_to(ROOT / "bridge").as_posix(), *one) for file, tree in source.program() for one in texts(tree)
    ]


def part_of(path: str) -> str:
    """The part that a file below bridge/ belongs to."""
    return next((part for part, pattern in PARTS if re.match(pattern, path)), "Process")


def texts(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Level and text of each, once a place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in MAKERS:
            yield from (("reason", text) for text in _told(node.body[ast.get_docstring(node) is not None :]))
        elif isinstance(node, ast.Assign | ast.AnnAssign) and ast.unparse(_target(node)) in MAKERS:
            yield from (("reason", text) for text in _told([node.value] if node.value else []))
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name.startswith("log.") and (level := _level(name, node)):
            words = _assigned(node.args[level == "log"], tree)
            yield from ((level, _filled(text, node.args[1 + (level == "log") :])) for text in _strings(words))
        elif name == "logging.LogRecord":
            values = node.args[5].elts if isinstance(node.args[5], ast.Tuple) else []
            yield from (("warning", _filled(text, values)) for text in _strings(node.args[4]))
        elif name.rpartition(".")[2] in SPEAKERS:
            yield from (("reason", text) for text in _told(node.args))


def _level(name: str, node: ast.Call) -> str | None:
    """Of a log call; None below warning."""
    method = name.removeprefix("log.")
    if method == "log" and "NOTICE" not in ast.unparse(node.args[0]):
        return "log"  # one that is computed: it may be high
    return LEVELS.get(method)


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _assigned(node: ast.expr, tree: ast.AST) -> ast.expr:
    """What a local name stands for, in the innermost function around it."""
    if isinstance(node, ast.Name):
        around = [one for one in ast.walk(tree) if isinstance(one, _FUNCTIONS) and node in ast.walk(one)]
        for one in ast.walk(around[-1]) if around else ():
            if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == node.id:
                return one.value
    return node


def _target(node: ast.Assign | ast.AnnAssign) -> ast.expr:
    return node.target if isinstance(node, ast.AnnAssign) else node.targets[0]


def _told(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The texts in these that say something beside what is filled in."""
    for node in nodes:
        for text in map(_filled, _strings(node)):
            if " " in text.strip() and len(re.findall(r"[a-zA-Z]", text)) >= LEAST:
                yield text.strip(" ;:")


def _filled(text: str, values: Iterable[ast.expr] = ()) -> str:
    rest = iter(values)
    return re.sub(r"%[-+.,0-9]*[a-z]", lambda _: _shown(next(rest, None)), text)


def _shown(value: ast.expr | None) -> str:
    """In place of a value: of what is counted the name is known."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "plural":
        return f"{SKIPPED} {ast.literal_eval(value.args[1])}s"
    return SKIPPED


def _strings(node: ast.AST) -> Iterator[str]:
    """The literals below, an f-string as one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.FormattedValue) else part for part in node.values)
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else _shown(part) for part in parts)
    else:
        for below in ast.iter_child_nodes(node):
            yield from _strings(below)


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
    print(f"{FILE.relative_to(ROOT)} is written")
