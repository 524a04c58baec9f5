"""Several Janus behind one URL: a new connection may reach another one than the old (contract 5.3)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from bridge.core.commands_janus import describe
from bridge.core.environment import LinkSettings
from bridge.core.link import JanusLink
from bridge.errors import BridgeError, LinkDown, TransactionLost
from tests.faults.links import error_of
from tests.support.deadlines import HANG_SECONDS
from tests.support.fake_janus import FakeJanus, Message, Reply, error, open_fake_janus
from tests.support.fronts import haproxy
from tests.support.janus import GEN, Janus
from tests.support.janus_client import AdminClient
from tests.support.linkbed import LinkBed, running
from tests.support.relay import open_relay

Factory = Callable[..., Janus]
QUICK = LinkSettings(ping_interval=1.0, reconnect_min=0.1, reconnect_max=0.4)
PLUGIN = "janus.plugin.fake"


async def where(link: JanusLink) -> list[tuple[int | None, int]]:
    """The connection of each session, and the number of its handles, as janus_list shows them."""
    return [(session["connection"], len(session["handles"])) for session in (await describe(link))["sessions"]]


async def sessions_of(server: Janus) -> set[int]:
    async with AdminClient.open(server) as admin:
        return set(await admin.list_sessions())


async def test_sessions_live_on_where_they_are(tmp_path: Path, janus_factory: Factory) -> None:
    """haproxy, two Janus without reclaim. Reconnect reaches the other one: calls go on, new ones are made there."""
    one, two = janus_factory(), janus_factory()
    with haproxy(tmp_path, one.port, beside=[two.port]) as port:
        async with running(LinkBed(), {"gw": f"ws://127.0.0.1:{port}/"}) as bed:
            link = await bed.ready()
            handle = await bed.attach()
            link.reconnect()
            await link.reconnected()
            assert bed.names() == ["connected"]
            assert (await bed.message(handle, {"do": "burst", "n": 1}))["janus"] == "success"
            await bed.until(lambda: bed.events)  # of the old connection
            other = await bed.attach()
            await bed.echo(other)
            await bed.echo(handle, 2)
            assert await where(link) == [(2, 1), (1, 1)]
            assert (await describe(link))["connection"] == 2
            assert [len(await sessions_of(server)) for server in (one, two)] == [1, 1]
            # The third connection reaches the first Janus: there is no third session.
            link.reconnect()
            await link.reconnected()
            await bed.echo(handle, 3)
            await bed.echo(other, 4)
            assert await where(link) == [(3, 1), (2, 1)]
            assert bed.names() == ["connected"]
            # That Janus ends, and with it what lived there, alone. The next connection reaches the second one.
            await bed.until(lambda: len(bed.connects) == 3)
            one.kill()
            await bed.until(lambda: "session_lost" in bed.names())
            await bed.ready()
            await bed.echo(other, 5)
            assert [detail["handles"] for _, name, _, detail in bed.statuses if name == "session_lost"] == [
                [{"handle_id": handle, "plugin": GEN}]
            ]


async def test_silence_ends_nothing_where_the_new_connection_reaches_another_janus(janus_factory: Factory) -> None:
    """The first is frozen for a while. Its calls are there when it goes on."""
    one, two = janus_factory(), janus_factory()
    async with open_relay(one.port) as relay, running(LinkBed(settings=QUICK), {"gw": relay.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()
        one.freeze()
        relay.retarget(two.port)
        await bed.until(lambda: link.reconnects == 1)
        other = await bed.attach()
        with pytest.raises(LinkDown, match="the connection that carries this session is silent"):
            await bed.message(handle, {"n": 1})
        one.thaw()
        await bed.until(lambda: link.roster.route(1) == 1)
        await bed.echo(handle, 2)
        await bed.echo(other, 3)
        assert "session_lost" not in bed.names()
        # It is silent once more: who waits there hears of it, the others notice nothing.
        one.freeze()
        lost: list[BridgeError] = []

        async def ask() -> None:
            lost.append(await error_of(bed.message(handle, {"do": "mute"}, HANG_SECONDS)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await bed.until(lambda: lost)
        assert isinstance(lost[0], TransactionLost)
        await bed.echo(other, 5)
        one.thaw()
        await bed.until(lambda: link.roster.route(1) == 1)
        await bed.echo(handle, 6)


async def test_session_that_lives_on_ends_when_its_own_connection_says_so(janus_factory: Factory) -> None:
    one, two = janus_factory(), janus_factory()
    async with (
        open_relay(one.port) as relay,
        running(LinkBed(settings=QUICK), {"gw": relay.url}) as bed,
        AdminClient.open(one) as admin,
    ):
        link = await bed.ready()
        session, handle = link.book.managed.session_id, await bed.attach()
        relay.retarget(two.port)
        link.reconnect()
        await link.reconnected()
        old = link.connections[1]
        assert session is not None
        await admin.destroy_session(session)
        await bed.until(lambda: "session_lost" in bed.names())
        with trio.fail_after(HANG_SECONDS):
            await old.ended.wait()  # nothing is left there
        assert bed.statuses[-1][3]["handles"] == [{"handle_id": handle, "plugin": GEN}]
        assert link.shown_state == "ready"
        assert link.book.managed.live


async def test_session_that_lives_on_is_lost_with_its_connection(janus_factory: Factory) -> None:
    one, two = janus_factory(), janus_factory()
    async with open_relay(one.port) as relay, running(LinkBed(settings=QUICK), {"gw": relay.url}) as bed:
        link = await bed.ready()
        session, client_session = link.book.managed.session_id, (await bed.ask({"janus": "create"}))["data"]["id"]
        relay.retarget(two.port)
        link.reconnect()
        await link.reconnected()
        assert bed.names() == ["connected"]
        one.kill()
        await bed.until(lambda: bed.names().count("session_lost") == 2)
        assert {str(row[3]["session"]) for row in bed.statuses[1:]} == {str(session), str(client_session)}
        while await where(link) != [(2, 0)]:  # noqa: ASYNC110 - as a monitor asks
            await trio.sleep(0.001)


async def test_new_connection_that_gives_no_session_leaves_the_old_one_in_service() -> None:
    """Another Janus, which takes no sessions: there is no interruption, however often it is tried."""

    def unknown(request: Message) -> list[Reply]:
        return [error(request, 458, "No such session")]

    def full(request: Message) -> list[Reply]:
        return [error(request, 472, "Not accepting new sessions")]

    async with open_fake_janus() as fake, running(LinkBed(settings=QUICK), {"gw": fake.url}) as bed:
        link = await bed.ready()
        since, handle = link.since, await bed.attach(PLUGIN)
        fake.script |= {"claim": unknown, "create": full}
        link.reconnect()
        await fake.wait_request("create", 3)
        assert (link.shown_state, link.since) == ("ready", since)
        assert (await bed.message(handle, {}))["janus"] == "success"
        assert bed.names() == ["connected"]
        fake.script.clear()
        await bed.until(lambda: link.reconnects == 1)
        assert await peers(fake) == 1


async def peers(fake: FakeJanus) -> Any:
    """How many connections are open, once no more than one is."""
    await fake.wait_until(lambda: sum(not peer.closed.is_set() for peer in fake.peers) <= 1)
    return sum(not peer.closed.is_set() for peer in fake.peers)
