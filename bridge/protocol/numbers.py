"""Numbers in texts from outside.

Owns the one safe way from digits to an integer: ``int()`` raises for thousands of digits, takes blanks, underscores and
the digits of every script, and ``str.isdecimal`` lets the latter pass.
"""


def read_decimal(text: str, most: int, least: int = 0) -> int | None:
    """The number that ASCII digits stand for, leading zeros up to the length of ``most`` allowed; None for anything
    else, and outside of the range.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most))):
        return None
    number = int(text)
    return number if least <= number <= most else None


def read_port(text: str, least: int = 1) -> int | None:
    """A port of TCP or UDP."""
    return read_decimal(text, 65535, least)
