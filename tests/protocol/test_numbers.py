"""The one way from digits to an integer."""

import pytest

from bridge.protocol.numbers import read_decimal, read_port


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), ("007", 7), ("255", 255)])
def test_digits_are_a_number(text: str, number: int) -> None:
    assert read_decimal(text, 255) == number


@pytest.mark.parametrize(
    "text", ["", "256", "0007", "9" * 5000, "-1", "+1", " 1", "1 ", "1_0", "1.0", "0x1", "１", "²", "٣", "1\n"]
)
def test_anything_else_is_none(text: str) -> None:
    assert read_decimal(text, 255) is None


def test_the_range_has_both_ends() -> None:
    assert [read_decimal(text, 9, 3) for text in ("2", "3", "9")] == [None, 3, 9]
    assert [read_port(text) for text in ("0", "1", "65535", "65536")] == [None, 1, 65535, None]
    assert read_port("0", least=0) == 0
