"""The headers of the upgrade request: which are sent, which may be configured, and that no error shows a value."""

import pytest

from bridge import __version__
from bridge.protocol.janus_url import JanusUrl
from bridge.protocol.upgrade import check_headers, refusal, upgrade_headers

URL = JanusUrl.parse("ws://user:pass@h:80/janus")


def test_what_is_sent_unasked() -> None:
    host, headers = upgrade_headers(JanusUrl.parse("janusws://h"), None, ())
    assert host == "h:8188"
    assert dict(headers) == {"Origin": "h", "User-Agent": f"janus-bridge/{__version__}"}
    host, headers = upgrade_headers(URL, "https://o", ())
    assert host == "h"
    assert dict(headers)["Origin"] == "https://o"
    assert dict(headers)["Authorization"] == "Basic dXNlcjpwYXNz"


def test_what_is_configured_wins_in_any_case_of_its_name() -> None:
    given = {"authorization": "Bearer x", "HOST": "other", "User-agent": "me", "Cookie": "a=b; c=d"}
    host, headers = upgrade_headers(URL, None, given.items())
    del given["HOST"]
    assert host == "other"
    assert dict(headers) == {"Origin": "h", **given}


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("", "S3CR3T", "has '', which is not a header's name"),
        ("A B", "S3CR3T", "has 'A B', which is not a header's name"),
        ("A:", "S3CR3T", "has 'A:', which is not a header's name"),
        ("A\r\nB", "S3CR3T", "has 'A\\r\\nB', which is not a header's name"),
        ("\u00c4", "S3CR3T", "has '\u00c4', which is not a header's name"),
        ("Upgrade", "S3CR3T", "has Upgrade, which the WebSocket handshake sets itself"),
        ("connection", "S3CR3T", "has connection, which the WebSocket handshake sets itself"),
        ("sec-WebSocket-Protocol", "S3CR3T", "has sec-WebSocket-Protocol, which the WebSocket handshake sets itself"),
        ("Transfer-Encoding", "S3CR3T", "has Transfer-Encoding, which the WebSocket handshake sets itself"),
        ("Content-Length", "S3CR3T", "has Content-Length, which the WebSocket handshake sets itself"),
        ("Origin", "S3CR3T", "has Origin, for which there is the setting origin"),
        ("x-twice", "S3CR3T", "has x-twice twice"),
        *(
            ("A", value, "has a A that is empty or not printable ASCII, or has a blank at an end")
            for value in ("", " ", " S3CR3T", "S3CR3T\t", "S3CR3T\r\nB: c", "S3CR3T\n", "S3CR3T\0", "S3CR3T\u00e9")
        ),
    ],
)
def test_what_is_refused(name: str, value: str, fault: str) -> None:
    with pytest.raises(ValueError, match=r"^has ") as caught:
        check_headers({"X-Twice": "1", name: value})
    assert str(caught.value) == fault


def test_a_refusal_says_what_to_do_where_that_is_known() -> None:
    refused = "the peer answered the WebSocket upgrade with HTTP"
    assert refusal(401) == f"{refused} 401: it requires user:password@ in janus_url, or headers"
    assert refusal(308) == f"{refused} 308: it redirects; give its target as janus_url"
    assert "HTTP port? Its WebSocket transport listens on another, 8188 by default" in refusal(404)
    assert refusal(503) == f"{refused} 503"


def test_what_is_let_pass() -> None:
    check_headers(
        {"Authorization": "Basic dTpw", "Cookie": 'a="b c";\td=e', "X_Y.z!": "~", "Host": "h", "User-Agent": "x"}
    )
