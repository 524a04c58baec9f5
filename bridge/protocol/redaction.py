"""What may not be shown, and texts without it.

Owns the one stand-in for a secret, and its removal from texts whose writer is a stranger or a library: an error of
Janus or of a database may repeat what it was sent, a traceback what a variable held. Each grammar knows which of its
parts are secret (``janus_url``, ``db_url``); here they are only words. Authority: contract 4.2, 6.4; docs/security.md.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

HIDDEN: Final = "***"
SHORTEST: Final = 6  # characters: a shorter word would be cut out of texts that have nothing to do with it

# A signed token of ours is valid for hours: EXPIRY,janus,PLUGIN,...:HMAC-SHA1.
_SIGNED = re.compile(r"\b\d{9,11},janus(?:,[\w.]*)*:[A-Za-z0-9+/]{27}=")
# Whoever knows the whole id can claim the session. Janus repeats it: "No such session 1234567890".
_SESSION = re.compile(r"(?i)(\bsession(?:_id)?\W{1,4}\d{4})\d+")


class Redaction:
    """The secrets that this process knows. Called with a text, it gives it without them."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, ...]] = {}
        self._all: tuple[str, ...] = ()

    def know(self, owner: str, secrets: Iterable[str | None]) -> None:
        """These are the secrets of ``owner`` now, in place of what it had before."""
        self._known[owner] = tuple({str.__str__(secret): None for secret in secrets if secret is not None})
        found = {
            form for known in self._known.values() for one in known if len(one) >= SHORTEST for form in _forms(one)
        }
        self._all = tuple(sorted(found, key=len, reverse=True))  # the longest first: one may begin with another

    def __call__(self, text: str) -> str:
        """Total; a text without secrets comes back as it is."""
        for secret in self._all:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        return _SESSION.sub(r"\1...", _SIGNED.sub(HIDDEN, text))


def _forms(secret: str) -> Iterator[str]:
    """A secret, and how it stands in JSON, in Python's quotes, in a URL."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield quote(secret, safe="", errors="replace")


def unchanged(text: str) -> str:
    """Where nothing is known that has to be hidden."""
    return text
