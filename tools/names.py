"""``python -m tools.names``: every name that a user types or reads, in docs/names.md (contract 1, last paragraph).

Owns that file. The names are read from the program, words for those that have none there stand in ``names_words``;
tests/test_names.py fails where file and program differ. So a changed name is a changed line of that file: a breaking
change that nobody makes by accident.
"""

import ast
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bridge import errors, resources
from bridge.cli import man_words
from bridge.config import SETTINGS, load
from bridge.daemon.parts import Parts, build
from bridge.protocol import jsonrpc
from bridge.protocol.event_delivery import DROP_REASONS
from bridge.protocol.history import HAPPENINGS
from bridge.protocol.snapshot import OUTCOMES, STATES
from bridge.protocol.statistics import COUNTERS
from bridge.transport.pages.metrics import PREFIX, ROWS
from tools import names_words as words
from tools.source import ROOT, program

FILE = ROOT / "docs" / "names.md"
# Or the methods that only a bridge with others has are not there.
IN_A_CLUSTER = (
    *("cluster.cluster_id=1", "cluster.my_node_id=1", 'cluster.my_node_url="http://127.0.0.1:8889/mi"'),
    'cluster.db_url="mysql://opensips@localhost/opensips"',
)


def render() -> str:
    """The whole file."""
    with tempfile.TemporaryDirectory() as folder:
        parts = build(load(None, [f'state.dir="{folder}"', *IN_A_CLUSTER], {}))
    tables = (
        _table("Configuration keys", ("key", "unit", "default", "SIGHUP", "meaning"), _settings()),
        _table("Environment", ("variable", "meaning"), man_words.ENVIRONMENT.items()),
        _table("Exit codes", ("code", "meaning"), man_words.EXIT_CODES.items()),
        _table("MI methods", ("method", "in OpenSIPS 4", "parameters", "role", "meaning"), _methods(parts)),
        _table("MI errors", ("code", "message", "meaning"), _errors()),
        _table("Result members", ("method", "members"), _results()),
        _table("Gateway states", ("state", "meaning"), _explained(STATES, words.STATES)),
        _table("Statistics", ("statistic", "kind", "meaning"), _statistics(parts)),
        _table("Metrics", ("metric", "kind", "labels", "statistic", "meaning"), _metrics()),
        _table("Outcomes of a command", ("outcome", "meaning"), OUTCOMES.items()),
        _table("Reasons of a dropped event", ("reason", "meaning"), DROP_REASONS.items()),
        _table("Events", ("event", "parameter", "meaning"), _events(parts)),
        _table("Statuses of E_JANUS_STATUS", ("status", "meaning"), _explained(_statuses(), words.STATUSES)),
        _table("What janus_history tells", ("what", "meaning"), HAPPENINGS.items()),
        _table("Pages", ("path", "meaning"), words.PAGES.items()),
    )
    return words.HEAD + "\n".join(tables)


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column has the names."""
    lines = [f"## {title}", "", _line(heads), _line(["---"] * len(heads))]
    for name, *cells in rows:
        lines.append(_line([f"`{name}`", *(cell.replace("|", r"\|") for cell in cells)]))
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).replace("'", '"')


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _explained(names: Iterable[str], meanings: Mapping[str, str]) -> list[tuple[str, str]]:
    """Names with their words; SystemExit where one has none, or there are words without a name."""
    names = list(names)
    if set(names) != set(meanings):
        raise SystemExit(f"tools/names_words.py and the program differ in {set(names) ^ set(meanings)}")
    return [(name, meanings[name]) for name in names]


def _settings() -> Iterator[Sequence[str]]:
    for row in SETTINGS:
        default = row.computed or ("" if row.default is None else _toml(row.default))
        yield f"{row.section}.{row.key}", row.unit, _code(default), "yes" if row.reloadable else "", row.help


def _methods(parts: Parts) -> Iterator[Sequence[str]]:
    names = parts.mi.which()
    for name in names[: len(names) // 2]:
        command = parts.mi.find(name)
        recipes = [", ".join(parameter.name for parameter in recipe) or "none" for recipe in command.recipes]
        yield name, _code(command.alias), " or ".join(map(_code, recipes)), str(command.role), command.help


def _errors() -> list[Sequence[str]]:
    """The fixed texts of the tree of errors, and those that are written where they are raised."""
    found = {(kind.code, kind.message) for kind in vars(errors).values() if _answers(kind)}
    for _, tree in program():
        found |= set(_raised(tree))
    rows = _explained([f"{code} {message}" for code, message in sorted(found)], words.ERRORS)
    return [(str(name.split(" ", 1)[0]), _code(name.split(" ", 1)[1]), meaning) for name, meaning in rows]


def _answers(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, errors.BridgeError) and "message" in vars(kind)


def _raised(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """RpcError(code, "message", ...), and the call of its constructor in a class below it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and len(node.args) >= 2 and isinstance(node.args[1], ast.Constant):
            code, name = node.args[0], ast.unparse(node.func)
            if name in ("RpcError", "super().__init__") and isinstance(node.args[1].value, str):
                yield _number(code), node.args[1].value


def _number(node: ast.expr) -> int:
    number = ast.literal_eval(node) if not isinstance(node, ast.Name | ast.Attribute) else None
    return number if number is not None else int(getattr(jsonrpc, ast.unparse(node).rpartition(".")[2]))


def _results() -> Iterator[Sequence[str]]:
    prefix, suffix = "result-", ".schema.json"
    for file in sorted((ROOT / "schemas").glob(f"{prefix}*{suffix}")):
        name = file.name.removeprefix(prefix).removesuffix(suffix)
        schema = resources.schema(prefix + name)
        members = list(dict.fromkeys(_members(schema, schema)))
        yield name, ", ".join(map(_code, members)) or _code(schema.get("const", "")) or schema["description"]


def _members(schema: Mapping[str, Any], whole: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Paths like ``Gateways[].janus_id``."""
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    for other in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from _members(other, whole, path)
    if "items" in schema:
        yield from _members(schema["items"], whole, f"{path}[]")
    for name, inner in schema.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        deeper = list(_members(inner, whole, below))
        yield from deeper or [below]


def _statistics(parts: Parts) -> list[tuple[str, str, str]]:
    gauges = [name for name in parts.stats.names() if name not in COUNTERS]
    rows = [(name, "incremental", meaning) for name, meaning in COUNTERS.items()]
    rows += [(name, "non-incremental", meaning) for name, meaning in _explained(gauges, words.GAUGES)]
    return [(f"janus:{name}", kind, meaning) for name, kind, meaning in rows] + [words.TIMESTAMP]


def _metrics() -> Iterator[Sequence[str]]:
    for row in ROWS:
        statistic = _code(f"janus:{row.statistic}") if row.statistic else ""
        yield PREFIX + row.name, row.kind, ", ".join(map(_code, row.labels)), statistic, row.help


def _events(parts: Parts) -> Iterator[Sequence[str]]:
    for event in parts.evi.events():
        for name, schema in _params(event)["properties"].items():
            yield event, _code(name), schema.get("description") or "one of " + ", ".join(map(_code, schema["enum"]))
        yield event, _code("janus_seq"), words.JANUS_SEQ


def _statuses() -> list[str]:
    statuses: list[str] = _params("E_JANUS_STATUS")["properties"]["status"]["enum"]
    return statuses


def _params(event: str) -> Mapping[str, Any]:
    name = event.removeprefix("E_").lower().replace("_", "-")
    params: Mapping[str, Any] = resources.schema(f"event-{name}")["properties"]["params"]
    return params


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(render(), encoding="utf-8")
    print(f"{FILE.relative_to(ROOT)} is written")
