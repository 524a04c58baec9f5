"""The calling side of an MI: one request over http(s), UDP or a unix socket, and its answer.

Owns what the PyPI client lacks: a token, verified TLS, a deadline. Blocking: for short-lived subcommands, not for the
service. Works with OpenSIPS's own MI too. Authority: OpenSIPS modules mi_http and mi_datagram; RFC 6750.
"""

import http.client
import itertools
import socket
import ssl
from typing import Any
from urllib.parse import SplitResult, urlsplit

from bridge.errors import BridgeError, ConfigError, MalformedMessage
from bridge.files import read_file, require_file
from bridge.protocol import codec
from bridge.protocol.janus_url import shown
from bridge.protocol.jsonrpc import RpcError, render_request
from bridge.protocol.mi_address import UdpAddress, UnixAddress, parse_datagram_address
from bridge.protocol.numbers import read_decimal
from bridge.transport.tls import CLOSED, PEM_MAX, pem_text, tls_text

DEFAULT_URL = "http://127.0.0.1:8889/mi"
_PEM_END = "-----END CERTIFICATE-----"
_DATAGRAM = 65536  # longer than any
# What a listener that waits for a TLS handshake does to a request in clear text: it closes, or sends an alert.
_AS_IF_TLS = (http.client.BadStatusLine, ConnectionResetError, BrokenPipeError)
# What comes of a TLS handshake with a listener in clear text that answers. An alert only comes from TLS.
_AS_IF_PLAIN = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})
# OpenSSL's X509_V_ERR_ codes for a chain that ends at nobody who is trusted.
_ABOUT_THE_CA = frozenset({2, 18, 19, 20, 21, 27})


class NothingAnswered(BridgeError):
    """No answer: nobody listens there, or it took too long, or its certificate is not to be trusted."""


class UnknownCa(NothingAnswered):
    """The certificate was signed by nobody who is trusted."""


class MiClient:
    """Calls methods of one MI. ``timeout`` is in seconds, for each step on the way to an answer."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        ca: str | None = None,
        pinned: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        """``url``: ``http(s)://HOST:PORT/mi``, ``udp:HOST:PORT`` or ``unix:PATH``; ``ca``: a PEM file to trust instead
        of the system's; ``pinned``: one with the very certificate that the server has, whatever name it bears. Raises
        ConfigError with one line that says what of it cannot be used.
        """
        self.url = shown(url) if url.startswith(("http:", "https:")) else url  # for texts alone
        self._timeout = timeout
        self._ca = ca
        self._ids = itertools.count(1)
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            if not token.isascii() or not token.isprintable() or " " in token:
                raise ConfigError("the token must be printable ASCII without blanks")
            self._headers["Authorization"] = f"Bearer {token}"
        try:
            self._address = _address(url)
        except ValueError as exc:
            raise ConfigError(f"--url {exc}") from None
        self._tls: ssl.SSLContext | None = None
        if ca is not None and not url.startswith("https:"):
            raise ConfigError(f"--ca {ca} is for https, and {self.url} is not")
        if isinstance(self._address, SplitResult) and self._address.scheme == "https":
            try:
                self._tls = _context(ca, pinned)
            except (OSError, ValueError) as exc:
                name = f"--ca {ca}" if ca is not None else f"[mi] http_tls_cert {pinned}"
                raise ConfigError(f"{name}: {pem_text(exc) if isinstance(exc, OSError) else exc}") from None

    def call(self, method: str, params: list[Any] | dict[str, Any] | None = None) -> Any:
        """The result. Raises RpcError (the MI's own, or an HTTP status as one), NothingAnswered, MalformedMessage."""
        answer = codec.parse(self.ask(method, params))
        if not isinstance(answer, dict):
            raise MalformedMessage("it is not an object")
        error = answer.get("error")
        if isinstance(error, dict):
            data = error.get("data")
            raise RpcError(error.get("code", 0), str(error.get("message")), None if data is None else str(data))
        if "result" not in answer:
            raise MalformedMessage("neither result nor error")
        return answer["result"]

    def ask(self, method: str, params: list[Any] | dict[str, Any] | None = None) -> str:
        """The answer's text, as it came. Raises RpcError for one that is no JSON (an HTTP status, "400 Parse_error"),
        NothingAnswered.
        """
        body = render_request(method, params, str(next(self._ids)))
        try:
            match self._address:
                case UdpAddress() as address:
                    text = self._ask_udp(address, body)
                case UnixAddress(path):
                    text = self._ask_unix(path, body)
                case url:
                    text = self._ask_http(url, body)
        except TimeoutError:
            raise NothingAnswered(f"{self.url}: no answer within {self._timeout:g} s") from None
        except ssl.SSLError as exc:
            raise self._tls_fault(exc) from None
        except http.client.HTTPException as exc:
            words = f"no HTTP answer: {str(exc) or type(exc).__name__}"
            raise NothingAnswered(f"{self.url}: {words}{self._other_scheme(exc)}") from None
        except (OSError, UnicodeError) as exc:  # the latter for a host name that IDNA refuses
            words = getattr(exc, "strerror", None) or str(exc)
            raise NothingAnswered(f"{self.url}: {words}{self._other_scheme(exc)}") from None
        code, _, words = text.partition(" ")
        status = read_decimal(code, 999)
        if status is not None and words:  # mi_datagram's two answers that are not JSON
            raise RpcError(status, words)
        return text

    def _ask_http(self, url: SplitResult, body: bytes) -> str:
        host = url.hostname or ""
        connection = (
            http.client.HTTPConnection(host, url.port, timeout=self._timeout)
            if self._tls is None
            else http.client.HTTPSConnection(host, url.port, timeout=self._timeout, context=self._tls)
        )
        try:
            target = (url.path or "/mi") + (f"?{url.query}" if url.query else "")
            connection.request("POST", target, body, self._headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise RpcError(response.status, response.reason or "no reason given")
        return answer.decode("utf-8", "replace")

    def _tls_fault(self, exc: ssl.SSLError) -> NothingAnswered:
        words = f"{self.url}: {tls_text(exc).removesuffix(': is this a TLS port?').rstrip('.')}"
        if not isinstance(exc, ssl.SSLCertVerificationError):
            return NothingAnswered(words + self._other_scheme(exc))
        if exc.verify_code not in _ABOUT_THE_CA:
            return NothingAnswered(words)
        return UnknownCa(
            f"{words}; it is signed by none of the CAs {f'in {self._ca}' if self._ca else 'of this system'}"
        )

    def _other_scheme(self, exc: Exception) -> str:
        """What to write, where it looks as if the listener spoke the other of http and https; else nothing."""
        match self._address:
            case SplitResult(scheme="http") as url if isinstance(exc, _AS_IF_TLS):
                return f"; if it speaks HTTPS, write {shown(url._replace(scheme='https').geturl())}"
            case SplitResult(scheme="https") as url if (
                isinstance(exc, CLOSED) or getattr(exc, "reason", None) in _AS_IF_PLAIN
            ):
                return f"; if it speaks plain HTTP, write {shown(url._replace(scheme='http').geturl())}"
            case _:
                return ""

    def _ask_udp(self, address: UdpAddress, body: bytes) -> str:
        family, _, _, _, peer = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(peer)  # a port where nobody listens is then reported, and nobody else can answer
            return self._exchange(sock, body)

    def _ask_unix(self, path: str, body: bytes) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            # A name of the kernel's choice, to be answered at; not connected, because OpenSIPS answers from elsewhere.
            sock.bind("")
            return self._exchange(sock, body, path)

    def _exchange(self, sock: socket.socket, body: bytes, path: str | None = None) -> str:
        sock.settimeout(self._timeout)
        if path is None:
            sock.send(body)
        else:
            sock.sendto(body, path)
        return sock.recv(_DATAGRAM).decode("utf-8", "replace")


def _context(ca: str | None, pinned: str | None) -> ssl.SSLContext:
    """Raises OSError, ValueError."""
    if ca is not None:
        require_file(ca, PEM_MAX)
    if ca is not None or pinned is None:
        return ssl.create_default_context(cafile=ca)
    own, end, _ = read_file(pinned, PEM_MAX).decode().partition(_PEM_END)
    context = ssl.create_default_context(cadata=own + end)  # the first is its own; what its issuer issues is not meant
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False  # 127.0.0.1 is seldom in a certificate, and this one is known
    return context


def _address(text: str) -> SplitResult | UdpAddress | UnixAddress:
    if text.startswith(("http:", "https:")):
        return _http_url(text)
    if not text.startswith(("udp:", "unix:")):
        raise ValueError(f"{shown(text)!r} is none of http(s)://HOST[:PORT][/PATH], udp:HOST:PORT and unix:PATH")
    return parse_datagram_address(text)


def _http_url(text: str) -> SplitResult:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("has a blank, a control or a non-ASCII character")
    try:
        url = urlsplit(text)
        host, _port = url.hostname, url.port
    except ValueError:
        raise ValueError(f"{shown(text)!r}: host or port cannot be read") from None
    if not host or url.username is not None:
        raise ValueError(f"{shown(text)!r} is not of the form http(s)://HOST[:PORT][/PATH]")
    return url
