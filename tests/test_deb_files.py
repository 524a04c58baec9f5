"""What is made of ``debian/``: the version, the changelog, the licences of what is bundled."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import deb_files

ROOT = Path(__file__).parents[1]
LIBRARY = "Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{more}\n"
CHANGES = """\
# Changes

## Unreleased

- `[cluster]`: a site of bridges ([docs/cluster.md](docs/cluster.md)), which is described in more words than one line
  of it holds, and in a second line.
- Another.

## 0.9.0

- Before.
"""


def library(folder: Path, name: str, more: str, files: dict[str, str]) -> None:
    """As pip installs it."""
    info = folder / f"{name}-1.0.dist-info"
    written = {f"{info.name}/METADATA": LIBRARY.format(name=name, more=more), f"{name}/__init__.py": "", **files}
    for path, text in written.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in written), encoding="utf-8")


@pytest.mark.parametrize(
    ("upstream", "made"),
    [("1.0.0", "1.0.0-1"), ("1.0.0rc2", "1.0.0~rc2-1"), ("1.1.dev3", "1.1~dev3-1"), ("1.0.post1", "1.0.post1-1")],
)
def test_the_version_of_the_package(upstream: str, made: str) -> None:
    assert deb_files.version(upstream, "1") == made


@pytest.mark.program
@pytest.mark.skipif(shutil.which("dpkg") is None, reason="no dpkg")
@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (("1.0.0rc1", "1+deb12"), ("1.0.0", "1+deb12")),
        (("1.0.0", "1+deb12"), ("1.0.0", "1+deb13")),
        (("1.0.0", "1+deb13"), ("1.0.0", "2+deb12")),
        (("1.0.0", "2+deb13"), ("1.0.1", "1+deb12")),
    ],
)
def test_dpkg_takes_the_later_one_for_an_upgrade(older: tuple[str, str], newer: tuple[str, str]) -> None:
    words = [deb_files.version(*older), "lt", deb_files.version(*newer)]
    assert subprocess.run(["dpkg", "--compare-versions", *words], check=False).returncode == 0


@pytest.mark.parametrize(("upstream", "first"), [("1.0.0", "  * `[cluster]`: a site"), ("0.9.0", "  * Before.")])
def test_the_changelog_has_the_section_of_the_release(upstream: str, first: str) -> None:
    lines = deb_files.changelog(CHANGES, upstream, "bookworm", "1+deb12", 1_700_000_000).splitlines()
    assert lines[0] == f"janus-bridge ({upstream}-1+deb12) bookworm; urgency=medium"
    assert lines[2].startswith(first)
    assert lines[-1].startswith(" -- ")
    assert lines[-1].endswith(">  Tue, 14 Nov 2023 22:13:20 +0000")
    assert max(map(len, lines[:-1])) <= 80


def test_the_licences_of_what_is_bundled(tmp_path: Path) -> None:
    mit = "The MIT License\n\nCopyright (c) 2020 Somebody <a@example.org>\n\nDo as you like.\n"
    library(tmp_path, "one", "License-Expression: MIT", {"one-1.0.dist-info/licenses/LICENSE": mit})
    apache = "Apache License\nVersion 2.0, and much more"
    more = "License-Expression: MIT OR Apache-2.0"
    library(tmp_path, "two", more, {"two-1.0.dist-info/LICENSE.APACHE2": f"  {apache}\n", "two.libs/x.so": ""})
    library(tmp_path, deb_files.OWN_NAME, "", {})
    assert deb_files.licences(tmp_path) == "\n".join(
        [
            deb_files.HEAD,
            deb_files.OWN,
            "Files: usr/lib/janus-bridge/one-1.0.dist-info/*\n usr/lib/janus-bridge/one/*\n"
            "Copyright: Copyright (c) 2020 Somebody <a@example.org>\n"
            "License: MIT\n The MIT License\n .\n Copyright (c) 2020 Somebody <a@example.org>\n .\n Do as you like.\n"
            "Comment: one 1.0\n",
            "Files: usr/lib/janus-bridge/two-1.0.dist-info/*\n usr/lib/janus-bridge/two/*\n"
            " usr/lib/janus-bridge/two.libs/*\n"
            "Copyright: the authors of two\n"
            "License: MIT or Apache-2.0\n /usr/share/common-licenses/Apache-2.0\n"
            "Comment: two 1.0\n",
        ]
    )


def test_what_brings_no_licence_is_not_packaged(tmp_path: Path) -> None:
    library(tmp_path, "one", "", {})
    with pytest.raises(SystemExit, match=r"one 1\.0 brings no licence"):
        deb_files.licences(tmp_path)


def test_every_library_that_runs_here_brings_its_licence() -> None:
    text = deb_files.licences(Path(sys.prefix, f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"))
    for name in ("trio", "orjson", "cryptography", "PyMySQL"):
        assert f"\nComment: {name} " in text
