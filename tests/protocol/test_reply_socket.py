"""The texts of reply sockets: what is read, what is printed, what is the same, what is refused."""

import ipaddress
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.amqp_target import AmqpTarget
from bridge.protocol.reply_socket import ReplySocket

hosts = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True),
)
ports = st.integers(1, 65535)
paths = st.text(string.ascii_letters + string.digits + "/._- :", min_size=1, max_size=60).map(lambda tail: "/" + tail)
methods = st.text(string.ascii_letters + "_/:.", max_size=20)
names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)
targets = st.builds(AmqpTarget, names, names, names, st.just("") | names, names, tls_domain=st.just("") | names)
sockets = st.one_of(
    st.builds(ReplySocket, st.sampled_from(["udp", "mi:udp"]), hosts, ports),
    st.builds(ReplySocket, st.just("mi:udp"), st.ip_addresses(v=6).map(str), ports),
    st.builds(ReplySocket, st.just("tcp"), hosts, ports, method=methods),
    st.builds(ReplySocket, st.sampled_from(["unix", "mi:unix"]), path=paths),
    st.builds(ReplySocket, st.just("rabbitmq"), hosts | st.ip_addresses(v=6).map(str), ports, target=targets),
)


@given(sockets)
def test_what_is_printed_is_read_as_the_same_socket(socket: ReplySocket) -> None:
    assert ReplySocket.parse(str(socket)) == socket
    assert ReplySocket.parse(socket.secret_text).password == socket.password


@given(st.text(max_size=40) | st.builds("{}:{}".format, st.sampled_from(["udp", "tcp", "unix", "mi:udp"]), st.text()))
def test_any_text_is_read_or_refused_with_one_line(text: str) -> None:
    fault = ""
    try:
        assert ReplySocket.parse(str(ReplySocket.parse(text))) == ReplySocket.parse(text)
    except ValueError as exc:
        fault = str(exc)
    assert "\n" not in fault


@pytest.mark.parametrize(
    ("text", "socket"),
    [
        ("udp:127.0.0.1:8888", ReplySocket("udp", "127.0.0.1", 8888)),
        ("udp:collector_1.example.:1", ReplySocket("udp", "collector_1.example.", 1)),
        ("udp:" + "a" * 63 + ":1", ReplySocket("udp", "a" * 63, 1)),
        ("unix:/run/x s:1", ReplySocket("unix", path="/run/x s:1")),
        ("tcp:h:65535", ReplySocket("tcp", "h", 65535)),
        ("tcp:h:80/E_OTHER", ReplySocket("tcp", "h", 80, method="E_OTHER")),
        ("tcp:h:80/a/b:c", ReplySocket("tcp", "h", 80, method="a/b:c")),
        ("mi:udp:127.0.0.1:8080", ReplySocket("mi:udp", "127.0.0.1", 8080)),
        ("mi:udp:[::1]:8080", ReplySocket("mi:udp", "::1", 8080)),
        ("mi:unix:/run/opensips/mi", ReplySocket("mi:unix", path="/run/opensips/mi")),
    ],
)
def test_grammar(text: str, socket: ReplySocket) -> None:
    assert ReplySocket.parse(text) == socket
    assert str(socket) == text


def test_as_opensips_prints_a_port_with_zeros_in_front_and_an_empty_method() -> None:
    assert str(ReplySocket.parse("udp:h:08888")) == "udp:h:8888"
    assert str(ReplySocket.parse("tcp:h:80/")) == "tcp:h:80"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "'' is not udp:HOST:PORT"),
        ("127.0.0.1:8888", "is not udp:HOST:PORT"),
        ("route:E_JANUS_EVENT", "is not udp:HOST:PORT"),
        ("UDP:127.0.0.1:8888", "is not udp:HOST:PORT"),
        ("mi:tcp:127.0.0.1:8888", "is not udp:HOST:PORT"),
        ("udp:127.0.0.1", "there is no port"),
        ("udp::8888", "is empty or not a host name"),
        ("udp:a b:8888", "is empty or not a host name"),
        ("udp:*:8888", "is empty or not a host name"),
        ("udp:a..b:8888", "is empty or not a host name"),
        ("udp:-a:8888", "is empty or not a host name"),
        ("udp:" + "a" * 64 + ":8888", "is empty or not a host name"),
        ("udp:" + "a." * 127 + ":8888", "is empty or not a host name"),
        ("udp:h:0", "port '0'"),
        ("udp:h:99999", "port '99999'"),
        ("udp:h:٣٤٥٦", "port"),
        ("udp:h:-1", "port '-1'"),
        ("udp:h:80/M", "port '80/M'"),
        ("udp:[::1]:80", "mi:udp: and rabbitmq: only"),
        ("tcp:[::1]:80", "mi:udp: and rabbitmq: only"),
        ("udp:::1:80", "mi:udp: and rabbitmq: only"),
        ("mi:udp:::1:80", "IPv6 is written in brackets, [::1]:80"),
        ("mi:udp:[::1:80", "not an IPv6 address in brackets"),
        ("mi:udp:[h]:80", "not an IPv6 address in brackets"),
        ("mi:udp:[127.0.0.1]:80", "not an IPv6 address in brackets"),
        ("mi:udp:[:80", "not an IPv6 address in brackets"),
        ("tcp:h:80/" + "M" * 65, "longer than 64 bytes"),
        ("tcp:h:80/a\nb", "unprintable"),
        ("unix:x/y", "not absolute"),
        ("unix:", "not absolute"),
        ("unix:/a\0b", "unprintable"),
        ("unix:/" + "ü" * 54, "longer than the 107 bytes"),
    ],
)
def test_the_part_at_fault_is_named(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault.replace("[", r"\[").replace("*", r"\*")) as caught:
        ReplySocket.parse(text)
    assert repr(text) in str(caught.value)


def test_a_prefix_is_another_socket() -> None:
    assert ReplySocket.parse("udp:127.0.0.1:5000") != ReplySocket.parse("udp:127.0.0.10:5000")
    assert ReplySocket.parse("unix:/x/s") != ReplySocket.parse("unix:/x/s2")
    assert ReplySocket.parse("udp:localhost:5000") != ReplySocket.parse("udp:127.0.0.1:5000")


def test_reliable_is_a_property_of_tcp_that_the_text_does_not_show() -> None:
    plain, reliable = ReplySocket.parse("tcp:h:80"), ReplySocket.parse("tcp:h:80", reliable=True)
    assert (plain == reliable, str(plain) == str(reliable)) == (False, True)
    with pytest.raises(ValueError, match="only a tcp: socket can be reliable"):
        ReplySocket.parse("udp:h:80", reliable=True)


def test_ipv6_has_one_spelling() -> None:
    assert ReplySocket.parse("mi:udp:[0:0::1]:80").host == str(ipaddress.ip_address("::1"))


@pytest.mark.parametrize(
    ("text", "is_mi"),
    [("udp:h:1", False), ("unix:/s", False), ("tcp:h:1", False), ("mi:udp:h:1", True)],
)
def test_kinds(text: str, is_mi: bool) -> None:
    assert ReplySocket.parse(text).is_mi is is_mi
