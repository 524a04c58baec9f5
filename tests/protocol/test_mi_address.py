import pytest

from bridge.protocol.mi_address import (
    HttpAddress,
    UdpAddress,
    UnixAddress,
    parse_datagram_address,
    parse_http_address,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("udp:127.0.0.1:8080", UdpAddress("127.0.0.1", 8080)),
        ("udp:localhost:0", UdpAddress("localhost", 0)),
        ("udp:[::1]:8080", UdpAddress("::1", 8080)),
        ("unix:/run/janus-bridge/mi", UnixAddress("/run/janus-bridge/mi")),
    ],
)
def test_addresses(text: str, address: UdpAddress | UnixAddress) -> None:
    assert parse_datagram_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("tcp:127.0.0.1:8080", "neither udp:HOST:PORT nor unix:PATH"),
        ("/run/mi", "neither udp:HOST:PORT nor unix:PATH"),
        ("unix:run/mi", "the path is not absolute"),
        ("unix:", "the path is not absolute"),
        ("unix:/a\0b", "the path is not absolute"),
        ("udp:127.0.0.1", "there is no port"),
        ("udp::8080", "host '' is empty"),
        ("udp:::1:8080", "IPv6 is written in brackets"),
        ("udp:h:65536", "port '65536'"),
        ("udp:h:x", "port 'x'"),
        ("udp:h:", "port ''"),
        ("udp:h:²", "port '²'"),
        ("udp:a\nb:5", "not a host name"),
    ],
)
def test_faults_name_the_part(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match="^'.*" + fault) as caught:
        parse_datagram_address(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("https://sip1.example.org:8889/mi", HttpAddress(True, "sip1.example.org", 8889, "/mi"), None),
        ("http://127.0.0.1:1/x/y", HttpAddress(False, "127.0.0.1", 1, "/x/y"), None),
        ("HTTPS://[fe80::1]", HttpAddress(True, "fe80::1", 443, "/mi"), "https://[fe80::1]:443/mi"),
        ("http://[::1]:8889", HttpAddress(False, "::1", 8889, "/mi"), "http://[::1]:8889/mi"),
        ("http://h/", HttpAddress(False, "h", 80, "/"), "http://h:80/"),
    ],
)
def test_a_node_s_url(text: str, address: HttpAddress, shown: str | None) -> None:
    assert parse_http_address(text) == address
    assert str(address) == (shown or text)
    assert parse_http_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("ftp://h/mi", "is not of the form"),
        ("h:8889", "is not of the form"),
        ("http://user:secret@h/mi", "is not of the form"),
        ("http://h/mi?a=b", "is not of the form"),
        ("http://h/m i", "is not of the form"),
        ("http://h/" + 255 * "x", "at most 255 characters"),
        ("http://", "host '' is empty"),
        ("http://:1/", "host '' is empty"),
        ("http://h:0/mi", "port '0'"),
        ("http://h:99999", "port '99999'"),
        ("http://h:/mi", "port ''"),
        ("http://[::1/mi", "not an IPv6 address in brackets"),
    ],
)
def test_what_is_wrong_with_a_node_s_url(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        parse_http_address(text)
    assert "secret" not in str(caught.value)
