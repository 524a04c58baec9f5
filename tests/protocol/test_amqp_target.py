"""What stands behind ``rabbitmq:``: what is read, what is the same, what is refused, and that no password is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.amqp_target import AmqpTarget
from bridge.protocol.reply_socket import ReplySocket, shown

PASSWORD = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "host", "port", "target", "canonical"),
    [
        ("h/k", "h", 5672, AmqpTarget(routing_key="k"), "guest@h:5672/k"),
        ("u:p@h:77/k", "h", 77, AmqpTarget("u", "p", routing_key="k"), "u@h:77/k"),
        ("u@h/k", "h", 5672, AmqpTarget("u", routing_key="k"), "u@h:5672/k"),
        ("h/tls_domain=d?k", "h", 5671, AmqpTarget(routing_key="k", tls_domain="d"), "guest@h:5671/tls_domain=d?k"),
        (
            "h/exchange=e;persistent?k",
            "h",
            5672,
            AmqpTarget(exchange="e", routing_key="k"),
            "guest@h:5672/exchange=e?k",
        ),
        ("h/persistent?k", "h", 5672, AmqpTarget(routing_key="k"), "guest@h:5672/k"),
        ("h/exchange=e?", "h", 5672, AmqpTarget(exchange="e"), "guest@h:5672/exchange=e?"),
        ("h/vhost=%2Fv?a/b?c", "h", 5672, AmqpTarget(vhost="/v", routing_key="a/b?c"), "guest@h:5672/vhost=/v?a/b%3Fc"),
        ("u%3A:p%2F%40@[::1]/k%25", "::1", 5672, AmqpTarget("u:", "p/@", routing_key="k%"), "u%3A@[::1]:5672/k%25"),
    ],
)
def test_grammar(text: str, host: str, port: int, target: AmqpTarget, canonical: str) -> None:
    socket = ReplySocket.parse(f"rabbitmq:{text}")
    assert (socket.host, socket.port, socket.target) == (host, port, target)
    assert socket.password == target.password
    assert str(socket) == f"rabbitmq:{canonical}"
    assert socket.answers


def test_another_password_is_no_other_socket() -> None:
    assert ReplySocket.parse("rabbitmq:u:a@h/k") == ReplySocket.parse("rabbitmq:u:b@h/k")
    assert ReplySocket.parse("rabbitmq:u:a@h/k") != ReplySocket.parse("rabbitmq:v:a@h/k")
    assert "a" not in repr(ReplySocket.parse("rabbitmq:u:a@h/k")).partition("user=")[2].partition("vhost")[0]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"u:{PASSWORD}@h", "there is no / before the routing key"),
        (f"u:{PASSWORD}@h/", "there is no routing key, by which the default exchange finds the queue"),
        (f"u:{PASSWORD}@h/persistent?", "there is no routing key, by which the default exchange finds the queue"),
        (f"u:{PASSWORD}@h/heartbeat=3?k", "'heartbeat=3' is no parameter: there are exchange=NAME"),
        (f"u:{PASSWORD}@h/exchange=?k", "'exchange=' is no parameter"),
        (f"u:{PASSWORD}@h/exchange=a;exchange=b?k", "exchange is given twice"),
        (f"u:{PASSWORD}@h/?k", "'' is no parameter"),
        (f"u:{PASSWORD}@h:0/k", "the port is not a number"),
        (f"u:{PASSWORD}@/k", "is empty or not a host name"),
        (f"u:{PASSWORD}@h/%zz", "the routing key has a '%' without two hexadecimal digits behind it"),
        (f"u:{PASSWORD}@h/%ff", "the routing key is not UTF-8 once decoded"),
        (f"u:{PASSWORD}@h/%0a", "the routing key has a control character"),
        (f"u:{PASSWORD}@h/" + "k" * 256, "the routing key is longer than the 255 bytes"),
        (f":{PASSWORD}@h/k", "the user or the password is empty"),
        ("u:@h/k", "the user or the password is empty"),
        (f"u:{PASSWORD}/x@h/k", "an @ is misplaced"),
        (f"u:{PASSWORD}/x?y@h/k", "an @ is misplaced"),
        (f"u:1/{PASSWORD}@h/k", "an @ is misplaced"),
        (f"u:{PASSWORD}@x@h/k", "an @ is misplaced"),
        (f"u:{PASSWORD}", "the port is not a number"),
        (f"u:{PASSWORD}%zz@h/k", "the password has a '%' without two hexadecimal digits behind it"),
        ("::1/k", "IPv6 is written in brackets"),
    ],
)
def test_the_part_at_fault_is_named_and_no_password(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match="rabbitmq:") as caught:
        ReplySocket.parse(f"rabbitmq:{text}")
    assert fault in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in shown(f"rabbitmq:{text}")


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_one_line(text: str) -> None:
    fault = ""
    try:
        socket = ReplySocket.parse(f"rabbitmq:{text}")
        assert ReplySocket.parse(str(socket)) == socket
    except ValueError as exc:
        fault = str(exc)
    assert "\n" not in fault


def test_reliable_is_for_tcp_alone() -> None:
    with pytest.raises(ValueError, match=r"'rabbitmq:u:\*\*\*@h/k': only a tcp: socket can be reliable"):
        ReplySocket.parse(f"rabbitmq:u:{PASSWORD}@h/k", reliable=True)
