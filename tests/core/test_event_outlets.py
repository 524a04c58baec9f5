"""Named subscriptions: they and their place in the log outlive the process."""

import ssl
import time
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from bridge.core import evi
from bridge.core.evi import EventInterface
from bridge.core.stats import Stats
from bridge.errors import ConnectFailed
from bridge.protocol import codec, subscriptions
from bridge.protocol.event_filter import EventFilter
from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS
from bridge.protocol.event_record import NamedSubscription, OutletState, Wish
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.event_address import Addresses
from bridge.transport.event_rabbitmq import RabbitmqSender
from tests.support.deadlines import HANG_SECONDS
from tests.support.event_logs import Life, living, opened
from tests.support.evi_bed import URL

MI, OTHER = (ReplySocket.parse(f"mi:udp:h:{port}") for port in (1, 2))
UDP = ReplySocket.parse("udp:h:3")
TCP, THIRD = (ReplySocket.parse(f"tcp:h:{port}", reliable=True) for port in (4, 5))


def no_tls(domain: str, host: str) -> tuple[ssl.SSLContext, str]:
    raise ConnectFailed(f"no {domain}")


def after_a_restart(path: Path) -> Life:
    life = opened(path, epoch=8)
    life.evi.restore()
    life.evi.configure([])
    return life


async def test_it_goes_on_after_a_restart_with_its_filter(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    async with living(opened(path)) as life:
        life.janus(1)
        await life.evi.subscribe_as("billing", E_JANUS_EVENT, MI, 600, EventFilter(janus_ids=frozenset({"g1"})))
        await life.evi.subscribe_as("billing", E_JANUS_STATUS, MI, 600)
        life.janus(2)
        await life.settled()
        life.sender(MI).up = False
        life.janus(3)
        life.janus(3, janus_id="g2")
        life.evi.gateway_status("g1", URL, "connected", "", "{}")
        await life.stored()
    assert life.sender(MI).bodies() == [2]
    async with living(after_a_restart(path)) as life:
        life.janus(4)
        life.janus(4, janus_id="g2")
        await life.settled()
        got = life.sender(MI).params()
        assert [item["janus_seq"] for item in got] == ["7-3", "7-4", "8-1"]
        assert got[1]["status"] == "connected"
        assert [ttl is not None and 590 <= ttl <= 600 for _, ttl in life.evi.subscribers(E_JANUS_EVENT)] == [True]


async def test_what_is_narrowed_gets_what_it_was_owed_over_a_restart_too(tmp_path: Path) -> None:
    """By MI before the restart, or in the configuration with it; and no more than that."""
    path, of_g2 = tmp_path / "events.db", EventFilter(janus_ids=frozenset({"g2"}))
    configured = E_JANUS_EVENT, OTHER
    async with living(opened(path)) as life:
        life.evi.configure([configured])
        await life.evi.subscribe_as("billing", E_JANUS_EVENT, MI, 600)
        for socket in (MI, OTHER):
            life.sender(socket).up = False
        life.janus(1)
        await life.evi.subscribe_as("billing", E_JANUS_EVENT, MI, 600, of_g2)
        life.janus(2)
        await life.stored()
    assert life.sender(MI).bodies() == life.sender(OTHER).bodies() == []
    life = opened(path, epoch=8)
    async with living(life):
        life.evi.restore()
        life.evi.configure([configured], {configured: of_g2})
        life.janus(3)
        life.janus(4, janus_id="g2")
        await life.settled()
    assert life.sender(MI).bodies() == [1, 4]
    assert life.sender(OTHER).bodies() == [1, 2, 4]


async def test_a_new_one_begins_with_what_the_disk_has_not_got_yet(tmp_path: Path) -> None:
    life = opened(tmp_path / "events.db")
    life.janus(1, 2, 3)
    assert [await life.log.place_of(*seq) for seq in ((0, 0), (7, 1), (7, 3), (7, 4), (8, 1))] == [0, 0, 2, 3, 3]
    async with living(life):
        await life.stored()
        life.janus(4, 5)
        await life.evi.subscribe_as("audit", E_JANUS_EVENT, MI, 600, start=(7, 5))
        await life.settled()
        assert life.sender(MI).bodies() == [5]


async def test_a_new_one_begins_where_it_says_and_a_renewal_changes_nothing(tmp_path: Path) -> None:
    async with living(opened(tmp_path / "events.db")) as life:
        life.janus(*range(1, 600))
        await life.stored()
        for _ in range(2):
            await life.evi.subscribe_as("audit", E_JANUS_EVENT, MI, 600, start=(7, 100))
            await life.settled()
        assert life.sender(MI).bodies() == list(range(100, 600))
        await life.evi.subscribe_as("later", E_JANUS_EVENT, OTHER, 600, start=(9, 1))
        life.janus(600)
        await life.settled()
        assert life.sender(OTHER).bodies() == [600]


async def test_what_has_lapsed_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    life = opened(path)
    over = NamedSubscription(str(MI), (Wish(E_JANUS_EVENT, 1000),))
    strange = NamedSubscription("pigeon:h:1", (Wish(E_JANUS_EVENT, 2**40),))
    await life.writer.store.write((), [OutletState("over", 0, (), over), OutletState("odd", 0, (), strange)], (), 0)
    life.writer.close()
    async with living(after_a_restart(path)) as life:
        await life.settled()
        await wait_all_tasks_blocked()
        assert life.evi.figures() == []
        await life.stored()
    assert opened(path).log.subscriptions() == {}


async def test_what_has_ended_gets_after_a_restart_what_it_had_not(tmp_path: Path) -> None:
    """As without one, whichever of the two comes first; what was raised behind its end is not for it."""
    path = tmp_path / "events.db"
    async with living(opened(path)) as life:
        for number, name in enumerate(("over", "late")):
            socket = (MI, OTHER)[number]
            await life.evi.subscribe_as(name, E_JANUS_EVENT, socket, 600, EventFilter(janus_ids=frozenset({"g1"})))
            life.sender(socket).up = False
        life.janus(1)
        life.janus(1, janus_id="g2")
        life.evi.subscribe(E_JANUS_EVENT, MI, 0)
        life.evi._table.sweep(life.evi._now() + 1)
        life.evi._reconcile()
        life.janus(2)
        await life.stored()
        assert (life.sender(MI).bodies(), life.sender(OTHER).bodies()) == ([], [])
    life = opened(path, epoch=8)
    life.evi._clock = lambda: time.time() + 601
    life.evi.restore()
    life.evi.configure([])
    async with living(life):
        life.janus(3)
        await life.settled()
        await wait_all_tasks_blocked()
        assert (life.sender(MI).bodies(), life.sender(OTHER).bodies()) == ([1], [1, 2])
        assert life.evi.figures() == []
        await life.stored()
    assert opened(path).log.subscriptions() == {}


async def test_a_name_that_has_lapsed_leaves_its_place_to_the_configuration(tmp_path: Path) -> None:
    """If that has its socket, too; before a restart, or in one."""
    for before in (True, False):
        path = tmp_path / f"{before}.db"
        async with living(opened(path)) as life:
            await life.evi.subscribe_as("billing", E_JANUS_EVENT, MI, 600)
            life.evi.configure([(E_JANUS_EVENT, MI)])
            life.sender(MI).up = False
            life.janus(1)
            if before:
                life.evi._clock = lambda: time.time() + 601
                life.evi.configure([(E_JANUS_EVENT, MI)])
            life.janus(2)
            await life.stored()
            assert [*life.log.outlets] == [str(MI) if before else "billing"]
        life = opened(path, epoch=8)
        life.evi._clock = lambda: time.time() + 601
        life.evi.restore()
        life.evi.configure([(E_JANUS_EVENT, MI)])
        async with living(life):
            life.janus(3)
            await life.settled()
            assert life.sender(MI).bodies() == [1, 2, 3]
            assert [*life.log.outlets] == [str(MI)]
            await life.stored()
        assert opened(path).log.subscriptions() == {}


async def test_those_that_have_ended_give_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log would keep for a day what they have not got; counted, the first to end first."""
    monkeypatch.setattr(evi, "MAX_SUBSCRIPTIONS", 1)
    async with living(opened(tmp_path / "events.db")) as life:
        life.evi.configure([])
        for name, socket in (("a", MI), ("b", OTHER)):
            await life.evi.subscribe_as(name, E_JANUS_EVENT, socket, 600)
            life.sender(socket).up = False
            life.janus(1)
            life.evi._clock = lambda: time.time() + 601
            life.evi._reconcile()
            life.evi._clock = time.time
        monkeypatch.setattr(subscriptions, "MAX_SUBSCRIPTIONS", 1)
        assert {one.subscriber: one.queued for one in life.evi.figures()} == {str(MI): 1, str(OTHER): 1}
        with pytest.raises(ValueError, match="b has ended, and mi:udp:h:2 has still to get events of it"):
            await life.evi.subscribe_as("b", E_JANUS_EVENT, TCP, 600)
        gone = life.evi._deliveries[MI]
        life.evi.subscribe(E_JANUS_EVENT, UDP, 600)
        assert gone.drops.snapshot() == {"ended": 1}
        life.janus(2)
        life.sender(OTHER).up = life.sender(MI).up = True
        await life.settled()
        assert [life.sender(one).bodies() for one in (MI, OTHER, UDP)] == [[], [1], [2]]
        with trio.fail_after(HANG_SECONDS):
            while not life.sender(MI).closed:  # noqa: ASYNC110 - its last attempt ends
                await trio.sleep(0.01)


async def test_what_cannot_have_a_name(tmp_path: Path) -> None:
    async with living(opened(tmp_path / "events.db")) as life:
        life.evi.configure([(E_JANUS_EVENT, OTHER)])
        await life.evi.subscribe_as("a", E_JANUS_EVENT, MI, 600)
        for name, socket, words in (
            ("", MI, "is not of 1 to 64 letters"),
            ("mi:udp:h:1", MI, "is not of 1 to 64 letters"),
            ("b", UDP, "does not say what it has got"),
            ("b", OTHER, "is configured, and needs no name"),
            ("b", MI, "mi:udp:h:1 is subscribed as a"),
            ("a", ReplySocket.parse("mi:udp:h:9"), "a is the subscription of mi:udp:h:1"),
        ):
            with pytest.raises(ValueError, match=words):
                await life.evi.subscribe_as(name, E_JANUS_EVENT, socket, 600)
        with pytest.raises(ValueError, match="there is no event"):
            await life.evi.subscribe_as("c", "E_NONE", ReplySocket.parse("mi:udp:h:9"), 600)
        await life.evi.subscribe_as("d", E_JANUS_EVENT, ReplySocket.parse("mi:udp:h:9"), 600)  # the name was given back
        life.evi.subscribe(E_JANUS_EVENT, TCP, 600)
        with pytest.raises(ValueError, match="there is no event"):
            await life.evi.subscribe_as("e", "E_NONE", TCP, 600)
        life.evi._reconcile()
        assert not life.evi._deliveries[TCP].is_logged  # nobody named it
    memory = EventInterface(lambda socket: life.sender(socket), Stats())
    with pytest.raises(ValueError, match="a name needs \\[events\\] store"):
        await memory.subscribe_as("a", E_JANUS_EVENT, MI, 600)


async def test_what_the_log_has_and_nobody_can_read_costs_itself_alone(tmp_path: Path) -> None:
    """More elements than a message may have, as MI may raise; it is counted, and what is behind it is delivered."""
    only = EventFilter(kinds=frozenset({"event"}))
    async with living(opened(tmp_path / "events.db")) as life:
        life.evi.configure([(E_JANUS_EVENT, TCP), (E_JANUS_EVENT, THIRD)], {(E_JANUS_EVENT, THIRD): only})
        life.evi.raise_event(E_JANUS_EVENT, [(f"a{n}", n) for n in range(codec.MAX_ELEMENTS // 2 + 1)])
        life.evi.gateway_event("g1", URL, '{"janus":"event","n":1}')
        await life.settled()
        figures = {one.subscriber: one.drops for one in life.evi.figures()}
    assert [life.sender(one).bodies() for one in (TCP, THIRD)] == [[1], [1]]
    assert figures == {str(TCP): {"too_large": 1}, str(THIRD): {}}


async def test_what_is_narrowed_gets_what_it_was_owed(tmp_path: Path) -> None:
    """From the log as from a queue: by another filter, by the end of one of two events, by a reload."""
    one = EventFilter(janus_ids=frozenset({"g1"}))
    async with living(opened(tmp_path / "events.db")) as life:
        life.evi.configure([(E_JANUS_EVENT, TCP), (E_JANUS_STATUS, TCP)])
        for event in (E_JANUS_EVENT, E_JANUS_STATUS):
            await life.evi.subscribe_as("billing", event, MI, 600)
        for socket in (MI, TCP):
            life.sender(socket).up = False
        life.janus(1, janus_id="g2")
        life.evi.gateway_status("g2", URL, "connected", "", "{}")
        await life.stored()
        await life.evi.subscribe_as("billing", E_JANUS_EVENT, MI, 600, one)
        life.evi.subscribe(E_JANUS_STATUS, MI, 0)
        life.evi._table.sweep(life.evi._now() + 1)
        life.evi._reconcile()
        life.evi.configure([(E_JANUS_EVENT, TCP)], {(E_JANUS_EVENT, TCP): one})
        life.janus(2)
        life.janus(2, janus_id="g2")
        life.evi.gateway_status("g2", URL, "disconnected", "", "{}")
        for socket in (MI, TCP):
            life.sender(socket).up = True
        await life.settled()
        got = [life.sender(socket).params() for socket in (MI, TCP)]
        assert [[item.get("status") or item["janus_body"] for item in items] for items in got] == [
            ['{"n":1}', "connected", '{"n":2}']
        ] * 2


async def test_what_the_configuration_no_longer_wants_ends_where_mi_wants_another(tmp_path: Path) -> None:
    """Of the same socket, without a name."""
    async with living(opened(tmp_path / "events.db")) as life:
        life.evi.configure([(E_JANUS_EVENT, MI)])
        life.evi.subscribe(E_JANUS_STATUS, MI, 600)
        life.janus(1)
        life.evi.configure([])
        life.janus(2)
        life.evi.gateway_status("g1", URL, "connected", "", "{}")
        await life.settled()
        assert [item["janus_seq"] for item in life.sender(MI).params()] == ["7-1", "7-3"]


async def test_a_new_password_is_kept_with_the_name(tmp_path: Path) -> None:
    old, new = (ReplySocket.parse(f"rabbitmq:bridge:{password}@h/k") for password in ("before", "after"))

    def open_sender(socket: ReplySocket) -> RabbitmqSender:
        return RabbitmqSender(socket, Addresses([], lambda _: True), no_tls)

    life = opened(tmp_path / "events.db", open_sender=open_sender)
    for socket in (old, new):
        await life.evi.subscribe_as("billing", E_JANUS_EVENT, socket, 600)
    subscription = life.log.outlets["billing"].state().subscription
    assert subscription is not None
    assert subscription.socket == new.secret_text
    life.writer.close()
