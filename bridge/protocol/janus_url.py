"""The grammar of ``janus_url``: ``janusws://host[:port][/path][?query]`` and ``januswss://`` (contract 5.1).

Owns the text of a URL and nothing about connecting. Authority: OpenSIPS janus module (janusws://), RFC 3986, RFC 6455.
"""

import ipaddress
import re
from dataclasses import dataclass

SCHEMES = {"janusws": False, "januswss": True, "ws": False, "wss": True}  # scheme -> TLS
DEFAULT_PORTS = {False: 8188, True: 8989}  # Janus's own ports
DEFAULT_PATH = "/janus"

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?P<host>\[[^\]/?#]*\]|[^:/?#\[\]@]*)"
    r"(?::(?P<port>[^/?#]*))?"
    r"(?P<path>/[^?#]*)?"
    r"(?:\?(?P<query>[^#]*))?"
)
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
# Janus drops a request head of 4 KiB without a word (libwebsockets); leave room for the other headers.
_MAX_TARGET = 2048


@dataclass(frozen=True, slots=True)
class JanusUrl:
    """Where a Janus listens. ``host`` is without brackets; ``target`` is path and query as sent."""

    tls: bool
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> "JanusUrl":
        """Read a URL. Raises ValueError with one line that names the part at fault."""
        # Before anything else: the text is written into a request line and into logs. Query strings may hold secrets,
        # so no error below repeats the text behind the host.
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("has a blank, a control or a non-ASCII character")
        match = _URL.fullmatch(text)
        if match is None:
            raise ValueError("is not of the form janusws://host[:port][/path][?query]")
        scheme = match["scheme"].lower()
        if scheme not in SCHEMES:
            raise ValueError(f"scheme {match['scheme']!r} is not one of janusws, januswss, ws, wss")
        tls = SCHEMES[scheme]
        target = (match["path"] or DEFAULT_PATH) + ("" if match["query"] is None else "?" + match["query"])
        if len(target) > _MAX_TARGET:
            raise ValueError(f"path and query have {len(target)} characters, at most {_MAX_TARGET} work with Janus")
        return cls(tls, _host(match["host"]), _port(match["port"], DEFAULT_PORTS[tls]), target)

    @property
    def netloc(self) -> str:
        """``host:port``, IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        """The URL without its query, which may carry a token (contract 6.4)."""
        return f"{'januswss' if self.tls else 'janusws'}://{self.netloc}{self.target.partition('?')[0]}"


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            return str(ipaddress.IPv6Address(text[1:-1]))
        except ValueError:
            raise ValueError(f"host {text!r} is no IPv6 address in brackets") from None
    if not _HOST.fullmatch(text):
        raise ValueError(f"host {text!r} is empty or no host name")
    return text


def _port(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isdecimal() and 1 <= len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError(f"port {text!r} is not a number from 1 to 65535")
    return int(text)
