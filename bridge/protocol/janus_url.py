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
    r"(?::(?P<port>[^/?#@]*))?"
    r"(?P<path>/[^?#]*)?"
    r"(?:\?(?P<query>[^#]*))?"
)
# What getaddrinfo and TLS take without an exception: labels of 1 to 63 characters, 253 in all. An underscore is in no
# host name (RFC 952), but names in container networks have it.
_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*\.?")
_ZONE = re.compile(r"[A-Za-z0-9_.-]{1,15}")  # an interface's name or number
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
        # Before anything else: the text is written into a request line and into logs. Path and query may hold secrets,
        # and so may a user:password@, which is no part of the form: no error repeats anything but scheme, host or port.
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
            address = ipaddress.IPv6Address(text[1:-1].replace("%25", "%", 1))  # RFC 6874 writes a zone so
        except ValueError:
            address = None
        if address is None or not _ZONE.fullmatch(address.scope_id or "none"):
            raise ValueError(f"host {text!r} is no IPv6 address in brackets")
        return str(address)
    if not _HOST.fullmatch(text):
        raise ValueError(f"host {text!r} is empty or no host name")
    return text


def _port(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isdecimal() and 1 <= len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError(f"port {text!r} is not a number from 1 to 65535")
    return int(text)
