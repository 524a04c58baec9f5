"""The grammar of janus_url (contract 5.1)."""

import re
import socket
import ssl
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.gateway import Gateway
from bridge.protocol.janus_url import DEFAULT_PORTS, SCHEMES, JanusUrl, secrets, shown, told

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
PIECES = [
    "janusws",
    "wss",
    "WS",
    "http",
    "://",
    ":",
    "/",
    "?",
    "#",
    "@",
    "[",
    "]",
    "::1",
    "%25lo",
    "host",
    "a..b",
    "-",
    "_",
]
nearly = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=12).map("".join)
labels = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,20}[a-z0-9_])?", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join) | st.ip_addresses(v=4).map(str)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("janusws://10.0.0.1", JanusUrl(False, "10.0.0.1", 8188, "/janus")),
        ("januswss://janus.example.org", JanusUrl(True, "janus.example.org", 8989, "/janus")),
        ("ws://h", JanusUrl(False, "h", 8188, "/janus")),
        ("WSS://H:443", JanusUrl(True, "H", 443, "/janus")),
        ("janusws://h:1/", JanusUrl(False, "h", 1, "/")),
        ("janusws://h/a/b?c=/?d", JanusUrl(False, "h", 8188, "/a/b?c=/?d")),
        ("janusws://h?token=x", JanusUrl(False, "h", 8188, "/janus?token=x")),
        ("janusws://h:65535?", JanusUrl(False, "h", 65535, "/janus?")),
        ("januswss://[::1]", JanusUrl(True, "::1", 8989, "/janus")),
        ("janusws://[2001:DB8:0::1]:8000/x", JanusUrl(False, "2001:db8::1", 8000, "/x")),
        ("janusws://[fe80::1%eth0]", JanusUrl(False, "fe80::1%eth0", 8188, "/janus")),
        ("janusws://[fe80::1%25eth0]", JanusUrl(False, "fe80::1%eth0", 8188, "/janus")),
        ("janusws://my_janus.internal.", JanusUrl(False, "my_janus.internal.", 8188, "/janus")),
        ("wss://user:pass@h/x", JanusUrl(True, "h", 8989, "/x", "dXNlcjpwYXNz")),
        ("ws://u%40a:p%3A%2f%25%C3%A9@[::1]:80", JanusUrl(False, "::1", 80, "/janus", "dUBhOnA6LyXDqQ==")),
        ("ws://u@h", JanusUrl(False, "h", 8188, "/janus", "dTo=")),
        ("ws://:p:w@h", JanusUrl(False, "h", 8188, "/janus", "OnA6dw==")),
        ("ws://@h", JanusUrl(False, "h", 8188, "/janus")),
        ("ws://h/room@x?to=a@b", JanusUrl(False, "h", 8188, "/room@x?to=a@b")),
    ],
)
def test_urls(text: str, url: JanusUrl) -> None:
    assert JanusUrl.parse(text) == url


FORM = "is not of the form janusws://[user:password@]host[:port][/path][?query]"

ESCAPE = "user:password@ has a '%' without two hexadecimal digits behind it (a '%' itself is %25)"
UNESCAPED = "user:password@ has a '/' or '?' that has to be written as %2F or %3F"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", FORM),
        ("h:8188", FORM),
        ("janusws:/h", FORM),
        ("janusws://h#f", FORM),
        ("janusws://[::1", FORM),
        ("janusws://::1/", "host '' is empty or not a host name"),
        ("http://h", "scheme 'http' is not one of janusws, januswss, ws, wss"),
        ("janusws://", "host '' is empty or not a host name"),
        ("janusws://:8188", "host '' is empty or not a host name"),
        ("janusws://-h", "host '-h' is empty or not a host name"),
        ("janusws://a..b", "host 'a..b' is empty or not a host name"),
        ("janusws://" + "a" * 64, f"host '{'a' * 64}' is empty or not a host name"),
        ("janusws://a,b", "host 'a,b' is empty or not a host name"),
        ("janusws://[127.0.0.1]", "host '[127.0.0.1]' is not an IPv6 address in brackets"),
        ("janusws://[::1%]", "host '[::1%]' is not an IPv6 address in brackets"),
        ("janusws://[::1%" + "z" * 16 + "]", f"host '[::1%{'z' * 16}]' is not an IPv6 address in brackets"),
        ("janusws://h:", "port '' is not a number from 1 to 65535"),
        ("janusws://h:0", "port '0' is not a number from 1 to 65535"),
        ("janusws://h:65536", "port '65536' is not a number from 1 to 65535"),
        ("janusws://h:+80", "port '+80' is not a number from 1 to 65535"),
        ("janusws://h:000080", "port '000080' is not a number from 1 to 65535"),
        ("janusws://h/ x", "has a blank, a control or a non-ASCII character"),
        ("janusws://h/\r\nX: y", "has a blank, a control or a non-ASCII character"),
        ("janusws://müller", "has a blank, a control or a non-ASCII character"),
        ("janusws://h:\u0663", "has a blank, a control or a non-ASCII character"),
        ("janusws://u:p@", "host '' is empty or not a host name"),
        ("janusws://u:a@b@h", FORM),
        ("janusws://u:1%@h", ESCAPE),
        ("janusws://u:1%4@h", ESCAPE),
        ("janusws://u%3Aa:p@h", "user:password@ has a ':' in its user, which HTTP Basic cannot carry"),
        ("janusws://u:p%0D%0A@h", "user:password@ has a control character"),
        ("janusws://u:pass/word@h", UNESCAPED),
        ("janusws://u:pass?word@h", UNESCAPED),
        ("janusws://h/" + "x" * 2048, "path and query have 2049 characters, at most 2048 work with Janus"),
    ],
)
def test_fault_is_named(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
        JanusUrl.parse(text)


def parsed(text: str) -> JanusUrl | ValueError:
    """The URL, or the error."""
    try:
        return JanusUrl.parse(text)
    except ValueError as exc:
        return exc


@given(st.text() | nearly)
def test_parse_raises_nothing_but_value_error_and_one_line(text: str) -> None:
    url = parsed(text)
    if isinstance(url, ValueError):
        assert type(url) is ValueError
        assert str(url).isprintable()
        return
    # Nothing that the rest of the program does with a URL fails in another way than by a connect that fails.
    assert url.netloc.isascii()
    assert url.target.startswith("/")
    with suppress(socket.gaierror):
        socket.getaddrinfo(url.host, url.port, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
    TLS.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=url.tls_name)


SECRET = "S3CR3T"


@given(st.sampled_from(["", "janusws://", "http://", "janusws://h:99999", "januswss://[x]", "://"]), nearly, nearly)
def test_no_error_repeats_the_query(before: str, path: str, query: str) -> None:
    """Nor what stands behind a user name: both may hold secrets."""
    for text in (f"{before}{path}?{query}{SECRET}", f"{before}user:{SECRET}@h{path}"):
        assert SECRET not in str(parsed(text))


@pytest.mark.parametrize("password", [SECRET, f"a{SECRET}", f"a/{SECRET}", f"a?{SECRET}", f"{SECRET}#x", f"a@{SECRET}"])
@pytest.mark.parametrize("before", ["ws://u:", "//", "://u:", "ws://u,:", "mysql://"])
def test_no_password_is_shown_of_a_url_good_or_bad(before: str, password: str) -> None:
    text = f"{before}{password}@h:1/x@y"
    assert SECRET not in shown(text)
    assert SECRET not in Gateway(1, "gw", text, None).shown_url
    url = parsed(text)
    assert SECRET not in f"{url} {url!r}"
    if isinstance(url, JanusUrl):
        assert shown(text) == "ws://***@h:1/x@y"
        assert told(text) == "ws://h:1/x@y"


def test_a_url_without_a_user_is_told_as_it_is() -> None:
    text = "janusws://h/room@x"
    assert shown(text) == told(text) == text


def test_a_query_may_be_a_token_and_is_not_told() -> None:
    text = "janusws://h/room@x?to=a@b"
    assert (shown(text), told(text)) == ("janusws://h/room@x?***", "janusws://h/room@x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://h:8188/janus", "http://h:8188/janus"),
        ("janusws://[::1]:99999/x", "janusws://[::1]:99999/x"),
        ("h:8188", "h:8188"),
        ("janusws://u:p@h:99999/x?q#f", "janusws://***@h:99999/x?***"),
        ("janusws://u:p@h:x/y", "janusws://***@h:x/y"),
        ("janusws://h/x#fragment", "janusws://h/x#***"),
        ("janusws://user:password/x", "janusws://***"),  # the '@' was forgotten
        ("januswss://u:p/w@h/x", "januswss://***"),
        ("janusws://h/x?to=a@b#f", "janusws://***"),
        ("user:password@h", "***@h"),
        ("a b", "***"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_bad_one(text: str, expected: str) -> None:
    assert isinstance(parsed(text), ValueError)
    assert shown(text) == expected


def test_secrets_of_a_url_in_every_form_in_which_they_travel() -> None:
    assert secrets("ws://user:p%2Fw@h/x?token=abc&y=") == [
        "token=abc&y=",
        "abc",
        "dXNlcjpwL3c=",
        "user:p%2Fw",
        "user:p/w",
        "p%2Fw",
        "p/w",
    ]
    assert secrets("ws://h/x") == []
    assert secrets("ws://user:pw@h:99999/x#frag") == ["user:pw", "frag"]
    assert secrets("ws://user:p/w@h") == ["ws://user:p/w@h"]


@pytest.mark.parametrize(
    ("text", "authority", "tls_name"),
    [
        ("ws://h:80", "h", "h"),
        ("wss://h:443", "h", "h"),
        ("ws://h:443", "h:443", "h"),
        ("wss://h:80", "h:80", "h"),
        ("janusws://h", "h:8188", "h"),
        ("januswss://u:p@H.example.:443/x", "H.example.", "H.example"),
        ("ws://[2001:db8::1]:80", "[2001:db8::1]", "2001:db8::1"),
        ("wss://[fe80::1%25eth0]", "[fe80::1]:8989", "fe80::1"),
        ("ws://10.0.0.1:80", "10.0.0.1", "10.0.0.1"),
    ],
)
def test_what_the_host_header_and_tls_say(text: str, authority: str, tls_name: str) -> None:
    url = JanusUrl.parse(text)
    assert (url.authority, url.tls_name) == (authority, tls_name)


@given(
    st.sampled_from(sorted(SCHEMES)),
    hosts,
    st.none() | st.integers(1, 65535),
    st.from_regex(r"/[a-z/]{0,9}", fullmatch=True),
)
def test_what_is_printed_is_read_again(scheme: str, host: str, port: int | None, path: str) -> None:
    url = JanusUrl.parse(f"{scheme}://{host}{'' if port is None else f':{port}'}{path}")
    assert url == JanusUrl(SCHEMES[scheme], host, port or DEFAULT_PORTS[SCHEMES[scheme]], path)
    assert JanusUrl.parse(str(url)) == url


@given(st.ip_addresses(v=6))
def test_ipv6_is_in_brackets_where_a_port_follows(address: object) -> None:
    url = JanusUrl.parse(f"ws://[{address}]:8000")
    assert url.host == str(address)
    assert url.netloc == f"[{address}]:8000"
    assert JanusUrl.parse(str(url)) == url


def test_printed_without_its_query() -> None:
    url = JanusUrl.parse("wss://janus.example.org/janus?token=secret")
    assert str(url) == "januswss://janus.example.org:8989/janus"
    assert url.target == "/janus?token=secret"
