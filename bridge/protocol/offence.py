"""What is wrong with a text that should be JSON, in words for whoever wrote it: member, byte, and the text around it.

Must not know whose text it is. The answer goes to the caller and into the log: what stands in a member that may hold a
secret is not repeated.
"""

import re
from typing import Final

from bridge.errors import MalformedMessage
from bridge.protocol.printable import printable

_BEFORE: Final = 4096  # bytes in front of the offence in which its member's name is looked for
_SHOWN: Final = 32  # bytes of the offence that are repeated
_NAME: Final = re.compile(rb'"([^"\\]{1,64}+)"\s*+:')
_END: Final = re.compile(rb'[\s,"\]}]')
_VARIABLE: Final = re.compile(r"\$[\w({\[]")
_SECRET: Final = re.compile(r"secret|token|password|pin\b|key", re.IGNORECASE)


def explain(text: str, error: MalformedMessage) -> str:
    """What ``error``, which reading ``text`` ended in, says about it."""
    if error.at is None:
        return str(error)
    if not text.strip():
        return "it is empty"
    at = len(text[: error.at].encode("utf-8", "replace"))
    return not_json(text.encode("utf-8", "replace"), at, str(error).partition(": line ")[0])


def not_json(text: bytes, at: int, reason: str) -> str:
    """``reason`` is the parser's; ``at`` the byte of the text where it stopped."""
    member, shown = _where(text, at)
    if _VARIABLE.match(shown):
        return f"not JSON{member}: >{shown}<: OpenSIPS does not fill variables into this string"
    found = f": >{shown}<" if shown else ""
    return f"not JSON{member}{found}: {reason} (byte {at})"


def not_utf8(text: bytes, at: int) -> str:
    """``at``: the first byte that is none of UTF-8."""
    member, _ = _where(text, at)
    return f"not UTF-8{member}: byte 0x{text[at]:02x} at {at}; convert it, or write it as \\u escapes"


def _where(text: bytes, at: int) -> tuple[str, str]:
    """The member, and how the offence begins."""
    names = _NAME.findall(text, max(0, at - _BEFORE), at)
    name = names[-1].decode("utf-8", "replace") if names else ""
    rest = text[at : at + _SHOWN]
    end = _END.search(rest, 1)
    shown = "***" if _SECRET.search(name) else rest[: end.start() if end else None].decode("utf-8", "replace")
    return (f' at "{printable(name)}"' if name else ""), printable(shown)
