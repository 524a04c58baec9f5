"""CHANGELOG.md: what a release makes of it, and what it does not let pass."""

import re

import pytest

from tools import changes

TEXT = """# Changes

## Unreleased

- One.
- Two.

## 0.1.0 (2026-01-02)

- Zero.
"""


def test_what_was_unreleased_is_the_versions() -> None:
    text = changes.release(TEXT, "0.2.0", "2026-11-26")
    assert changes.sections(text) == {
        "Unreleased": "",
        "0.2.0 (2026-11-26)": "- One.\n- Two.",
        "0.1.0 (2026-01-02)": "- Zero.",
    }
    assert changes.fault(text, "0.2.0") is None


@pytest.mark.parametrize(
    ("text", "version", "said"),
    [
        (TEXT, "0.1.0", "has a section for 0.1.0 already"),
        (TEXT.replace("- One.\n- Two.\n", ""), "0.2.0", "nothing under ## Unreleased"),
        ("# Changes\n", "0.2.0", "nothing under ## Unreleased"),
    ],
)
def test_what_cannot_be_prepared(text: str, version: str, said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        changes.release(text, version, "2026-11-26")


@pytest.mark.parametrize(
    ("text", "version", "said"),
    [
        (TEXT, "0.2.0", "no section `## 0.2.0"),
        (TEXT, "0.1", "no section `## 0.1 "),
        (TEXT, "0.1.0", "changes under ## Unreleased"),
        (TEXT.replace("0.1.0 (2026-01-02)", "0.1.0 (soon)"), "0.1.0", "no section"),
        (TEXT.replace("- Zero.\n", ""), "0.1.0", "says nothing of 0.1.0"),
    ],
)
def test_what_is_no_release(text: str, version: str, said: str) -> None:
    assert said in (changes.fault(text, version) or "")


def test_the_file_has_this_form() -> None:
    titles = list(changes.sections(changes.CHANGELOG.read_text(encoding="utf-8")))
    assert titles[0] == changes.UNRELEASED
    assert [title for title in titles[1:] if not re.fullmatch(r"\S+ \(\d{4}-\d\d-\d\d\)", title)] == []
