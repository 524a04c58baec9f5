"""A gateway survives what happens to its Janus and to the network between (contract 5.3)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import trio

from bridge.core.environment import LinkSettings
from bridge.core.registry import LinkRegistry
from bridge.errors import LinkDown, TransactionLost
from bridge.protocol import codec
from bridge.protocol.codec import JsonObject
from bridge.protocol.credentials import Credentials
from bridge.protocol.gateway import Gateway
from tests.support.deadlines import HANG_SECONDS
from tests.support.janus import GEN, Janus
from tests.support.janus_client import AdminClient, JanusClient
from tests.support.linkbed import LinkBed, running
from tests.support.phases import Phase, phase
from tests.support.relay import open_relay

Factory = Callable[..., Janus]
QUICK = LinkSettings(ping_interval=1.0)


async def test_killed_and_restarted_janus_is_used_again(janus_factory: Factory) -> None:
    server = janus_factory()
    async with running(LinkBed(), {"gw": server.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()
        session = link.book.managed.session_id
        late = {"janus": "message", "handle_id": handle, "body": {"do": "late", "ms": 5000}}
        async with trio.open_nursery() as nursery:
            lost: list[BaseException] = []

            async def in_flight() -> None:
                with pytest.raises(TransactionLost) as caught:
                    await bed.ask(late)
                lost.append(caught.value)

            nursery.start_soon(in_flight)
            await bed.until(lambda: link.requests.in_flight == 1)
            server.kill()
        assert len(lost) == 1
        with pytest.raises(LinkDown):
            await bed.ask({"janus": "ping"})
        server.start()
        await bed.until(lambda: "session_lost" in bed.names())
        assert bed.names()[:3] == ["connected", "disconnected", "session_lost"]
        detail = bed.statuses[2][3]
        assert detail == {
            "session": str(session),
            "managed": True,
            "handles": [{"handle_id": handle, "plugin": GEN}],
        }
        await bed.ready()
        assert (await bed.ask({"janus": "ping"}))["janus"] == "pong"


async def test_claim_after_a_cut_keeps_handles(janus_factory: Factory) -> None:
    server = janus_factory(reclaim_session_timeout=30)
    async with open_relay(server.port) as relay, running(LinkBed(), {"gw": relay.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()
        await relay.cut()
        await bed.until(lambda: link.reconnects == 1)
        await bed.echo(handle)
        assert "session_lost" not in bed.names()


async def test_reset_connection_is_claimed_too(janus_factory: Factory) -> None:
    server = janus_factory(reclaim_session_timeout=30)
    async with open_relay(server.port) as relay, running(LinkBed(), {"gw": relay.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()
        await relay.reset()
        await bed.until(lambda: link.reconnects == 1)
        await bed.echo(handle)


async def test_frozen_janus_is_left_and_good_again_when_it_speaks(janus_factory: Factory) -> None:
    """Without reclaim: only because the old connection stays open do the handles survive."""
    server = janus_factory()
    async with running(LinkBed(settings=QUICK), {"gw": server.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()
        server.freeze()
        async with trio.open_nursery() as nursery:

            async def in_flight() -> None:
                with pytest.raises(TransactionLost):
                    await bed.ask({"janus": "message", "handle_id": handle, "body": {"n": 1}}, HANG_SECONDS)

            nursery.start_soon(in_flight)
            await bed.until(lambda: phase(link) is Phase.LEAVING)
        with pytest.raises(LinkDown, match="silent"):
            await bed.ask({"janus": "ping"})
        server.thaw()
        await bed.ready()
        await bed.echo(handle, 2)
        assert "session_lost" not in bed.names()


async def test_half_open_connection_is_replaced(janus_factory: Factory) -> None:
    """The network forgot the old connection: the new one claims while the old one is still open."""
    server = janus_factory()
    async with open_relay(server.port) as relay, running(LinkBed(settings=QUICK), {"gw": relay.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()
        relay.forget()
        await bed.until(lambda: link.reconnects == 1)
        await bed.echo(handle)
        assert "session_lost" not in bed.names()


async def test_reconnect_by_choice_keeps_handles_and_answers(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()
        answers: list[Any] = []

        async def ask(body: dict[str, Any]) -> None:
            answers.append(await bed.ask({"janus": "message", "handle_id": handle, "body": body}))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, {"do": "hold"})
            await bed.until(lambda: link.requests.in_flight == 1)
            link.reconnect()
            nursery.start_soon(ask, {"do": "release"})
        assert {answer["janus"] for answer in answers} == {"event", "success"}
        await bed.until(lambda: link.reconnects == 1)
        await bed.echo(handle, 3)
        assert bed.names() == ["connected"]


async def test_reconnect_that_fails_stays_on_the_old_connection(janus: Janus) -> None:
    async with open_relay(janus.port) as relay, running(LinkBed(), {"gw": relay.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()
        await relay.refuse()
        link.reconnect()
        await bed.until(lambda: link.last_error is not None)
        await bed.echo(handle)
        assert link.shown_state == "ready"
        assert link.last_error is not None
        assert "refused" in link.last_error


async def test_session_destroyed_from_outside_is_made_anew_on_the_same_connection(janus_factory: Factory) -> None:
    server = janus_factory()
    async with running(LinkBed(settings=QUICK), {"gw": server.url}) as bed, AdminClient.open(server) as admin:
        link = await bed.ready()
        await bed.attach()
        old = link.book.managed.session_id
        assert old is not None
        await admin.destroy_session(old)
        await bed.until(lambda: "session_lost" in bed.names())
        await bed.ready()
        assert link.book.managed.session_id not in (None, old)
        assert len(bed.connects) == 1


async def test_session_timed_out_by_janus_is_made_anew(janus_factory: Factory) -> None:
    server = janus_factory()
    settings = LinkSettings(ping_interval=20.0)
    async with running(LinkBed(settings=settings), {"gw": server.url}) as bed, AdminClient.open(server) as admin:
        link = await bed.ready()
        old = link.book.managed.session_id
        await admin.set_session_timeout(1, old)
        await bed.until(lambda: "session_lost" in bed.names())
        await bed.ready()
        assert [event["janus"] for event in bed.events] == ["timeout"]
        assert len(bed.connects) == 1


async def test_refused_create_is_asked_again_on_the_same_connection(janus_factory: Factory) -> None:
    server = janus_factory()
    async with AdminClient.open(server) as admin:
        await admin.accept_new_sessions(False)
        async with running(LinkBed(), {"gw": server.url}) as bed:
            link = bed.registry.find("gw")
            await bed.until(lambda: link.shown_state == "backoff")
            assert link.last_error is not None
            assert "472" in link.last_error
            await admin.accept_new_sessions(True)
            await bed.ready()
            assert len(bed.connects) == 1


async def test_next_process_claims_what_the_last_one_had(janus_factory: Factory) -> None:
    server = janus_factory(reclaim_session_timeout=30)
    first = LinkBed(start="one")
    async with running(first, {"gw": server.url}):
        link = await first.ready()
        session = link.book.managed.session_id
        handle = await first.attach()
        client_session = (await first.ask({"janus": "create"}))["data"]["id"]
        other = await first.attach(session_id=client_session)
    second = LinkBed(start="two", saved=first.saved)
    async with running(second, {"gw": server.url}):
        link = await second.ready()
        assert link.book.managed.session_id == session
        await second.echo(handle)
        answer = await second.ask({"janus": "message", "session_id": client_session, "handle_id": other, "body": {}})
        assert answer["janus"] == "success"
        assert second.names() == ["connected"]


async def test_late_answer_of_the_last_process_still_has_its_callers_transaction(janus_factory: Factory) -> None:
    server = janus_factory(reclaim_session_timeout=30)
    first = LinkBed(start="one")
    async with running(first, {"gw": server.url}):
        await first.ready()
        handle = await first.attach()
        message = {"janus": "message", "handle_id": handle, "transaction": "call 7", "body": {"do": "hold"}}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.ask, message)
            await first.echo(handle)  # is sent once the other was acknowledged
            nursery.cancel_scope.cancel()
    second = LinkBed(start="two", saved=first.saved)
    async with running(second, {"gw": server.url}):
        await second.ready()
        await second.message(handle, {"do": "release"})
        await second.until(lambda: second.events)
        assert second.events[0]["transaction"] == "call 7"


async def test_client_session_lost_is_reported_alone(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed, JanusClient.open(janus.url) as outsider:
        link = await bed.ready()
        client_session = (await bed.ask({"janus": "create"}))["data"]["id"]
        handle = await bed.attach(session_id=client_session)
        await outsider.destroy(int(client_session))
        answer = await bed.ask({"janus": "message", "session_id": client_session, "handle_id": handle, "body": {}})
        assert answer["error"]["code"] == 458
        await bed.until(lambda: "session_lost" in bed.names())
        assert bed.statuses[-1][3]["session"] == client_session
        assert bed.statuses[-1][3]["managed"] is False
        assert link.shown_state == "ready"
        # It is over, and stays so: its id is sent as it is, never replaced by the managed one.
        assert (await bed.ask({"janus": "keepalive", "session_id": client_session}))["error"]["code"] == 458


async def test_fault_of_the_bridge_in_one_link_is_logged_and_lived_through(
    janus_factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    """The link starts anew and claims; the other one, on the same Janus, notices nothing."""
    server = janus_factory(reclaim_session_timeout=30)
    bed = LinkBed()
    broken = True

    def on_event(gateway: Gateway, body: str, members: JsonObject) -> None:
        if broken:
            raise RuntimeError("a fault of the bridge")
        bed.events.append(codec.parse(body))

    bed.environment = replace(bed.environment, raise_event=on_event)
    bed.registry = LinkRegistry(bed.environment, lambda janus_id: Credentials(), lambda gateway: ())
    async with running(bed, {"gw": server.url, "other": server.url}):
        link, other = await bed.ready(), await bed.ready("other")
        handle, session = await bed.attach(), link.book.managed.session_id
        with pytest.raises(TransactionLost):
            await bed.message(handle, {"do": "burst", "n": 1})
        broken = False
        await bed.until(lambda: link.shown_state != "ready")
        await bed.ready()
        assert link.book.managed.session_id == session
        await bed.echo(handle)
        assert [status for janus_id, status, *_ in bed.statuses if janus_id == "other"] == ["connected"]
        assert (other.reconnects, len(other.book)) == (0, 1)
        assert "gateway gw failed; restarting" in caplog.text
        assert "a fault of the bridge" in caplog.text
