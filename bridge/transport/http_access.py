"""Who may ask over HTTP, and what: networks, tokens, no browsers.

Owns ``[mi].allow`` and the tokens as they are now; a reload replaces them. Must not know routes or methods.
Authority: contract 6.2 and 8.4; RFC 6750 (bearer tokens), RFC 7617 (Basic).

A browser on this machine is inside ``allow`` and does what any web page tells it. It betrays itself by ``Origin``; and
where a page had its own name point to our address (DNS rebinding), by a ``Host`` that is a name. With a token, which
no page has, ``Host`` may be a name.

A person at a browser can show the token as a password only (Basic), and from then on the browser shows it by itself,
with whatever a foreign page makes it ask. So Basic is for what is only looked at, GET and HEAD: nothing that acts can
be reached by it, and no page but ours can read the answer.
"""

import base64
import functools
import hmac
import ipaddress
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from bridge.protocol.caller import Caller, Role, client_of, ip_address
from bridge.protocol.host_port import Network
from bridge.protocol.numbers import read_port
from bridge.transport.failed_tokens import TOO_MANY, FailedTokens
from bridge.transport.http_messages import HttpRequest, Reply, refuse

if TYPE_CHECKING:
    from bridge.transport.http_messages import KnownHeads

log = logging.getLogger("bridge.mi")


LOOPBACK: Final[Sequence[Network]] = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))

_NOT_ALLOWED = refuse(403, "Your address is not in [mi].allow", close=True)
_BROWSER = refuse(403, "Requests of web pages (with an Origin header) are refused", close=True)
_FOREIGN = refuse(403, "Without a token, Host has to be an IP address or localhost", close=True)
_BEARER = b'WWW-Authenticate: Bearer realm="janus-bridge"\r\n'
_BASIC = b'WWW-Authenticate: Basic realm="janus-bridge"\r\n'  # a line of its own: some browsers read but one a line
_NO_TOKEN = refuse(401, "Unauthorized", close=True, headers=_BEARER)  # the text is OpenSIPS's
_NO_PASSWORD = refuse(401, "Unauthorized", close=True, headers=_BEARER + _BASIC)
_GUESSER = refuse(429, "Too many wrong tokens", close=True, headers=b"Retry-After: 60\r\n")
_LOOKING = frozenset({b"GET", b"HEAD"})
_CACHED = 256  # addresses whose verdict is remembered


class Access:
    """The rules as they are now. ``replace`` them at a reload: they hold for the next request of every connection."""

    def __init__(
        self,
        allow: Iterable[Network] = LOOPBACK,
        token: str | None = None,
        roles: Iterable[tuple[str, Role]] = (),
        *,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """``failed`` is told of each wrong token."""
        self._failed = failed
        self._failures = FailedTokens()
        self._notes: list[KnownHeads] = []
        self.replace(allow, token, roles)

    def replace(self, allow: Iterable[Network], token: str | None, roles: Iterable[tuple[str, Role]] = ()) -> None:
        """``allow``: the networks of clients. ``token``: what opens everything; ``roles``: tokens that open less.
        Without any of them, whoever is in ``allow`` may do everything.
        """
        for known in self._notes:
            known.clear()
        self._permits = _verdicts(tuple(allow))
        everything = [] if token is None else [(token, Role.EVERYTHING)]
        self._tokens = [(shown.encode(), role) for shown, role in (*everything, *roles)]

    def notes(self) -> "KnownHeads":
        """For a server to note which heads it let in by these rules: ``replace`` empties it."""
        known: KnownHeads = {}
        self._notes.append(known)
        return known

    def admit(self, request: HttpRequest) -> Caller | Reply:
        """Who asks; or why this client may not."""
        if not self._permits(request.peer):
            return _NOT_ALLOWED
        if b"origin" in request.headers:
            return _BROWSER
        if not self._tokens:
            host = request.headers.get(b"host")  # HTTP/1.0 need not have one; a browser always has
            return _FOREIGN if host is not None and _foreign(host) else _caller(request.peer, Role.EVERYTHING)
        looks = request.method in _LOOKING
        shown, role = _shown(request, basic=looks), Role.NONE
        for token, granted in self._tokens:  # all of them: how long it takes tells nothing
            if hmac.compare_digest(shown, token):
                role = granted
        if role is not Role.NONE:
            return _caller(request.peer, role)
        return self._refuse(request, shown, looks)

    def _refuse(self, request: HttpRequest, shown: bytes, looks: bool) -> Reply:
        """Without a token, a browser learns that it has to ask for one; a wrong one is counted."""
        if shown:
            self._failed()
            client = client_of(request.peer)
            number = self._failures.count(client)
            if number == TOO_MANY:
                log.warning("HTTP: %s sent %d wrong tokens within a minute; further requests get 429", client, number)
            if number > TOO_MANY:
                return _GUESSER
        return _NO_PASSWORD if looks else _NO_TOKEN


@functools.lru_cache(maxsize=_CACHED)
def _caller(peer: str, role: Role) -> Caller:
    return Caller(role, client_of(peer))


def _shown(request: HttpRequest, *, basic: bool) -> bytes:
    """What is shown as the token: of Bearer, or of ``basic`` the password, whoever the user says to be; b"" if nothing,
    which no token is.
    """
    scheme, _, shown = request.headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return shown.strip(b" ")
    if basic and scheme.lower() == b"basic":
        try:
            return base64.b64decode(shown.strip(b" "), validate=True).partition(b":")[2]
        except ValueError:
            pass
    return b""


def _verdicts(allow: tuple[Network, ...]) -> Callable[[str], bool]:
    @functools.lru_cache(maxsize=_CACHED)
    def permits(peer: str) -> bool:
        address = ip_address(peer)
        return any(address in network for network in allow)

    return permits


@functools.lru_cache(maxsize=_CACHED)
def _foreign(host: bytes) -> bool:
    """Whether a Host header is a name other than localhost, or nothing that can be understood."""
    try:
        text = host.decode("ascii").lower()
        if text.startswith("["):
            literal, _, rest = text[1:].partition("]")
            ipaddress.IPv6Address(literal)
            return bool(rest) and not _is_port(rest)
        name, colon, port = text.partition(":")
        if colon and not _is_port(colon + port):
            return True
        if name != "localhost":
            ipaddress.IPv4Address(name)
    except ValueError:
        return True
    return False


def _is_port(text: str) -> bool:
    return text == ":" or (text.startswith(":") and read_port(text[1:], least=0) is not None)
