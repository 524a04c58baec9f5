"""docs/messages.md against the program: each text says what to do now, and no row outlives its text."""

import ast
import itertools
import re
from pathlib import Path

import pytest

from tools import messages
from tools.source import program


def test_the_file_says_what_the_program_does() -> None:
    written, found = messages.FILE.read_text(encoding="utf-8"), messages.render()
    assert written == found, "words go into tools/messages.toml; python -m tools.messages writes the file anew"


def test_every_row_says_what_it_means_and_what_to_do() -> None:
    assert all(meaning and todo for meaning, todo in messages.read_words().values())


def test_every_log_call_is_seen() -> None:
    """By another way than the tool's: lines that begin a call."""
    calls = sum(
        line.strip().startswith(("log.warning(", "log.error(", "log.critical(", "log.exception("))
        for file in (messages.ROOT / "bridge").rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
    )
    seen = [level for _, level, _ in messages.told() if level != "reason"]
    assert len(seen) == calls + 1  # logs.py makes one line without a call


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ('log.warning("%s: gone after %d s", a, b)', [("warning", "…: gone after … s")]),
        ('def f():\n    words = "%s: too large"\n    log.warning(words, a)', [("warning", "…: too large")]),
        ('log.log(level, "%s: %s", a, b)', [("log", "…: …")]),
        ('log.info("nothing that matters")\nlog.log(to_python(NOTICE), "%s happens", a)', []),
        ('raise ConnectFailed(f"host {h!r} is not found")', [("reason", "host … is not found")]),
        (
            'self.lose("the host is away" if a else f"{b} is not there")',
            [("reason", "the host is away"), ("reason", "… is not there")],
        ),
        ('def refusal():\n    """Not this text."""\n    return "the peer said no"', [("reason", "the peer said no")]),
        ('DROP_REASONS: D = {"full": "its queue was full"}', [("reason", "its queue was full")]),
        ('raise ConnectFailed(f"{a}: {b}")', []),
        ('log.warning("%s: %s lost", a, plural(n, "line"))', [("warning", "…: … lines lost")]),
        ("raise ConnectFailed(f\"after {plural(n, 'try')}\")", [("reason", "after … trys")]),
    ],
)  # fmt: skip
def test_what_is_read_of_the_program(code: str, texts: list[tuple[str, str]]) -> None:
    assert list(messages.texts(ast.parse(code))) == texts


def test_words_and_texts_without_each_other_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = messages.WORDS.read_text(encoding="utf-8")
    monkeypatch.setattr(messages, "WORDS", tmp_path / "words.toml")
    messages.WORDS.write_text(words.replace('"Janus is silent" =', '"Janus is gone" ='), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"words for .*Janus is silent.*has no .*Janus is gone"):
        messages.render()


def test_whoever_speaks_is_still_called_so() -> None:
    names = {
        name
        for _, tree in program()
        for node in ast.walk(tree)
        for name in (getattr(node, "id", None), getattr(node, "attr", None), getattr(node, "name", None))
    }
    assert names >= messages.SPEAKERS | messages.MAKERS


COUNTED = "command|connection|event|gateway|handle|line|row|session|socket|time"


def _hand_made(tree: ast.AST) -> list[str]:
    """Texts that count something in the plural, whatever its number. A limit, in capitals or private, is never 1."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += re.findall(rf"%d (?:\w+ )?(?:{COUNTED})s\b.*", node.value)
        elif isinstance(node, ast.JoinedStr):
            for value, text in itertools.pairwise(node.values):
                counts = isinstance(value, ast.FormattedValue) and not LIMIT.search(ast.unparse(value.value))
                if counts and re.match(rf" (?:\w+ )?(?:{COUNTED})s\b(?!=)", str(getattr(text, "value", ""))):
                    found.append(ast.unparse(node))
    return found


LIMIT = re.compile(r"[A-Z]{3}|\b_?most\b|limit")


def test_nothing_is_counted_in_the_plural_by_hand() -> None:
    """``plural`` says "1 handle", not "1 handles"."""
    found = {file.name: texts for file, tree in program() if (texts := _hand_made(tree))}
    assert found == {  # always several, or the number before is the one that counts
        "cluster_rows.py": ["f'{times} rows have the node_id {_shown(node_id)}'"],
        "evi.py": ["f'{len(self._deliveries)} sockets are served, some of which have ended their subscriptions'"],
        "news.py": ["f'table {freshness}, {len(links) - len(missing)} of {len(links)} gateways ready'"],
        "watch_screen.py": ["f'{count(ready)} of {count(len(gateways))} gateways ready'"],
    }, "bridge.protocol.humanize.plural"


@pytest.mark.parametrize(
    ("code", "number"),
    [('log.info("%d lines", n)', 1), ('f"{len(a)} more rows are bad"', 1), ('f"at most {MOST_ROWS} rows"', 0)],
)
def test_what_is_counted_by_hand_is_found(code: str, number: int) -> None:
    assert len(_hand_made(ast.parse(code))) == number
