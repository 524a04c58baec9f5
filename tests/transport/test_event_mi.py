"""mi: senders against a stand-in OpenSIPS that loses, delays, refuses and restarts."""

import ipaddress
import json
import os
import socket as sockets
from pathlib import Path
from typing import Any

import pytest
import trio

from bridge.protocol.event_delivery import EventRefused, NotSent, Parcel
from bridge.protocol.event_payload import E_JANUS_EVENT, Encoding, Event, janus_event
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.event_address import Addresses, SocketAddress
from bridge.transport.event_mi import MiSender
from tests.support.opensips_mi import Act, OpenSipsMi

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]
CONFIGURED = Addresses([], lambda socket: True)
ADDRESSES = Addresses(LOOPBACK, lambda socket: False)
SHORT, LONG = 0.02, 5.0  # patience, seconds


def parcel(number: int = 1, body: str = '{"janus":"hangup"}') -> Parcel:
    event = Event(E_JANUS_EVENT, janus_event("g1", "janusws://h", body), f"p-{number}", number, "g1", f"1-{number}")
    return Parcel(event, event.encoded(Encoding("mi", numbered=True)), float("inf"))


def has_ipv6() -> bool:
    with sockets.socket(sockets.AF_INET6, sockets.SOCK_DGRAM) as probe:
        return probe.connect_ex(("::1", 9)) == 0


@pytest.fixture(params=["udp", "unix", "udp6"])
async def opensips(request: pytest.FixtureRequest, nursery: trio.Nursery, tmp_path: Path) -> OpenSipsMi:
    if request.param == "udp6" and not has_ipv6():
        pytest.skip("no IPv6 on this machine")
    path = tmp_path / "mi" if request.param == "unix" else None
    made = OpenSipsMi(path, "::1" if request.param == "udp6" else "127.0.0.1")
    await nursery.start(made.run)
    return made


def sender_to(opensips: OpenSipsMi) -> MiSender:
    return MiSender(ReplySocket.parse(opensips.name), CONFIGURED)


async def test_an_answer_delivers(opensips: OpenSipsMi) -> None:
    sender = sender_to(opensips)
    for number in (1, 2):
        sent = parcel(number)
        assert not sender.try_send(sent)
        await sender.send(sent, LONG)
        assert sent.sent
    values = {"janus_id": "g1", "janus_url": "janusws://h", "janus_body": '{"janus":"hangup"}'}
    assert opensips.raised == [{"event": E_JANUS_EVENT, **values, "janus_seq": f"1-{number}"} for number in (1, 2)]
    sender.close()


async def test_the_largest_event_passes(opensips: OpenSipsMi) -> None:
    sender = sender_to(opensips)
    rest = len(parcel(body=json.dumps({"pad": ""})).payload)
    sent = parcel(body=json.dumps({"pad": "x" * (65457 - rest)}))
    assert len(sent.payload) == 65457
    await sender.send(sent, LONG)
    assert len(opensips.raised) == 1
    sender.close()


async def test_a_lost_raise_is_repeated_with_the_same_id(opensips: OpenSipsMi) -> None:
    opensips.acts.extend(["lost", "lost"])
    sender, sent = sender_to(opensips), parcel()
    for _ in range(2):
        with pytest.raises(NotSent, match=r"did not answer within 0\.02 s"):
            await sender.send(sent, SHORT)
    await sender.send(sent, LONG)
    assert opensips.ids == ["p-1"] * 3
    assert len(opensips.raised) == 1
    sender.close()


async def test_a_lost_answer_makes_it_run_twice_with_the_same_seq(opensips: OpenSipsMi) -> None:
    opensips.acts.append("mute")
    sender, sent = sender_to(opensips), parcel()
    with pytest.raises(NotSent):
        await sender.send(sent, SHORT)
    await sender.send(sent, LONG)
    assert [item["janus_seq"] for item in opensips.raised] == ["1-1", "1-1"]
    sender.close()


async def test_an_answer_to_the_first_copy_settles_it(opensips: OpenSipsMi) -> None:
    opensips.acts.extend(["late", "lost"])
    sender, sent = sender_to(opensips), parcel()
    with pytest.raises(NotSent):
        await sender.send(sent, SHORT)
    await sender.send(sent, LONG)
    assert len(opensips.raised) == 1
    sender.close()


async def test_an_answer_to_a_raise_given_up_is_not_for_the_next(opensips: OpenSipsMi) -> None:
    opensips.acts.extend(["late", "lost"])
    sender = sender_to(opensips)
    with pytest.raises(NotSent):
        await sender.send(parcel(1), SHORT)
    with pytest.raises(NotSent):
        await sender.send(parcel(2), SHORT)  # gets the answer to 1, which is late
    await sender.send(parcel(2), LONG)
    assert opensips.ids == ["p-1", "p-2", "p-2"]
    sender.close()


@pytest.mark.parametrize(
    ("act", "reason", "text"),
    [
        ("404", "not_registered", r"its script has no event_route\[E_JANUS_EVENT\]"),
        ("480", "no_subscriber", "neither event_route nor subscriber"),
        ("500", "refused", "answers 500 Cannot Raise Event"),
    ],
)
async def test_an_error_is_final(opensips: OpenSipsMi, act: Act, reason: str, text: str) -> None:
    opensips.acts.append(act)
    sender = sender_to(opensips)
    with pytest.raises(EventRefused, match=text) as caught:
        await sender.send(parcel(1), LONG)
    assert caught.value.reason == reason
    await sender.send(parcel(2), LONG)
    sender.close()


async def test_an_answer_without_id_counts_the_second_time(opensips: OpenSipsMi) -> None:
    """The first may have been for a late copy of the raise before."""
    opensips.acts.extend(["parse", "parse", "parse"])
    sender, sent = sender_to(opensips), parcel(1)
    with pytest.raises(NotSent):
        await sender.send(sent, SHORT)
    with pytest.raises(EventRefused, match="answers 400 Parse_error"):
        await sender.send(sent, LONG)
    with pytest.raises(NotSent):
        await sender.send(parcel(2), SHORT)
    await sender.send(parcel(2), LONG)
    sender.close()


async def test_away_and_back_again(opensips: OpenSipsMi, nursery: trio.Nursery) -> None:
    sender = sender_to(opensips)
    await sender.send(parcel(1), LONG)
    opensips.close()
    sent = parcel(2)
    for _ in range(2):  # on udp the first is what tells
        with pytest.raises(NotSent, match="cannot be reached: Connection refused; is mi_datagram loaded"):
            await sender.send(sent, LONG)
    await nursery.start(opensips.run)
    await sender.send(sent, LONG)
    assert opensips.ids == ["p-1", "p-2"]
    sender.close()


async def test_nobody_has_ever_been_there(tmp_path: Path) -> None:
    sender = MiSender(ReplySocket("mi:unix", path=str(tmp_path / "mi")), CONFIGURED)
    sent = parcel()
    with pytest.raises(NotSent, match="cannot be reached: No such file or directory; is mi_datagram loaded"):
        await sender.send(sent, LONG)
    assert not sent.sent
    sender.close()


async def test_a_frozen_opensips_takes_no_more_than_its_queue(tmp_path: Path) -> None:
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_DGRAM) as frozen:
        frozen.bind(str(tmp_path / "mi"))
        sender = MiSender(ReplySocket("mi:unix", path=str(tmp_path / "mi")), CONFIGURED)
        texts: list[str] = []
        while not texts or "queue is full" not in texts[-1]:
            with pytest.raises(NotSent) as caught:
                await sender.send(parcel(), 0.001)
            texts.append(str(caught.value))
        assert texts[0] == "did not answer within 0.001 s"
        sender.close()


async def test_a_name_is_looked_up_again_for_each_further_copy(nursery: trio.Nursery) -> None:
    opensips = OpenSipsMi()
    await nursery.start(opensips.run)
    opensips.acts.append("lost")
    sender, sent = MiSender(ReplySocket.parse(opensips.name.replace("127.0.0.1", "localhost")), ADDRESSES), parcel()
    with pytest.raises(NotSent):
        await sender.send(sent, SHORT)
    before: Any = sender._sock
    await sender.send(sent, LONG)
    assert sender._sock is before  # it has not moved, so an answer to the first copy would still be heard
    sender.close()


async def test_a_name_that_has_moved_is_found_with_the_next_copy(nursery: trio.Nursery) -> None:
    old, new = OpenSipsMi(), OpenSipsMi()
    await nursery.start(old.run)
    await nursery.start(new.run)
    old.always = "lost"

    class Moving(Addresses):
        async def resolve(self, socket: ReplySocket, turn: int = 0) -> tuple[int, SocketAddress]:
            return await super().resolve(ReplySocket.parse((new if old.ids else old).name))

    sender, sent = MiSender(ReplySocket("mi:udp", "opensips.example", 8080), Moving(LOOPBACK, lambda _: True)), parcel()
    with pytest.raises(NotSent):
        await sender.send(sent, SHORT)
    await sender.send(sent, LONG)
    assert (old.ids, new.ids) == (["p-1"], ["p-1"])
    sender.close()


async def test_no_descriptor_stays_open(opensips: OpenSipsMi) -> None:
    before = len(os.listdir("/proc/self/fd"))
    sender = sender_to(opensips)
    await sender.send(parcel(), LONG)
    sender.close()
    sender.close()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_480_right_after_a_start_is_not_final(opensips: OpenSipsMi, nursery: trio.Nursery) -> None:
    """OpenSIPS 3.4 and 3.5 answer MI before their event_routes have subscribed."""
    sender, sent = sender_to(opensips), parcel(1)
    opensips.close()
    for _ in range(2):  # on udp the kernel tells of it with the second copy
        with pytest.raises(NotSent):
            await sender.send(sent, SHORT)
    await nursery.start(opensips.run)
    opensips.acts.append("480")
    with pytest.raises(NotSent, match="is starting"):
        await sender.send(sent, LONG)
    await sender.send(sent, LONG)
    sender.close()
