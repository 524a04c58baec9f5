"""Percent-encoding in the URLs that somebody writes by hand: what stands there is decoded, or the fault is named.

Owns the decoding and its words. Must not know which part of which URL it is. Authority: RFC 3986, 2.1.
"""

import re
from urllib.parse import unquote_to_bytes

_BARE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def decoded_bytes(part: str, text: str) -> bytes:
    """What a ``part`` of a URL stands for. Raises ValueError, which names the part and never shows its text."""
    if _BARE.search(text):
        raise ValueError(f"{part} has a '%' without two hexadecimal digits behind it (a '%' itself is %25)")
    return unquote_to_bytes(text.encode("utf-8", "surrogatepass"))


def decoded(part: str, text: str, *, printable: bool = True) -> str:
    """The same as text, which has no NUL, and is ``printable`` as a whole where it has to be."""
    try:
        found = decoded_bytes(part, text).decode()
    except UnicodeDecodeError:
        raise ValueError(f"{part} is not UTF-8 once decoded") from None
    if "\0" in found or (printable and not found.isprintable()):
        raise ValueError(f"{part} has a control character")
    return found
