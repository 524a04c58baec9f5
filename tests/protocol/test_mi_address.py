import pytest

from bridge.protocol.mi_address import UdpAddress, UnixAddress, parse_datagram_address


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
