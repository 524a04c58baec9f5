"""Where events may go: literal addresses, names, networks, and sockets of the configuration."""

import ipaddress
import socket as sockets

import pytest

from bridge.protocol.event_delivery import NotSent
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport import event_address
from bridge.transport.event_address import Addresses

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]


def addresses(*trusted: str) -> Addresses:
    return Addresses(LOOPBACK, lambda socket: str(socket) in trusted)


@pytest.mark.parametrize(
    ("text", "family", "address"),
    [
        ("udp:127.0.0.1:5000", sockets.AF_INET, ("127.0.0.1", 5000)),
        ("tcp:127.1.2.3:5000", sockets.AF_INET, ("127.1.2.3", 5000)),
        ("udp:localhost:5000", sockets.AF_INET, ("127.0.0.1", 5000)),
        ("mi:udp:127.0.0.1:5000", sockets.AF_INET, ("127.0.0.1", 5000)),
        ("mi:udp:localhost:5000", sockets.AF_INET, ("127.0.0.1", 5000)),
        ("mi:udp:[::1]:5000", sockets.AF_INET6, ("::1", 5000, 0, 0)),
    ],
)
async def test_addresses(text: str, family: int, address: tuple[str, int]) -> None:
    socket = ReplySocket.parse(text)
    await addresses().admit(socket)
    assert await addresses().resolve(socket) == (family, address)


@pytest.mark.parametrize("text", ["udp:192.0.2.1:5000", "tcp:192.0.2.1:5000", "mi:udp:[2001:db8::1]:5000"])
async def test_a_host_outside_of_allow_is_for_the_configuration(text: str) -> None:
    socket = ReplySocket.parse(text)
    with pytest.raises(NotSent, match=r"is not in \[events\]\.allow"):
        await addresses().admit(socket)
    await addresses(text).admit(socket)


async def test_a_name_that_is_none() -> None:
    with pytest.raises(NotSent, match=r"host 'no-such-host\.invalid' is not found"):
        await addresses().admit(ReplySocket.parse("udp:no-such-host.invalid:5000"))


async def test_a_name_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_address, "LOOKUP_TIMEOUT", 0)
    with pytest.raises(NotSent, match=r"host 'localhost' is not found within 0 s"):
        await addresses().admit(ReplySocket.parse("udp:localhost:5000"))


async def test_unix_paths_are_always_admitted() -> None:
    for text in ("unix:/run/s", "mi:unix:/run/s"):
        await addresses().admit(ReplySocket.parse(text))
