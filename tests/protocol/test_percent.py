"""What percent-encoded parts of URLs stand for, and what is said of those that stand for nothing."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.percent import decoded, decoded_bytes


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_what_was_quoted_comes_back(text: str) -> None:
    assert decoded("the name", quote(text), printable=False) == text


@given(st.binary())
def test_any_bytes_can_be_written(data: bytes) -> None:
    assert decoded_bytes("the name", quote(data)) == data


@pytest.mark.parametrize("text", ["%", "hunter%2", "%zz", "hunter%"])
def test_a_bare_percent_sign_is_named_and_what_is_around_it_is_not(text: str) -> None:
    with pytest.raises(ValueError, match=r"^the name has a '%' without two hexadecimal digits behind it") as failed:
        decoded("the name", text)
    assert "hunter" not in str(failed.value)


@pytest.mark.parametrize("text", ["%ff", "%C3", "\udcff"])
def test_what_is_no_utf8_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"^the name is not UTF-8 once decoded$"):
        decoded("the name", text)


@pytest.mark.parametrize(("text", "printable"), [("a%0ab", True), ("a\tb", True), ("%00", True), ("%00", False)])
def test_a_control_character_is_named(text: str, printable: bool) -> None:
    with pytest.raises(ValueError, match=r"^the name has a control character$"):
        decoded("the name", text, printable=printable)


def test_a_password_may_have_one_but_for_nul() -> None:
    assert decoded("the password", "a%0ab", printable=False) == "a\nb"
