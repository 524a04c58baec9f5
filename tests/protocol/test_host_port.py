"""``HOST:PORT`` in both directions."""

import re

import pytest

from bridge.protocol.host_port import bracketed, read_host_port


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8889", "127.0.0.1", 8889),
        ("janus.example.org:1", "janus.example.org", 1),
        ("my_host:65535", "my_host", 65535),
        ("[::1]:80", "::1", 80),
        ("[0:0::1]:80", "::1", 80),
        ("[fe80::1%25eth0]:80", "fe80::1%eth0", 80),
    ],
)
def test_good_ones(text: str, host: str, port: int) -> None:
    assert read_host_port(text) == (host, port)
    assert read_host_port(f"{bracketed(host)}:{port}") == (host, port)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "there is no port"),
        ("localhost", "there is no port"),
        (":80", "host '' is empty or not a host name"),
        ("a..b:80", "host 'a..b' is empty or not a host name"),
        ("a\n:80", r"host 'a\n' is empty or not a host name"),
        ("*:80", "host '*' is empty or not a host name"),
        (f"{'a' * 64}:80", f"host {'a' * 64!r} is empty or not a host name"),
        ("::1:80", "IPv6 is written in brackets, [::1]:80"),
        ("[::1:80", "host '[::1' is not an IPv6 address in brackets"),
        ("[::1]x:80", "host '[::1]x' is not an IPv6 address in brackets"),
        ("[]:80", "host '[]' is not an IPv6 address in brackets"),
        ("h:", "port '' is not a number from 1 to 65535"),
        ("h:0", "port '0' is not a number from 1 to 65535"),
        ("h:65536", "port '65536' is not a number from 1 to 65535"),
        ("h:８０", "port '８０' is not a number from 1 to 65535"),
    ],
)
def test_bad_ones_say_what_is_at_fault(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
        read_host_port(text)


def test_a_listener_may_ask_for_a_free_port() -> None:
    assert read_host_port("127.0.0.1:0", least=0) == ("127.0.0.1", 0)
    with pytest.raises(ValueError, match="port '-1' is not a number up to 65535"):
        read_host_port("127.0.0.1:-1", least=0)
