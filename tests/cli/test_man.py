"""The man pages: nothing that the program takes is missing, and what reads them has no complaint."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.__main__ import main
from bridge.cli import man_words, program, roff
from bridge.cli.run import SIGNALS
from bridge.cli.usage import Usage, usage_of
from bridge.config import SETTINGS, load
from bridge.config.settings import TABLE
from bridge.transport.signals import OBEYED
from tests.support.deadlines import HANG_SECONDS

PACKAGE = Path(program.__file__).parents[1]
PAGES = [["man"], ["man", "janus-bridge.toml"]]


def page(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def test_every_command_and_what_it_takes_is_in_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    written = page(["man"], capsys)
    synopses = re.findall(r"^\.SY \"(.*?)\"\n(.*?)^\.YS", written, re.MULTILINE | re.DOTALL)
    parts = dict(re.findall(r"^\.SS \"(.*?)\"\n(.*?)(?=^\.S[SH])", written, re.MULTILINE | re.DOTALL))
    shared = written.partition('.SH "OPTIONS"')[2].partition('.SH "COMMANDS"')[0]
    whole = usage_of(program.parser())
    commands = list(whole.commands())
    assert [name for name, _ in synopses] == [f"janus\\-bridge {roff.escaped(command.name)}" for command in commands]
    assert list(parts) == [usage.name for usage in below(whole)]  # `db` alone does nothing, but has words and examples
    assert {word for command in commands for word in command.words[:1]} == program.SUBCOMMANDS.keys()
    for command, (_, synopsis) in zip(commands, synopses, strict=True):
        part = parts[command.name]
        for option in command.options:
            for string in option.strings:
                assert roff.bold(string) in part or roff.bold(string) in shared
            assert roff.bold(option.strings[0]) in synopsis or option.strings[0] == "-h"
        for argument in command.arguments:
            assert argument.help, f"{command.name} {argument.metavar} is explained nowhere"
            assert all(roff.bold(choice) in synopsis for choice in argument.choices)
            assert argument.choices or roff.italic(argument.metavar) in synopsis


def below(usage: Usage) -> Iterator[Usage]:
    for verb in usage.verbs:
        yield verb
        yield from below(verb)


def test_examples_fit_into_eighty_columns() -> None:
    """Of a terminal, and of a page, which indents them."""
    whole = usage_of(program.parser())
    texts = "\n".join(text for usage in (whole, *below(whole)) for text in (usage.description, usage.epilog))
    assert [line for line in texts.splitlines() if line.startswith(" ") and len(line) > 71] == []


def test_every_setting_is_in_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    written = page(["man", "janus-bridge.toml"], capsys)
    parts = dict(re.findall(r"^\.SH \"\[(.*?)\]\"\n(.*?)(?=^\.SH)", written, re.MULTILINE | re.DOTALL))
    assert list(parts) == sorted(TABLE, key=list(parts).index)
    for setting in SETTINGS:
        section = roff.escaped(setting.section)
        assert re.search(rf"^\.T[PQ]\n\\fB{setting.key}\\fR = ", parts[section], re.MULTILINE), setting


def test_signals_and_files_are_those_of_the_program() -> None:
    assert {name for names in SIGNALS for name in names.split(", ")} == {number.name for number in OBEYED}
    texts = [file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py") if file.name != "man_words.py"]
    for name in man_words.FILES:
        if not name.startswith("/"):
            assert any(f'"{name}"' in text for text in texts), name


def test_the_example_can_be_used(tmp_path: Path) -> None:
    file = tmp_path / "janus-bridge.toml"
    file.write_text(man_words.EXAMPLE)
    assert load(file, environ={"HOME": str(tmp_path)}).events.subscribers


@pytest.mark.program
@pytest.mark.parametrize(
    "reader", [["groff", "-man", "-ww", "-Tutf8", "-Z"], ["mandoc", "-T", "lint", "-W", "style"]], ids=lambda it: it[0]
)
@pytest.mark.parametrize("words", PAGES, ids=" ".join)
def test_who_reads_them_complains_of_nothing(
    reader: list[str], words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(reader[0]) is None:
        pytest.skip(f"{reader[0]} is not installed")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795651200")
    written = page(words, capsys)
    assert " 2026-11-26 " in written.splitlines()[0]
    done = subprocess.run(reader, input=written, capture_output=True, text=True, timeout=HANG_SECONDS)
    said = done.stderr if reader[0] == "groff" else done.stdout + done.stderr
    assert said == ""


def test_text_is_no_request() -> None:
    """Whatever a help text begins with, or a line of it that is broken there."""
    assert list(roff.prose(".so /etc/passwd")) == [".PP", r"\&.so /etc/passwd"]
    assert list(roff.prose("'" + "x")) == [".PP", r"\(aqx"]
    long = " ".join(["word"] * 15 + [".TH"] * 15)
    assert [line for line in roff.prose(long) if line.startswith(".") and line != ".PP"] == []
    assert list(roff.example("  .SH x")) == [".PP", ".RS 4", ".EX", r"\&.SH x", ".EE", ".RE"]


def test_text_is_shown_as_it_is() -> None:
    shown = r"a\eb \(dq\(ha\(ti\(ga \(aq \-\- \[u2013] "
    assert roff.escaped("a\\b \"^~` ' -- – ") == shown
    assert list(roff.prose("see `-o a=b` now")) == [".PP", r"see \fB\-o a=b\fR now"]
