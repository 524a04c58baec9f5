"""What is wrong with a head that llhttp lets pass.

Owns the rules of RFC 9112 and 9110 that are about a whole head: versions, transfer codings, ``Host``, the target's
form, ``Expect``. Must not know routes, or how bytes are parsed.
"""

import re
from typing import Any, Final

import httptools

from bridge.transport.http_messages import HttpRequest, Reply, refuse

NO_VERSION: Final = refuse(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here", close=True)
_NO_HOST = refuse(400, "Host header missing, repeated or not HOST[:PORT]", close=True)
_OLD_CHUNKS = refuse(400, "Transfer-Encoding is not defined in HTTP/1.0", close=True)
_NOT_CHUNKED = refuse(400, "The last Transfer-Encoding has to be chunked", close=True)
_CODED = refuse(501, "The only Transfer-Encoding understood here is chunked", close=True)
_EXPECTS = refuse(417, "The only Expect understood here is 100-continue", close=True)
_BAD_TARGET = refuse(400, "The request target is not a URL with a host", close=True)
_MISDIRECTED = refuse(421, "The scheme of the request target is not the one spoken here", close=True)

_VERSIONS: Final = ("1.1", "1.0")
_HOST: Final = re.compile(rb"(?:\[[0-9A-Za-z:.%_~-]*\]|[0-9A-Za-z.%_~!$&'()*+;=-]*)(?::[0-9]{0,5})?")  # RFC 3986 3.2.2


def head_fault(request: HttpRequest, target: bytes, version: str, *, secure: bool) -> Reply | None:
    """Why this request cannot be understood, None if it can; sets its ``path`` and ``query``.

    ``secure``: it came over TLS.
    """
    if version not in _VERSIONS:
        return NO_VERSION
    headers = request.headers
    coding = headers.get(b"transfer-encoding")
    if coding is not None:
        if request.old:  # RFC 9112 6.1: whoever relays it may see another end of it
            return _OLD_CHUNKS
        coding = coding.lower()
        if coding != b"chunked":
            return _CODED if coding.rpartition(b",")[2].strip() == b"chunked" else _NOT_CHUNKED
    if b"expect" in headers and not request.old and headers[b"expect"].lower() != b"100-continue":
        return _EXPECTS
    host = headers.get(b"host")
    if (host is None and not request.old) or (host is not None and not _HOST.fullmatch(host)):
        return _NO_HOST
    if target.startswith(b"/"):
        request.path, _, request.query = target.partition(b"?")
    elif b"://" in target:  # as to a proxy; the other forms are those of OPTIONS and CONNECT, and have no path
        return _take_absolute(request, target, secure)
    return None


def _take_absolute(request: HttpRequest, target: bytes, secure: bool) -> Reply | None:
    """RFC 9112 3.2.2: what the target says of the host holds, and not the header."""
    authority = target.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0]
    try:
        url: Any = httptools.parse_url(target)  # its types know no URL without a path
    except httptools.HttpParserInvalidURLError:
        return _BAD_TARGET
    if url.schema.lower() != (b"https" if secure else b"http"):
        return _MISDIRECTED
    if not authority or not _HOST.fullmatch(authority):  # a user:password@ is none of a host's (RFC 9110 4.2.4)
        return _BAD_TARGET
    request.headers[b"host"] = authority
    request.path, request.query = url.path or b"/", url.query or b""
    return None
