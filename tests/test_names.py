"""docs/names.md against the program (contract 1): a name that changes has to change there, where everybody sees it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.__main__ import main
from bridge.cli import man_words, unit
from bridge.config import load
from bridge.daemon.parts import build
from bridge.transport.mi_http import OPEN_PATHS
from bridge.transport.pages import pages
from tests.support.ports import free_port
from tests.support.snapshots import figures
from tests.support.tables import sqlite_table
from tools import names, names_words
from tools.source import program

ROOT = Path(__file__).parents[1]


def test_the_file_says_what_the_program_does() -> None:
    written, found = names.FILE.read_text(encoding="utf-8"), names.render()
    assert written == found, "python -m tools.names writes it anew; a changed name is a breaking change"


def variables() -> Iterator[str]:
    """What is read from the environment, by whatever name that goes."""
    for file, tree in program():
        for node in ast.walk(tree) if "environ" in file.read_text(encoding="utf-8") else ():
            text = ast.unparse(node) if isinstance(node, ast.Call | ast.Subscript | ast.Compare) else ""
            found = re.match(r"(?:os\.)?environ(?:\.get\(|\[)([^,)\]]+)", text) or re.match(
                r"(\S+) (?:not )?in (?:os\.)?environ$", text
            )
            if found:
                yield found[1].strip("'")


def test_every_variable_is_named() -> None:
    written = {name for name in man_words.ENVIRONMENT if "<" not in name}
    read = {"JANUS_BRIDGE_MI__TOKEN" if name == "TOKEN_VARIABLE" else name for name in variables()}
    assert written == {name for name in read if name.isupper()}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("JANUS_BRIDGE_MI__HTTP_ROOT", "rpc", lambda config: config.mi.http_root == "rpc"),
        ("JANUS_BRIDGE_JANUS__GATEWAYS__gw1__ORIGIN", "o", lambda config: config.janus.gateways["gw1"].origin == "o"),
    ],
)
def test_variables_of_settings_work(name: str, text: str, value: object, tmp_path: Path) -> None:
    assert callable(value)
    assert value(load(None, [f'state.dir="{tmp_path}"'], {name: text}))


def test_exit_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad_row = sqlite_table(tmp_path / "opensips.db", {"gw1": "http://h/"})
    here = ["-o", f'state.dir="{tmp_path}/state"', "-o", f'janus.janus_db_url="{bad_row}"']
    codes = {
        "0": main(["unit"]),
        "1": main(["check", *here]),
        "2": main(["check", *here, "-o", "mi.nonsense=1"]),
        "3": main(["mi", "--url", f"http://127.0.0.1:{free_port()}/mi", "which"]),
    }
    monkeypatch.setattr(unit, "run", _interrupted)
    codes["130"] = main(["unit"])
    assert codes == {name: int(name) for name in man_words.EXIT_CODES}


def _interrupted(_args: object) -> int:
    raise KeyboardInterrupt


def test_pages() -> None:
    assert set(names_words.PAGES) == set(pages(figures))
    assert {path.decode() for path in OPEN_PATHS} == {"/healthz"}


def test_every_method_has_a_schema_for_its_result(tmp_path: Path) -> None:
    parts = build(load(None, [f'state.dir="{tmp_path}"', *names.IN_A_CLUSTER], {}))
    methods = {name for name in parts.mi.which() if ":" not in name}
    schemas = {path.name for path in (ROOT / "schemas").glob("result-*")}
    assert schemas == {f"result-{method}.schema.json" for method in methods}


def test_words_without_a_name_are_refused() -> None:
    with pytest.raises(SystemExit, match="gone"):
        names._explained(["there"], {"there": "x", "gone": "y"})
    with pytest.raises(SystemExit, match="new"):
        names._explained(["there", "new"], {"there": "x"})
