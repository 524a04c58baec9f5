"""The grammar of ``janus_url`` (contract 5.1): ``janusws://[user:password@]host[:port][/path][?query]``, ``januswss://``.

Owns the text of a URL and nothing about connecting. Authority: OpenSIPS janus module (janusws://), RFC 3986, RFC 6455,
RFC 7617 (user and password).
"""

import base64
import re
from dataclasses import dataclass, field

from bridge.protocol.host_port import bracketed, read_host
from bridge.protocol.numbers import read_port
from bridge.protocol.percent import decoded_bytes
from bridge.protocol.redaction import HIDDEN

SCHEMES = {"janusws": False, "januswss": True, "ws": False, "wss": True}  # scheme -> TLS
DEFAULT_PORTS = {False: 8188, True: 8989}  # Janus's own ports
HTTP_PORTS = {False: 80, True: 443}  # the schemes' own (RFC 6455, 3): what a Host header leaves out
DEFAULT_PATH = "/janus"

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:(?P<user>[^/?#@]*)@)?"
    r"(?P<host>\[[^\]/?#]*\]|[^:/?#\[\]@]*)"
    r"(?::(?P<port>[^/?#@]*))?"
    r"(?P<path>/[^?#]*)?"
    r"(?:\?(?P<query>[^#]*))?"
)
_USER = re.compile(r"(?<=://)[^/?#@]*@")
# What can be told apart of a bad URL. Without a user, what stands for the port may be a password; an @ further on may
# be the end of one, of which all before it is a part.
_SHOWABLE = re.compile(
    r"(?P<scheme>(?:[A-Za-z][A-Za-z0-9+.-]{0,30}:)?//)?(?P<user>[^/?#@]*@)?"
    r"(?P<place>(?:\[[0-9A-Fa-f:.%]*\]|[A-Za-z0-9_.-]*)(?(user)(?::[^/?#@]*)?|(?::[0-9]*)?)(?:/(?!/)[^?#@]*)?)"
    r"(?P<rest>[?#][^@]*)?",
    re.DOTALL,
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://")
_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
# Janus drops a request head of 4 KiB without a word (libwebsockets); leave room for the other headers.
_MAX_TARGET = 2048


@dataclass(frozen=True, slots=True)
class JanusUrl:
    """Where a Janus listens. ``host`` is without brackets; ``target`` is path and query as sent; ``basic`` is
    user:password as HTTP Basic credentials, None without.
    """

    tls: bool
    host: str
    port: int
    target: str
    basic: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> "JanusUrl":
        """Read a URL. Raises ValueError with one line that names the part at fault."""
        # Before anything else: the text is written into a request line and into logs. Path and query may hold secrets,
        # and a user:password@ is one: no error repeats anything but scheme, host or port.
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("has a blank, a control or a non-ASCII character")
        match = _URL.fullmatch(text)
        if match is None:
            raise ValueError("is not of the form janusws://[user:password@]host[:port][/path][?query]")
        scheme = match["scheme"].lower()
        if scheme not in SCHEMES:
            raise ValueError(f"scheme {match['scheme']!r} is not one of janusws, januswss, ws, wss")
        tls = SCHEMES[scheme]
        target = (match["path"] or DEFAULT_PATH) + ("" if match["query"] is None else "?" + match["query"])
        if len(target) > _MAX_TARGET:
            raise ValueError(f"path and query have {len(target)} characters, at most {_MAX_TARGET} work with Janus")
        try:
            host, port = read_host(match["host"]), _port(match["port"], DEFAULT_PORTS[tls])
        except ValueError:
            if "@" in target:  # what was taken for the host or the port is a part of a password
                raise ValueError("user:password@ has a '/' or '?' that has to be written as %2F or %3F") from None
            raise
        return cls(tls, host, port, target, _basic(match["user"]))

    @property
    def netloc(self) -> str:
        """``host:port``, IPv6 in brackets."""
        return f"{bracketed(self.host)}:{self.port}"

    @property
    def authority(self) -> str:
        """What a ``Host`` header says: no port where it is the scheme's own (RFC 6455, 4.1), and no zone (RFC 6874)."""
        host = bracketed(self.host.partition("%")[0])
        return host if self.port == HTTP_PORTS[self.tls] else f"{host}:{self.port}"

    @property
    def tls_name(self) -> str:
        """The name that the certificate has to have: no zone, and no dot at its end (RFC 6066, 3)."""
        return self.host.partition("%")[0].removesuffix(".")

    def __str__(self) -> str:
        """The URL without user and password, and without its query, which may carry a token (contract 6.4)."""
        return f"{'januswss' if self.tls else 'janusws'}://{self.netloc}{self.target.partition('?')[0]}"


def told(text: str) -> str:
    """The text of a good URL as events have it: without what may be secret, its user:password@ and its query."""
    return _USER.sub("", text.partition("?")[0], count=1) if "@" in text or "?" in text else text


def shown(text: str) -> str:
    """The text of any URL as it may be shown: ``***`` stands for user:password, for query and fragment, and for all
    that cannot be told from them in a bad one.
    """
    try:
        JanusUrl.parse(text)
    except ValueError:
        match = _SHOWABLE.fullmatch(text)
        if match is None:
            scheme = _SCHEME.match(text)
            return (scheme[0] if scheme else "") + HIDDEN
        user = f"{HIDDEN}@" if match["user"] else ""
        rest = match["rest"][0] + HIDDEN if match["rest"] else ""
        return f"{match['scheme'] or ''}{user}{match['place']}{rest}"
    bare, query, _ = text.partition("?")
    return _USER.sub(f"{HIDDEN}@", bare, count=1) + query + (HIDDEN if query else "")


def secrets(text: str) -> list[str]:
    """What ``shown`` hides of a URL, in every form in which it travels."""
    try:
        url = JanusUrl.parse(text)
    except ValueError:
        match = _SHOWABLE.fullmatch(text)
        found = [text] if match is None else [match["user"], match["rest"]]
        return [part.strip("@?#") for part in found if part]
    query = text.partition("?")[2]
    found = [query, *(value for _, _, value in (part.partition("=") for part in query.split("&")))]
    if url.basic is not None:
        decoded = base64.b64decode(url.basic).decode(errors="replace")
        written = text.partition("//")[2].partition("@")[0]
        found += [url.basic, written, decoded, written.partition(":")[2], decoded.partition(":")[2]]
    return [part for part in found if part]


def _basic(user: str | None) -> str | None:
    if not user:
        return None
    name, _, password = (decoded_bytes("user:password@", part) for part in user.partition(":"))
    if b":" in name:
        raise ValueError("user:password@ has a ':' in its user, which HTTP Basic cannot carry")
    if _CONTROLS.search(name + password):
        raise ValueError("user:password@ has a control character")
    return base64.b64encode(name + b":" + password).decode()


def _port(text: str | None, default: int) -> int:
    if text is None:
        return default
    port = read_port(text)
    if port is None:
        if re.fullmatch(r"[+-]?[0-9]{0,10}", text):
            raise ValueError(f"port {text!r} is not a number from 1 to 65535")
        raise ValueError("the port is not a number from 1 to 65535 (or the '@' behind a password is missing)")
    return port
