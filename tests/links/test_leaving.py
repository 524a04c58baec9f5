"""A connection that is left by choice: reconnect, another URL, other secrets, in every state (contract 4.4, 5.3)."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from bridge.core import join
from bridge.core.commands_janus import describe
from bridge.core.environment import LinkSettings
from bridge.core.link import JanusLink
from bridge.errors import LinkDown, TransactionLost
from bridge.protocol.credentials import Credentials
from tests.support.deadlines import HANG_SECONDS
from tests.support.fake_janus import SILENCE, Greeting, error, open_fake_janus
from tests.support.janus import GEN, Janus
from tests.support.janus_client import AdminClient, JanusClient
from tests.support.linkbed import LinkBed, running
from tests.support.phases import Phase, phase
from tests.support.relay import open_relay

Factory = Callable[..., Janus]
QUICK = LinkSettings(ping_interval=1.0, reconnect_min=0.1, reconnect_max=0.4)


def managed(link: JanusLink) -> int:
    session_id = link.book.managed.session_id
    assert session_id is not None
    return session_id


async def until_no_session(admin: AdminClient) -> None:
    with trio.fail_after(HANG_SECONDS):
        while await admin.list_sessions():  # noqa: ASYNC110 - Janus tells nobody
            await trio.sleep(0.01)


# Another URL


async def test_other_name_of_the_same_janus_keeps_every_session(janus: Janus) -> None:
    bed = LinkBed()
    async with open_relay(janus.port) as relay, running(bed, {"gw": janus.url}):
        link = await bed.ready()
        session, handle = managed(link), await bed.attach()
        client_session = (await bed.ask({"janus": "create"}))["data"]["id"]
        other = await bed.attach(session_id=client_session)
        assert bed.reconcile({"gw": relay.url}).changed == ["gw"]
        await bed.until(lambda: link.reconnects == 1)
        await bed.echo(handle)
        await bed.echo(other, session_id=client_session)
        assert managed(link) == session
        assert bed.names() == ["connected"]
        # Kept for the next process under the URL where they can be claimed now, and only there.
        assert [record.ended for record in bed.saved["gw", janus.url].values()] == [True, True]
        assert [record.ended for record in bed.saved["gw", relay.url].values()] == [False, False]


async def test_another_janus_gets_new_sessions_and_the_old_one_is_cleared(janus_factory: Factory) -> None:
    """The old one reclaims: what were not destroyed there would live on."""
    old, new = janus_factory(reclaim_session_timeout=60), janus_factory()
    async with (
        running(LinkBed(), {"gw": old.url}) as bed,
        AdminClient.open(old) as admin,
        JanusClient.open(old) as outsider,
    ):
        link = await bed.ready()
        session, handle = managed(link), await bed.attach()
        outside = await outsider.create()
        release = outside, await outsider.attach(outside, GEN), {"do": "release"}
        client_session = int((await bed.ask({"janus": "create"}))["data"]["id"])
        in_flight: list[Any] = []

        async def ask() -> None:
            in_flight.append(await bed.message(handle, {"do": "hold"}))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await bed.until(lambda: link.requests.in_flight == 1)
            bed.reconcile({"gw": new.url})
            await bed.until(lambda: link.reconnects == 1)
            while not (await outsider.message(*release))["plugindata"]["data"]["released"]:
                pass  # Janus has not come to it yet
        assert in_flight[0]["janus"] == "event"  # only then were its sessions destroyed
        await outsider.destroy(outside)
        assert managed(link) != session
        lost = [detail for _, name, _, detail in bed.statuses if name == "session_lost"]
        assert {int(detail["session"]): detail["managed"] for detail in lost} == {session: True, client_session: False}
        await until_no_session(admin)
        assert [record.ended for record in bed.saved["gw", old.url].values()] == [True, True]


async def test_url_that_does_not_answer_leaves_the_old_connection_in_service(
    janus: Janus, caplog: pytest.LogCaptureFixture
) -> None:
    """For as long as it takes: nobody's command waits for it, and the attempts back off."""
    bed = LinkBed(settings=QUICK)
    async with open_fake_janus() as fake, running(bed, {"gw": janus.url}):
        link = await bed.ready()
        since, handle = link.since, await bed.attach()
        fake.greeting = Greeting.CLOSE
        bed.reconcile({"gw": fake.url})
        for attempts in (1, 2, 3):
            await fake.wait_until(lambda attempts=attempts: fake.connects >= attempts)  # type: ignore[misc]
            await bed.echo(handle, attempts)
            assert link.shown_state == "ready"
        assert link.since == since
        assert link.last_error == "the peer closed the connection instead of upgrading to WebSocket"
        shown = await describe(link)
        assert (shown["janus_url"], shown["serving_url"]) == (fake.url, janus.url)
        assert f"; retrying; {janus.url} serves meanwhile" in caplog.text
        assert bed.names() == ["connected"]
        assert link.reconnects == 0
        # And back: nothing had to be opened for that.
        connects = len(bed.connects)
        bed.reconcile({"gw": janus.url})
        await bed.until(lambda: phase(link) is Phase.READY)
        await bed.echo(handle)
        assert len(bed.connects) == connects
        assert "serving_url" not in await describe(link)


async def test_url_that_upgrades_but_never_answers_holds_nobody_up(janus: Janus) -> None:
    async with open_fake_janus() as fake, running(LinkBed(settings=QUICK), {"gw": janus.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()
        fake.script["info"] = lambda request: SILENCE
        bed.reconcile({"gw": fake.url})
        await fake.wait_request("info")
        assert phase(link) is Phase.REJOINING
        await bed.echo(handle)
        assert link.shown_state == "ready"


async def test_refused_claims_lead_back_to_the_old_connection(janus: Janus) -> None:
    """403 on a claim means nothing: the session is still the old connection's."""
    async with open_fake_janus() as fake, running(LinkBed(settings=QUICK), {"gw": janus.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()
        fake.script["claim"] = lambda request: [error(request, 403, "Unauthorized request")]
        bed.reconcile({"gw": fake.url})
        await fake.wait_request("claim", 2)  # it goes on trying
        await bed.echo(handle)
        assert link.last_error == "Janus refused to hand over a session: 403 Unauthorized request"
        assert bed.names() == ["connected"]


async def test_claims_without_an_answer_lead_back_with_what_waited(janus: Janus) -> None:
    async with open_fake_janus() as fake, running(LinkBed(settings=QUICK), {"gw": janus.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()
        fake.script["claim"] = lambda request: SILENCE
        bed.reconcile({"gw": fake.url})
        await fake.wait_request("claim")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bed.echo, handle)  # the session is still the old connection's
            await bed.echo(handle)
            assert link.shown_state == "ready"
            await fake.peer.drop()
        await bed.until(lambda: link.last_error is not None)
        await bed.echo(handle)
        assert bed.names() == ["connected"]


async def test_old_connection_that_ends_while_claims_are_out_is_a_lost_connection(janus_factory: Factory) -> None:
    server = janus_factory(reclaim_session_timeout=30)
    async with (
        open_relay(server.port) as old,
        open_relay(server.port) as new,
        running(LinkBed(settings=QUICK), {"gw": old.url}) as bed,
    ):
        link = await bed.ready()
        handle = await bed.attach()
        new.delay = 0.3
        errors: list[BaseException] = []

        async def ask(body: dict[str, Any]) -> None:
            with pytest.raises((LinkDown, TransactionLost)) as caught:
                await bed.message(handle, body)
            errors.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, {"do": "mute"})
            await bed.until(lambda: link.requests.in_flight == 1)
            bed.reconcile({"gw": new.url})
            await bed.until(lambda: phase(link) is Phase.REJOINING)
            new.black_hole()
            nursery.start_soon(ask, {"do": "mute"})
            await bed.until(lambda: link.requests.in_flight == 2)
            await old.cut()
            new.delay = 0
            new.resume()
        assert [type(exc).__name__ for exc in errors] == ["TransactionLost"] * 2
        await bed.ready()
        await bed.echo(handle)
        assert bed.names() == ["connected", "disconnected", "connected"]


# What is on its way


async def test_event_of_an_acknowledged_command_arrives_on_the_new_connection(
    janus: Janus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long after the old connection was read for the last time: the event follows its session."""
    monkeypatch.setattr(join, "RETIRE", 0.1)
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()
        old = link.connections[1]
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await bed.message(handle, {"do": "hold"}))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await bed.until(lambda: link.requests.in_flight == 1)
            await bed.echo(handle)  # is sent once the other was acknowledged
            link.reconnect()
            await old.ended.wait()
            assert answers == []
            await bed.message(handle, {"do": "release"})
        assert answers[0]["janus"] == "event"


async def test_nothing_is_lost_of_what_janus_had_queued_for_the_old_connection(
    janus: Janus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(join, "RETIRE", HANG_SECONDS)  # it is a lot for a busy machine
    async with open_relay(janus.port) as relay, running(LinkBed(), {"gw": relay.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()
        relay.black_hole(up=False)
        burst = {"janus": "message", "handle_id": handle, "body": {"do": "burst", "n": 900, "size": 20_000}}
        assert (await bed.ask_in_vain({**burst, "transaction": "t"})).data == "no answer"
        bed.reconcile({"gw": janus.url})
        await bed.until(lambda: link.reconnects == 1)
        relay.resume()
        # The late answer may be one of them, or have found nobody: its caller had gone.
        await bed.until(lambda: len([event for event in bed.events if "transaction" not in event]) >= 900)
        said = [event["plugindata"]["data"] for event in bed.events]
        assert sorted(data["i"] for data in said if "i" in data) == list(range(900))


async def test_session_that_is_made_while_the_others_move_is_claimed_too() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()
        requests = fake.hold("create")
        old = fake.peer
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bed.ask, {"janus": "create"})
            await fake.wait_request("create", 2)
            link.reconnect()
            await bed.until(lambda: link.reconnects == 1)
            await old.send(*fake.answer(requests[0]))
        client_session = next(session for session in link.book if not session.managed)
        await fake.wait_until(lambda: any(r.get("session_id") == client_session.session_id for r in fake.received))
        await bed.until(lambda: phase(link) is Phase.READY)
        with trio.fail_after(HANG_SECONDS):
            await old.closed.wait()
        assert client_session.live
        assert {r["session_id"] for r in fake.received if r["janus"] == "claim"} >= {client_session.session_id}


# Why


async def test_the_log_says_why_a_connection_is_left(janus: Janus, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "bridge.link")
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        link = await bed.ready()
        link.reconnect()
        await bed.until(lambda: link.reconnects == 1)
        link.retarget(link.gateway, Credentials())
        await bed.until(lambda: link.reconnects == 2)
        bed.reconcile({"gw": f"{janus.url}?other"})
        await bed.until(lambda: link.reconnects == 3)
    assert [line for line in caplog.messages if "leaving" in line] == [
        f"gw: leaving the connection for a new one: {why}"
        for why in ("janus_reconnect", "its secrets or TLS files changed", "the URL in its row changed")
    ]
