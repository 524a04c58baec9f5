"""What a release is made of: one version, a clean commit, an sdist that has it all. `make release` makes one."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from bridge import __version__
from tools import release

ROOT = Path(__file__).parents[1]
CHANGES = "# Changes\n\n## Unreleased\n\n## 1.0.0 (2026-11-26)\n\n- All.\n"


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init")
    (folder / "CHANGELOG.md").write_text(CHANGES)
    git(folder, "add", ".")
    git(folder, "commit", "--message=all")
    return folder


@pytest.mark.program
def test_only_a_clean_commit_is_a_release(clone: Path) -> None:
    assert release.refusal(clone, "1.0.0") is None
    assert "no section `## 1.1.0" in str(release.refusal(clone, "1.1.0"))
    (clone / "new").touch()
    assert "?? new" in str(release.refusal(clone, "1.0.0"))


@pytest.mark.program
@pytest.mark.parametrize("annotated", [[], ["--annotate", "--message=1.0.0"]])
def test_a_version_is_that_of_one_commit(annotated: list[str], clone: Path) -> None:
    git(clone, "tag", "v1.0.0", *annotated)
    assert release.refusal(clone, "1.0.0") is None
    git(clone, "commit", "--allow-empty", "--message=more")
    assert "the tag of another commit" in str(release.refusal(clone, "1.0.0"))


def test_the_version_stands_in_one_place() -> None:
    assert release.version() == __version__
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "Makefile")}
    assert [name for name, text in texts.items() if __version__ in text] == []
    assert 'dynamic = ["version"]' in texts["pyproject.toml"]


@pytest.mark.parametrize("given", ["0.0.1", "next", "1.0", "v99.0.0", "99.0.0-rc1"])
def test_which_version_is_not_the_next(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "version", lambda: "1.0.1")
    with pytest.raises(SystemExit, match="version"):
        release.prepare(given, "2026-11-26")


def test_a_release_is_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changelog, source, page = (tmp_path / name for name in ("CHANGELOG.md", "__init__.py", "container.md"))
    changelog.write_text("# Changes\n\n## Unreleased\n\n- All.\n")
    source.write_text('"""x"""\n\n__version__ = "0.9.0"\n')
    page.write_text("janus-bridge:0.9.0 run\njanus-bridge:0.9.0\njanus-bridge:VERSION\n")
    monkeypatch.setattr(release, "VERSION_FILE", source)
    monkeypatch.setattr(release, "IMAGE_PAGE", page)
    monkeypatch.setattr("tools.changes.CHANGELOG", changelog)
    release.main(["prepare", "1.0.0"])
    assert release.version() == "1.0.0"
    assert "## Unreleased\n\n## 1.0.0 (2" in changelog.read_text()
    assert page.read_text() == "janus-bridge:1.0.0 run\njanus-bridge:1.0.0\njanus-bridge:VERSION\n"


def test_the_image_is_named_by_this_version() -> None:
    """In what operators paste; `prepare` writes it."""
    tags = set(re.findall(r"janus-bridge:(\d[\w.]*)", release.IMAGE_PAGE.read_text(encoding="utf-8")))
    assert tags == {__version__}


def test_what_is_left_to_choose_is_said(tmp_path: Path) -> None:
    control = tmp_path / "tools" / "debian" / "control"
    control.parent.mkdir(parents=True)
    control.write_text("Maintainer: Nobody <nobody@example.invalid>\n")
    assert [words.partition(":")[0] for words in release.undecided(tmp_path)] == [
        "there is no LICENSE, so nobody may pass these files on",
        "the packages' Maintainer is a placeholder",
    ]
    control.write_text("Maintainer: Somebody <somebody@example.org>\n")
    (tmp_path / "LICENSE").touch()
    assert release.undecided(tmp_path) == []


def test_what_differs_is_named(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, text in (("same", "x"), ("other", number), (f"only{number}", "x")):
            (folder / name).write_text(str(text))
    assert release.different(tmp_path / "1", tmp_path / "2") == ["only1", "only2", "other"]


@pytest.mark.program
@pytest.mark.slow
def test_an_sdist_has_what_is_committed(tmp_path: Path) -> None:
    """But for what belongs to the repository alone: names that begin with a dot."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this checkout has no history")
    script = "import sys; from hatchling.build import build_sdist; print(build_sdist(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / done.stdout.split()[-1]) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    committed = {name for name in listed.stdout.splitlines() if not name.startswith(".")}
    assert sorted(committed - inside) == []
    assert {name for name in inside - committed if not (ROOT / name).exists()} == {"PKG-INFO"}
