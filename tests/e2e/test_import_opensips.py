"""``import`` beside a real OpenSIPS: it reads the same strings, follows the same files, and shows lines that OpenSIPS
takes. ``loadmodule`` is how OpenSIPS says what it read: it names the module that it cannot load.
"""

import itertools
import random
import re
from pathlib import Path

import pytest

from bridge.__main__ import main
from bridge.cli.cfg_files import CfgFiles
from bridge.protocol.opensips_lex import tokens
from tests.support.opensips import NEEDS_OPENSIPS, check, write_examples

pytestmark = NEEDS_OPENSIPS
PIECES = [
    *("a", "0", "7", " ", "#", "/*", "*/", "//", "$", "(", "`", "\n", "é", "?"),
    *("\\n", "\\t", "\\a", "\\\\", '\\"', "\\'", "\\x41", "\\x7", "\\xg", "\\101", "\\12", "\\1", "\\077", "\\q"),
]


def loaded(config: Path) -> list[str]:
    """The modules that OpenSIPS wanted to load, by its complaints."""
    _, said = check(config)
    return re.findall(
        r"parse error in [^\n]*: failed to load module (.*?)\n\n(?=[A-Z][a-z]{2} .\d |\Z)", said, re.DOTALL
    )


def read(config: Path) -> list[str]:
    """The same, by our reading."""
    found = list(tokens(CfgFiles(str(config)).script.text))
    return [
        token.value.decode()
        for before, token in itertools.pairwise(found)
        if before.text == "loadmodule" and isinstance(token.value, bytes)
    ]


def test_strings_and_comments_are_read_alike(tmp_path: Path) -> None:
    chance = random.Random(1)
    config = tmp_path / "opensips.cfg"
    lines = []
    for _ in range(200):
        quote = chance.choice("\"'")
        body = "".join(chance.choices(PIECES, k=chance.randint(1, 7)))
        if quote == "'":
            body = body.replace("'", "")
        lines.append(f"loadmodule {quote}{body}.{quote}\n/* a /* b */ loadmodule 'no' */ # loadmodule 'no'\n")
    config.write_text("".join(lines))
    ours = read(config)
    assert len(ours) == 200
    assert ours == loaded(config)


def test_files_are_followed_alike(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "one.cfg").write_text('loadmodule "one"')
    (folder / "two.cfg").write_text('import_file "one.cfg" dropped(\nloadmodule "two"\n')
    config = folder / "opensips.cfg"
    config.write_text(
        '/*\ninclude_file "two.cfg"\n*/\n\tinclude_file\'two.cfg\'\n# include_file "one.cfg"\nloadmodule "x"\n'
    )
    assert read(config) == loaded(config) == ["one", "two", "x"]


@pytest.mark.parametrize("depth", [20, 21])
def test_files_are_followed_as_deep(tmp_path: Path, depth: int) -> None:
    for number in range(1, depth):
        (tmp_path / f"{number:02}.cfg").write_text(f'include_file "{number + 1:02}.cfg"\n')
    (tmp_path / f"{depth:02}.cfg").write_text('loadmodule "x"\n')
    code = main(["import", str(tmp_path / "01.cfg")])
    assert (code != 2) == (loaded(tmp_path / "01.cfg") == ["x"])


@pytest.mark.parametrize("word", ["include_file", "import_file"])
def test_a_missing_file_stops_opensips(tmp_path: Path, word: str) -> None:
    config = tmp_path / "opensips.cfg"
    config.write_text(f'{word} "none.cfg"\nroute {{ exit; }}\n')
    assert "failed to resolve file imports" in check(config)[1]
    assert main(["import", str(config)]) == 1


def test_the_lines_that_are_shown_are_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tmp_path / "before.cfg"
    before.write_text(
        r"""
        route {
            janus_send_request("gw1", "{\"janus\": \"detach\", \"h\": $var(h), \"n\": '$(avp(s)[0])'}", $var(r));
            janus_send_request("gw$var(n)", "a $$ \\ \x41 \"", $json(r));
            janus_send_request('gw1', $var(c));
            janus_send_request("gw1", "$(avp(s){s.len})", $avp(answer));
        }
        """
    )
    main(["import", str(before)])
    shown = [line[6:] for line in capsys.readouterr().out.splitlines() if line.startswith("#     ")]
    assert len(shown) == 6
    write_examples(tmp_path / "examples", {})
    after = tmp_path / "examples" / "after.cfg"
    modules = "".join(f'loadmodule "{name}.so"\n' for name in ("proto_udp", "json", "rest_client"))
    mpath = next(line for line in (after.parent / "sync.cfg").read_text().splitlines() if line.startswith("mpath"))
    after.write_text(
        f'socket = udp:127.0.0.1:5060\n{mpath}\n{modules}include_file "janus-bridge.inc"\nroute {{\n'
        + "\n".join(shown)
        + "\nexit;\n}\n"
    )
    code, said = check(after)
    assert code == 0, said
