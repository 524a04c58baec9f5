"""Completion, as the shells themselves do it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bridge.__main__ import main
from bridge.cli import completes, program
from bridge.cli.completes import KINDS, every
from bridge.cli.usage import usage_of
from bridge.config import SETTINGS, load
from bridge.daemon.parts import build
from bridge.protocol.cluster import BETWEEN_BRIDGES
from tests.support.deadlines import HANG_SECONDS
from tests.support.pty_screen import PtyScreen
from tools import names

# What was typed, and what it may become.
CASES = {
    "st": {"status"},
    "db re": {"remove"},
    "cluster rel": {"release"},
    "-": {"-h", "--help", "--version"},
    "status --tim": {"--timeout"},
    "db add --js": {"--json"},
    "completion ": {"bash", "zsh", "fish"},
    "man janus-bridge.": {"janus-bridge.toml"},
    "-h st": {"status"},
    "status -c db --js": {"--json"},  # a file with the name of a subcommand
    "mi janus_li": {"janus_list"},
    "mi --url x janus_li": {"janus_list"},
    "mi janus_list janus_li": set(),
    "events E_JANUS_EVENT E_JANUS_S": {"E_JANUS_STATUS"},
    "run -o mi.to": {"mi.token="},
    "run -o log.form": {"log.format="},
    "run -o log.format=t": {"log.format=text"},
    "run -o mi.hold_listeners=": {"mi.hold_listeners=true", "mi.hold_listeners=false"},
    "run --option=log.le": {"log.level="},
    "check -o janus.gat": {"janus.gateways."},
    "check -o janus.gateways.gw1.token_": {"janus.gateways.gw1.token_secret=", "janus.gateways.gw1.token_ttl="},
    "status --config FOLDER/some": {"FOLDER/some file.toml"},
    "import FOLDER/some": {"FOLDER/some file.toml"},
    "status --url ": set(),
}


@pytest.fixture
def scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder with each shell's script, and a file to find."""
    for shell in ("bash", "zsh", "fish"):
        assert main(["completion", shell]) == 0
        (tmp_path / shell).write_text(capsys.readouterr().out)
    (tmp_path / "some file.toml").touch()
    return tmp_path


@pytest.fixture
def cases(scripts: Path) -> dict[str, set[str]]:
    """With that folder."""
    folder = str(scripts)
    return {
        typed.replace("FOLDER", folder): {word.replace("FOLDER", folder) for word in words}
        for typed, words in CASES.items()
    }


def last(typed: str) -> str:
    """The word that is completed; the value of an option counts as one."""
    return typed.rpartition(" ")[2].removeprefix("--option=")


def test_every_argument_has_something_to_be_completed_with_or_nothing() -> None:
    whole = usage_of(program.parser())
    takes: dict[str, bool] = {}
    for usage in every(whole):
        for option in usage.options:
            for string in option.strings:
                assert takes.setdefault(string, bool(option.metavar)) == bool(option.metavar), "the scripts know one"
            assert not option.metavar or option.metavar in KINDS
        assert all(argument.choices or argument.metavar in KINDS for argument in usage.arguments)


def test_methods_and_settings_are_those_of_the_program(tmp_path: Path) -> None:
    parts = build(load(None, [f'state.dir="{tmp_path}"', *names.IN_A_CLUSTER], {}))
    known = {name for name in parts.mi.which() if ":" not in name}
    assert known - set(completes.methods()) == BETWEEN_BRIDGES
    assert set(completes.methods()) <= known
    keys = {key.name for key in completes.settings()}
    for before, named in completes.named_settings().items():
        word = "ID" if before == "janus.gateways." else "NAME"
        keys |= {f"{before}{word}.{key.name}" for key in named}
    assert keys == {f"{setting.section}.{setting.key}" for setting in SETTINGS}


@pytest.mark.program
def test_bash(scripts: Path, cases: dict[str, set[str]]) -> None:
    """It replaces what follows the last ``=``."""
    harness = r"""
source "$1"/bash
compopt() { :; }
for typed in "${@:2}"; do
    COMP_LINE="janus-bridge $typed" COMP_POINT=$((13 + ${#typed}))
    _janus_bridge
    printf '%s\n' "${COMPREPLY[@]}" END
done
"""
    evil = f"run -o janus.gateways.$(touch${{IFS}}{scripts}/evil).to"
    command = ["bash", "--norc", "-c", harness, "bash", str(scripts), *cases, evil]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.stderr == ""
    *found, ran = done.stdout.removesuffix("END\n").split("END\n")
    for (typed, words), answer in zip(cases.items(), found, strict=True):
        assert set(answer.split("\n")) - {""} == {
            word.rpartition("=")[2] if "=" in last(typed) else word for word in words
        }, typed
    assert ran
    assert not (scripts / "evil").exists()


@pytest.mark.program
@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish(scripts: Path, cases: dict[str, set[str]]) -> None:
    """It has whole words, with explanations."""
    script = 'source $argv[1]/fish; for typed in $argv[2..]; complete -C "janus-bridge $typed"; echo END; end'
    environ = {**os.environ, "HOME": str(scripts), "XDG_CONFIG_HOME": str(scripts), "XDG_DATA_HOME": str(scripts)}
    command = ["fish", "--no-config", "-c", script, str(scripts), *cases]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS, env=environ)
    assert done.stderr == ""
    found = done.stdout.removesuffix("END\n").split("END\n")
    for (typed, words), answer in zip(cases.items(), found, strict=True):
        said = {line.partition("\t")[0].removeprefix("--option=") for line in answer.splitlines()}
        if last(typed):
            assert said == words, typed
        else:
            assert words <= said, typed


@pytest.mark.program
@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh(scripts: Path, cases: dict[str, set[str]]) -> None:
    """It completes a line only at a terminal: so on one, and each line is told by a widget instead of being run."""
    setup = f"""
PS1='there> '; autoload -Uz compinit; compinit -u -D; source {scripts}/zsh
tell() {{ print -r -- "<${{BUFFER}}>" >>{scripts}/told; BUFFER= }}; zle -N tell; bindkey '^T' tell
"""
    (scripts / ".zshrc").write_text(setup)
    alone = {typed: words for typed, words in cases.items() if len(words) == 1}
    keys = "".join(f"janus-bridge {typed}\t\x14" for typed in alone) + "exit\r"
    with PtyScreen(["zsh", "-d", "-i"], {"ZDOTDIR": str(scripts), "TERM": "dumb"}) as terminal:
        terminal.until(lambda: "there> " in terminal.said)
        terminal.type(keys)
        terminal.ended()
    told = (scripts / "told").read_text().splitlines()
    wanted = [f"<janus-bridge {typed.removesuffix(last(typed))}{word}>" for typed, [word] in alone.items()]
    assert [line.replace(" >", ">").replace("=>", ">").replace("\\ ", " ") for line in told] == [
        line.replace("=>", ">") for line in wanted
    ], terminal.said
