"""The request that upgrades to a WebSocket, as the web fronts before a Janus want to see it (contract 5.3).

Owns its headers: those that a browser sends, and those that a gateway's ``headers`` add. Must not know who sends it.
Authority: RFC 6455, 4.1; RFC 9110, 5 and 10.1.5; RFC 7617.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from bridge import __version__
from bridge.protocol.janus_url import JanusUrl

Headers: TypeAlias = tuple[tuple[str, str], ...]

USER_AGENT = f"janus-bridge/{__version__}"

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[!-~]([ -~\t]*[!-~])?")
# The upgrade itself, and what would announce a body.
_OURS = frozenset({"connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"})

# What a status other than 101 asks for, where that is known.
_REMEDIES = {
    **dict.fromkeys((301, 302, 303, 307, 308), "it redirects; give its target as janus_url"),
    401: "it requires user:password@ in janus_url, or headers",
    403: "check headers and origin",
    404: "is this Janus's HTTP port? Its WebSocket transport listens on another, 8188 by default; "
    "else check host and path of janus_url",
}


def refusal(status: int) -> str:
    """What it means, and what to do, where a peer answers the upgrade with another status than 101."""
    text = f"the peer answered the WebSocket upgrade with HTTP {status}"
    remedy = _REMEDIES.get(status)
    return text if remedy is None else f"{text}: {remedy}"


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises ValueError, which completes "headers ...": it names the header at fault and never shows its value."""
    seen: set[str] = set()
    for name, value in headers.items():
        key = name.lower()
        if not _NAME.fullmatch(name):
            raise ValueError(f"has {name!r}, which is not a header's name")
        if key in _OURS or key.startswith("sec-websocket-"):
            raise ValueError(f"has {name}, which the WebSocket handshake sets itself")
        if key == "origin":
            raise ValueError(f"has {name}, for which there is the setting origin")
        if key in seen:
            raise ValueError(f"has {name} twice")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"has a {name} that is empty or not printable ASCII, or has a blank at an end")
        seen.add(key)


def upgrade_headers(url: JanusUrl, origin: str | None, headers: Iterable[tuple[str, str]]) -> tuple[str, Headers]:
    """``Host``, and the headers beside those of the handshake itself.

    ``headers``, which ``check_headers`` let pass, win over what the URL and the program say.
    """
    own = {"host": url.authority, "origin": origin or url.host, "user-agent": USER_AGENT}
    if url.basic is not None:
        own["authorization"] = f"Basic {url.basic}"
    given = {name.lower(): (name, value) for name, value in headers}
    sent = {key: (key.title(), value) for key, value in own.items()} | given
    _, host = sent.pop("host")
    return host, tuple(sent.values())
