"""The next bridge process finds what the last one left: managed and client sessions, alive and ended (2, 5.3)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from bridge.core import registry
from bridge.core.environment import LinkSettings
from bridge.errors import BridgeError, LinkDown, TransactionLost
from tests.support.deadlines import HANG_SECONDS, in_time
from tests.support.fake_janus import SILENCE, error, open_fake_janus
from tests.support.janus import GEN, Janus
from tests.support.janus_client import AdminClient, JanusClient
from tests.support.linkbed import LinkBed, running
from tests.support.phases import Phase, phase
from tests.support.ports import free_port

Factory = Callable[..., Janus]


async def test_stop_leaves_sessions_where_janus_keeps_them_and_the_next_one_claims(janus_factory: Factory) -> None:
    server = janus_factory(reclaim_session_timeout=30)
    first, second = LinkBed(start="one"), LinkBed(start="two")
    second.saved = first.saved
    async with AdminClient.open(server) as admin:
        async with running(first, {"gw": server.url}):
            link = await first.ready()
            managed, handle = link.book.managed.session_id, await first.attach()
            client_session = (await first.ask({"janus": "create"}))["data"]["id"]
            ended = (await first.ask({"janus": "create"}))["data"]["id"]
            await first.ask({"janus": "destroy", "session_id": ended})
            other = await first.attach(session_id=client_session)
            await first.registry.stop(hand_over=False)
        assert set(await admin.list_sessions()) == {managed, int(client_session)}
        async with running(second, {"gw": server.url}):
            link = await second.ready()
            assert link.book.managed.session_id == managed
            await second.echo(handle)
            await second.echo(other, session_id=client_session)
            # Its end is remembered: the id is sent as it is, and Janus says that it is over.
            answer = await second.ask({"janus": "keepalive", "session_id": ended})
            assert answer["error"]["code"] == 458
            assert second.names() == ["connected"]
            # Handles that it did not make are known once they say something.
            await second.message(handle, {"do": "burst", "n": 1})
            await second.until(lambda: second.events)
            assert int(handle) in link.book.managed.handles


async def test_stop_destroys_sessions_where_janus_would_not_keep_them(janus_factory: Factory) -> None:
    server = janus_factory()
    first, second = LinkBed(start="one"), LinkBed(start="two")
    second.saved = first.saved
    async with AdminClient.open(server) as admin:
        async with running(first, {"gw": server.url}):
            await first.ready()
            await first.ask({"janus": "create"})
            await first.registry.stop(hand_over=False)
            assert await admin.list_sessions() == []
        assert all(record.ended for record in first.saved["gw", server.url].values())
        async with running(second, {"gw": server.url}):
            await second.ready()
            assert second.names() == ["connected"]  # nothing was lost that anybody could have hoped for


async def test_sessions_that_did_not_outlive_the_process_are_told_of(janus_factory: Factory) -> None:
    """As after a SIGKILL, at a Janus that does not reclaim."""
    server = janus_factory()
    first, second = LinkBed(start="one"), LinkBed(start="two")
    second.saved = first.saved
    async with running(first, {"gw": server.url}):
        link = await first.ready()
        managed = link.book.managed.session_id
        client_session = (await first.ask({"janus": "create"}))["data"]["id"]
    async with running(second, {"gw": server.url}):
        await second.ready()
        lost = {
            detail["session"]: detail["managed"] for _, name, _, detail in second.statuses if name == "session_lost"
        }
        assert lost == {str(managed): True, client_session: False}


async def test_stop_before_janus_said_whether_it_reclaims_leaves_what_the_last_process_had(janus: Janus) -> None:
    """Destroying them would kill the calls of a bridge that is restarted twice."""
    async with open_fake_janus() as fake:
        first, second, third = (LinkBed(start=start) for start in ("one", "two", "three"))
        second.saved = third.saved = first.saved
        async with running(first, {"gw": fake.url}):
            link = await first.ready()
            managed = link.book.managed.session_id
        fake.script["info"] = lambda request: SILENCE
        async with running(second, {"gw": fake.url}):
            await fake.wait_request("info", 2)
            await second.registry.stop(hand_over=False)
        fake.script.clear()
        async with running(third, {"gw": fake.url}):
            link = await third.ready()
            assert link.book.managed.session_id == managed


async def test_stop_lets_commands_be_answered_and_then_tells_what_became_of_them(
    janus: Janus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "DRAIN", 1.0)
    async with open_fake_janus() as fake, JanusClient.open(janus) as outsider:
        outside = await outsider.create()
        release = outside, await outsider.attach(outside, GEN), {"do": "release"}
        bed = LinkBed()
        async with running(bed, {"gw": janus.url, "fake": fake.url}):
            await bed.ready()
            await bed.ready("fake")
            fake.script["message"] = lambda request: SILENCE
            handle = await bed.attach()
            outcomes: dict[str, Any] = {}

            async def ask(name: str, janus_id: str, command: dict[str, Any]) -> None:
                try:
                    outcomes[name] = await bed.ask(command, HANG_SECONDS, janus_id)
                except BridgeError as error:
                    outcomes[name] = error

            async with trio.open_nursery() as nursery:
                late = {"janus": "message", "handle_id": handle, "body": {"do": "hold"}}
                mute = {"janus": "message", "handle_id": 7, "body": {}}
                nursery.start_soon(ask, "answered", "gw", late)
                await bed.echo(handle)  # is sent once the other was acknowledged
                nursery.start_soon(ask, "sent", "fake", mute)
                await fake.wait_request("message")
                nursery.start_soon(ask, "queued", "fake", mute)
                await bed.until(lambda: sum(link.requests.in_flight for link in bed.registry) == 3)
                nursery.start_soon(partial(bed.registry.stop, hand_over=False))
                await trio.testing.wait_all_tasks_blocked()
                assert "answered" not in outcomes
                await outsider.message(*release)
            assert outcomes["answered"]["janus"] == "event"
            assert isinstance(outcomes["sent"], TransactionLost)
            assert isinstance(outcomes["queued"], LinkDown)
            assert outcomes["sent"].data == outcomes["queued"].data == "the bridge is stopping"


async def test_stop_in_every_state_takes_no_longer_than_its_deadlines(janus_factory: Factory) -> None:
    """Connecting, joining, refused, resting, leaving: nothing waits for what does not come."""
    frozen = janus_factory(reclaim_session_timeout=30)
    async with open_fake_janus() as joining, open_fake_janus() as refusing, open_fake_janus() as left:
        joining.script["info"] = lambda request: SILENCE
        refusing.script["create"] = lambda request: [error(request, 403, "Unauthorized")]
        rows = {
            "frozen": frozen.url,
            "joining": joining.url,
            "refusing": refusing.url,
            "left": left.url,
            "down": f"ws://127.0.0.1:{free_port()}",
            "disabled": "no URL",
        }
        bed = LinkBed(settings=LinkSettings(ping_interval=1.0))
        async with running(bed, rows):
            for name in ("frozen", "left"):
                await bed.ready(name)
            frozen.freeze()
            left.script["claim"] = lambda request: SILENCE
            bed.registry.find("left").reconnect()
            states = {
                "frozen": Phase.LEAVING,
                "joining": Phase.JOINING,
                "refusing": Phase.REFUSED,
                "left": Phase.REJOINING,
            }
            await bed.until(lambda: all(phase(bed.registry.find(name)) is state for name, state in states.items()))
            with in_time(4):
                await bed.registry.stop(hand_over=False)
            assert len(bed.registry) == 0
            # The session that was on its way to another connection is destroyed, too.
            assert left.sessions == set()
