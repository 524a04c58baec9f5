"""Where events may go: literal addresses, names, networks, and sockets of the configuration."""

import ipaddress
import itertools
import socket as sockets
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trio

from bridge.protocol.event_delivery import NotSent
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport import event_address
from bridge.transport.event_address import Addresses
from tests.support.deadlines import HANG_SECONDS

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
    await addresses().admit(socket, "caller")
    assert await addresses().resolve(socket) == (family, address)


@pytest.mark.parametrize("text", ["udp:192.0.2.1:5000", "tcp:192.0.2.1:5000", "mi:udp:[2001:db8::1]:5000"])
async def test_a_host_outside_of_allow_is_for_the_configuration(text: str) -> None:
    socket = ReplySocket.parse(text)
    with pytest.raises(NotSent, match=r"is not in \[events\]\.allow"):
        await addresses().admit(socket, "caller")
    await addresses(text).admit(socket, "caller")


@pytest.mark.parametrize("text", ["udp:127.0.0.1:7", "mi:udp:127.9.9.9:7", "mi:udp:localhost:7", "mi:udp:[::1]:7"])
async def test_the_bridges_own_mi_is_not_sent_events_as_requests(text: str) -> None:
    where = Addresses(LOOPBACK, lambda socket: False, own_ports=[7])
    with pytest.raises(NotSent, match="is the MI of this bridge"):
        await where.admit(ReplySocket.parse(text), "caller")
    with pytest.raises(NotSent, match="is the MI of this bridge"):
        await where.resolve(ReplySocket.parse(text))
    await where.admit(ReplySocket.parse("tcp:127.0.0.1:7"), "caller")
    await where.admit(ReplySocket.parse("udp:127.0.0.1:8"), "caller")


async def test_addresses_of_a_name_take_turns_and_only_those_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: Any, flags: int = 0) -> list[tuple[Any, ...]]:
        if flags:
            raise sockets.gaierror
        found = ("::1", 7, 0, 0), ("127.0.0.2", 7), ("192.0.2.1", 7), ("127.0.0.3", 7)
        return [(sockets.AF_INET6 if len(one) == 4 else sockets.AF_INET, 0, 0, "", one) for one in found]

    monkeypatch.setattr(sockets, "getaddrinfo", getaddrinfo)
    socket = ReplySocket.parse("rabbitmq:broker/q")

    async def turns(where: Addresses) -> list[str]:
        return [(await where.resolve(socket, turn))[1][0] for turn in range(5)]

    assert await turns(addresses()) == ["127.0.0.2", "127.0.0.3", "::1", "127.0.0.2", "127.0.0.3"]
    assert await turns(addresses(str(socket))) == ["127.0.0.2", "192.0.2.1", "127.0.0.3", "::1", "127.0.0.2"]


async def test_a_name_that_is_none() -> None:
    with pytest.raises(NotSent, match=r"host 'no-such-host\.invalid' is not found"):
        await addresses().admit(ReplySocket.parse("udp:no-such-host.invalid:5000"), "caller")


async def test_a_name_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_address, "LOOKUP_TIMEOUT", 0)
    with pytest.raises(NotSent, match=r"host 'localhost' is not found within 0 s"):
        await addresses().admit(ReplySocket.parse("udp:localhost:5000"), "caller")


async def test_unix_paths_are_for_the_configuration_unless_allowed() -> None:
    for text in ("unix:/run/s", "mi:unix:/run/s"):
        socket = ReplySocket.parse(text)
        with pytest.raises(NotSent, match=r"is not in \[events\]\.allow_unix"):
            await addresses().admit(socket, "caller")
        await addresses(text).admit(socket, "caller")


class Names:
    """A name server that never answers for ``*.hangs``, until ``release``."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.asked = 0

    def getaddrinfo(self, host: str, *question: Any, **flags: int) -> Any:
        if not host.endswith(".hangs") or flags:
            return getaddrinfo(host, *question, **flags)
        self.asked += 1
        self.release.wait(20)
        raise sockets.gaierror(sockets.EAI_NONAME, "Name or service not known")


getaddrinfo = sockets.getaddrinfo


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    names = Names()
    monkeypatch.setattr(sockets, "getaddrinfo", names.getaddrinfo)
    monkeypatch.setattr(event_address, "LOOKUP_TIMEOUT", HANG_SECONDS)
    yield names
    names.release.set()


HANGING = [ReplySocket.parse(f"udp:n{number}.hangs:5000") for number in range(70)]
LOCAL = ReplySocket.parse("udp:localhost:5000")


async def refused(where: Addresses, socket: ReplySocket, caller: str, words: str) -> None:
    with pytest.raises(NotSent, match=words):
        await where.admit(socket, caller)


async def test_names_of_one_caller_that_hang_concern_nobody_else(nursery: trio.Nursery, names: Names) -> None:
    where = addresses("tcp:localhost:5001")

    async def admit(socket: ReplySocket) -> None:
        with pytest.raises(NotSent):
            await where.admit(socket, "hostile")

    for socket in HANGING[: event_address.CALLER_SHARE]:
        nursery.start_soon(admit, socket)
    with trio.fail_after(HANG_SECONDS):
        while names.asked < event_address.CALLER_SHARE:  # noqa: ASYNC110 - threads tell no event loop that they run
            await trio.sleep(0.001)
        for socket in HANGING[event_address.CALLER_SHARE :]:
            await refused(where, socket, "hostile", "4 names of this caller are being looked up already")
        await where.admit(ReplySocket.parse("udp:127.0.0.1:5000"), "hostile")  # a number is no name
        await where.admit(LOCAL, "good")
        await where.resolve(LOCAL)
        await where.resolve(ReplySocket.parse("tcp:localhost:5001"))
    assert names.asked == event_address.CALLER_SHARE
    names.release.set()


async def test_a_look_up_counts_until_its_thread_ends(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    where = addresses()
    monkeypatch.setattr(event_address, "LOOKUP_TIMEOUT", 0)
    for socket in HANGING[: event_address.CALLER_SHARE]:
        await refused(where, socket, "hostile", "not found within")
    await refused(where, HANGING[-1], "hostile", "looked up already")
    monkeypatch.setattr(event_address, "LOOKUP_TIMEOUT", HANG_SECONDS)
    names.release.set()
    with trio.fail_after(HANG_SECONDS):
        for _ in itertools.count():
            try:
                await where.admit(LOCAL, "hostile")
                break
            except NotSent as exc:
                assert "looked up already" in str(exc)  # noqa: PT017 - until the threads have ended
                await trio.sleep(0.001)


async def test_many_callers_together_have_an_end_too(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    where = addresses("udp:localhost:5000")
    monkeypatch.setattr(event_address, "LOOKUP_TIMEOUT", 0)
    for number, socket in enumerate(HANGING[:64]):
        await refused(where, socket, f"caller {number // 4}", "not found within")
    await refused(where, HANGING[-1], "one more", "64 names of callers are being looked up already")
    monkeypatch.setattr(event_address, "LOOKUP_TIMEOUT", HANG_SECONDS)
    with trio.fail_after(HANG_SECONDS):
        await where.resolve(LOCAL)


async def test_subscribed_names_that_hang_do_not_keep_each_other_or_configured_ones(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = addresses("tcp:localhost:5001")
    monkeypatch.setattr(event_address, "LOOKUP_TIMEOUT", 0)
    for socket in HANGING:
        with pytest.raises(NotSent, match="not found within"):
            await where.resolve(socket)
    monkeypatch.setattr(event_address, "LOOKUP_TIMEOUT", HANG_SECONDS)
    with trio.fail_after(HANG_SECONDS):
        await where.resolve(LOCAL)
        await where.resolve(ReplySocket.parse("tcp:localhost:5001"))
