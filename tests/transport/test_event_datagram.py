"""udp: and unix: senders against real sockets; OpenSIPS's own Python package listens at the far end."""

import ipaddress
import os
import socket as sockets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from opensips.event import OpenSIPSEventHandler

from bridge.protocol.event_delivery import EventRefused, NotSent, Parcel
from bridge.protocol.event_payload import E_JANUS_EVENT, Encoding, Event, janus_event
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.event_address import Addresses
from bridge.transport.event_datagram import UdpSender, UnixSender
from tests.support.deadlines import HANG_SECONDS

CONFIGURED = Addresses([], lambda socket: True)
ADDRESSES = Addresses([ipaddress.ip_network("127.0.0.0/8")], lambda socket: False)


def parcel(body: str = "{}", number: int = 1) -> Parcel:
    event = Event(E_JANUS_EVENT, janus_event("g1", "janusws://h", body), f"p-{number}", number, "g1")
    return Parcel(event, event.encoded(Encoding("datagram")), float("inf"))


def raw(payload: bytes) -> Parcel:
    return Parcel(parcel().event, payload, float("inf"))


def udp_sender(bound: sockets.socket) -> UdpSender:
    return UdpSender(ReplySocket("udp", "127.0.0.1", bound.getsockname()[1]), ADDRESSES)


def unix_socket(path: Path) -> sockets.socket:
    path.unlink(missing_ok=True)
    made = sockets.socket(sockets.AF_UNIX, sockets.SOCK_DGRAM)
    made.bind(str(path))
    made.setblocking(False)
    return made


@pytest.fixture
def listener() -> Iterator[sockets.socket]:
    with sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5)
        yield made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


async def test_udp_opens_with_the_first_and_hands_over_the_next_at_once(listener: sockets.socket) -> None:
    sender = udp_sender(listener)
    assert not sender.try_send(raw(b"1"))
    await sender.send(raw(b"1"), 1)
    assert sender.try_send(raw(b"2"))
    assert [listener.recv(10), listener.recv(10)] == [b"1", b"2"]
    sender.close()


async def test_udp_to_nobody_is_delivered_each_time(listener: sockets.socket) -> None:
    """A connected socket would answer every second datagram with ECONNREFUSED."""
    sender = udp_sender(listener)
    listener.close()
    await sender.send(parcel(), 1)
    assert all(sender.try_send(parcel()) for _ in range(100))
    sender.close()


async def test_udp_takes_the_largest_event_and_refuses_what_udp_cannot_hold(listener: sockets.socket) -> None:
    sender = udp_sender(listener)
    await sender.send(raw(b"x" * 65457), 1)
    assert len(listener.recv(65535)) == 65457
    with pytest.raises(EventRefused, match="does not take datagrams of this size") as caught:
        await sender.send(raw(b"x" * 65508), 1)
    assert caught.value.reason == "too_large"
    with pytest.raises(EventRefused, match="does not take datagrams of this size"):
        sender.try_send(raw(b"x" * 65508))
    assert sender.try_send(raw(b"next"))
    assert listener.recv(10) == b"next"
    sender.close()


async def test_udp_where_the_host_is_not_found() -> None:
    sender = UdpSender(ReplySocket.parse("udp:no-such-host.invalid:1"), ADDRESSES)
    with pytest.raises(NotSent, match="is not found"):
        await sender.send(parcel(), 1)


async def test_udp_where_the_network_says_no() -> None:
    everywhere = Addresses([ipaddress.ip_network("0.0.0.0/0")], lambda socket: False)
    sender = UdpSender(ReplySocket.parse("udp:255.255.255.255:9"), everywhere)  # a broadcast, without leave to do so
    with pytest.raises(NotSent, match="cannot be reached: Permission denied"):
        await sender.send(parcel(), 1)
    assert not sender.try_send(parcel())


async def test_unix_in_order(path: Path) -> None:
    with unix_socket(path) as listener:
        sender = UnixSender(ReplySocket("unix", path=str(path)), CONFIGURED)
        assert not sender.try_send(raw(b"0"))
        await sender.send(raw(b"0"), 1)
        assert sender.try_send(raw(b"1"))
        assert [listener.recv(10), listener.recv(10)] == [b"0", b"1"]
        sender.close()


async def test_unix_where_nobody_is(path: Path) -> None:
    sender = UnixSender(ReplySocket("unix", path=str(path)), CONFIGURED)
    with pytest.raises(NotSent, match="cannot be reached: No such file or directory"):
        await sender.send(raw(b"1"), 1)
    unix_socket(path).close()
    with pytest.raises(NotSent, match="cannot be reached: Connection refused"):
        await sender.send(raw(b"1"), 1)
    with unix_socket(path) as listener:
        await sender.send(raw(b"1"), 1)
        assert listener.recv(10) == b"1"
    sender.close()


async def test_unix_finds_a_listener_that_has_restarted_at_once(path: Path) -> None:
    sender = UnixSender(ReplySocket("unix", path=str(path)), CONFIGURED)
    with unix_socket(path):
        await sender.send(raw(b"1"), 1)
    with unix_socket(path) as listener:
        assert not sender.try_send(raw(b"2"))
        await sender.send(raw(b"2"), 0)
        assert listener.recv(10) == b"2"
    sender.close()


async def fill(sender: UnixSender) -> int:
    await sender.send(raw(b"0"), 1)
    count = 1
    while sender.try_send(raw(str(count).encode())):
        count += 1
    return count


async def test_unix_waits_for_room_and_no_longer_than_it_may(path: Path) -> None:
    with unix_socket(path) as listener:
        sender = UnixSender(ReplySocket("unix", path=str(path)), CONFIGURED)
        count = await fill(sender)
        with pytest.raises(NotSent, match="its queue has no room"):
            await sender.send(raw(b"late"), 0.01)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.send, raw(b"late"), 10)
            await trio.testing.wait_all_tasks_blocked()
            assert listener.recv(10) == b"0"
        assert [listener.recv(10) for _ in range(count)] == [*(str(n).encode() for n in range(1, count)), b"late"]
        sender.close()


async def test_unix_learns_at_once_that_a_full_listener_is_gone(path: Path, nursery: trio.Nursery) -> None:
    listener = unix_socket(path)

    async def leave() -> None:
        await trio.testing.wait_all_tasks_blocked()
        listener.close()

    sender = UnixSender(ReplySocket("unix", path=str(path)), CONFIGURED)
    await fill(sender)
    nursery.start_soon(leave)
    with pytest.raises(NotSent, match="Connection refused"):
        await sender.send(raw(b"late"), HANG_SECONDS)


async def test_a_closed_sender_leaves_no_descriptor_open(path: Path, listener: sockets.socket) -> None:
    before = os.listdir("/proc/self/fd")
    with unix_socket(path):
        for sender in (UnixSender(ReplySocket("unix", path=str(path)), CONFIGURED), udp_sender(listener)):
            await sender.send(parcel(), 1)
            sender.close()
            sender.close()
    assert len(os.listdir("/proc/self/fd")) == len(before)


async def test_opensips_own_python_package_reads_our_events() -> None:
    """The package's event handler is the listener; what it asks of MI is looked at here."""
    got: list[Any] = []
    arrived = threading.Event()

    class Mi:
        asked: list[Any] = []  # noqa: RUF012

        def execute(self, command: str, params: list[Any]) -> str:
            self.asked.append((command, params))
            return "OK"

    def callback(message: Any) -> None:
        got.append(message)
        arrived.set()

    handler = OpenSIPSEventHandler(Mi(), "datagram", ip="127.0.0.1")
    subscription = handler.subscribe(E_JANUS_EVENT, callback)
    try:
        ((command, (event, text, expire)),) = Mi.asked
        assert (command, event, expire) == ("event_subscribe", E_JANUS_EVENT, 3600)
        sender = UdpSender(ReplySocket.parse(text), ADDRESSES)
        await sender.send(parcel('{"janus":"hangup","reason":"ü"}'), 1)
        sender.close()
        assert await trio.to_thread.run_sync(arrived.wait, 10)
    finally:
        await trio.to_thread.run_sync(subscription.unsubscribe)
    assert [dict(message["params"]) for message in got] == [
        {"janus_id": "g1", "janus_url": "janusws://h", "janus_body": '{"janus":"hangup","reason":"ü"}'}
    ]
    assert Mi.asked[-1] == ("event_subscribe", [E_JANUS_EVENT, text, 0])
