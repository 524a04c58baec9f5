"""How commands end (contract 5.4, 5.5): not sent, lost, timed out, answered late, twice, or by nobody who asked."""

from collections.abc import Awaitable, Iterable
from typing import Any

import trio
import trio.testing

from bridge.core.environment import LinkSettings
from bridge.errors import BridgeError, LinkDown, TooManyInFlight, TransactionLost, TransactionTimeout
from tests.faults.links import error_of, in_flight
from tests.support.fake_janus import SILENCE, FakeJanus, Message, Reply, open_fake_janus, reply
from tests.support.janus import Janus
from tests.support.linkbed import LATER, LinkBed, running
from tests.support.ports import free_port

PING = {"janus": "ping"}


def message(handle: Any, body: Any, **members: Any) -> dict[str, Any]:
    return {"janus": "message", "handle_id": handle, "body": body, **members}


async def errors_of(*commands: Awaitable[object]) -> list[BridgeError]:
    """What commands that run at the same time, begun in this order, end in."""
    errors: dict[int, BridgeError] = {}

    async def run(n: int, command: Awaitable[object]) -> None:
        errors[n] = await error_of(command)

    async with trio.open_nursery() as nursery:
        for n, command in enumerate(commands):
            nursery.start_soon(run, n, command)
            await trio.testing.wait_all_tasks_blocked()
    return [errors[n] for n in range(len(commands))]


# Nothing was sent


async def test_gateway_that_is_not_connected_says_why_at_once() -> None:
    async with running(LinkBed(), {"gw": f"ws://127.0.0.1:{free_port()}"}) as bed:
        link = bed.registry.find("gw")
        await bed.until(lambda: link.last_error is not None)
        error = await error_of(bed.ask(PING))
        assert isinstance(error, LinkDown)
        assert error.data is not None
        assert "connection refused" in error.data
        assert bed.stats.get("commands_unsent") == 1
        assert bed.stats.get("commands") == 0


async def test_disabled_row_answers_with_its_fault() -> None:
    async with running(LinkBed(), {"gw": "http://127.0.0.1/"}) as bed:
        error = await error_of(bed.ask(PING))
        assert isinstance(error, LinkDown)
        assert error.data is not None
        assert "scheme 'http'" in error.data
        assert bed.registry.find("gw").shown_state == "disabled"


async def test_more_commands_than_allowed_are_refused_unsent(janus: Janus) -> None:
    bed = LinkBed(settings=LinkSettings(max_in_flight=2))
    async with running(bed, {"gw": janus.url}):
        await bed.ready()
        handle = await bed.attach()
        link = bed.registry.find("gw")
        async with in_flight(bed, *(bed.ask(message(handle, {"do": "mute"}), LATER) for _ in range(2))) as errors:
            assert link.requests.in_flight == 2
            assert isinstance(await error_of(bed.ask(PING)), TooManyInFlight)
            bed.time_out()
        assert [type(error) for error in errors] == [TransactionTimeout] * 2
        assert (await bed.ask(PING))["janus"] == "pong"


# Lost


async def test_connection_lost_tells_what_was_sent_from_what_waited() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        await bed.ready()
        fake.script["message"] = lambda request: SILENCE
        asked = [bed.ask(message(7, {"n": n})) for n in (1, 2)]
        errors: list[BridgeError] = []
        async with trio.open_nursery() as nursery:

            async def collect() -> None:
                errors.extend(await errors_of(*asked))

            nursery.start_soon(collect)
            await fake.wait_request("message")
            await bed.until(lambda: bed.registry.find("gw").requests.in_flight == 2)
            await fake.peer.drop()
        assert [type(error) for error in errors] == [TransactionLost, LinkDown]
        await bed.ready()
        assert [request["body"] for request in fake.received if request["janus"] == "message"] == [{"n": 1}]


# Timed out


async def test_time_out_says_how_far_the_command_came(janus: Janus) -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": janus.url, "fake": fake.url}) as bed:
        await bed.ready()
        await bed.ready("fake")
        fake.script["message"] = lambda request: SILENCE
        handle = await bed.attach()
        async with in_flight(bed, bed.ask(message(handle, {"do": "mute"}), LATER)) as acknowledged:
            await bed.echo(handle)  # is sent once the other was acknowledged
            bed.time_out()
        asked = [bed.ask(message(7, {"n": n}), LATER, "fake") for n in (1, 2)]
        async with in_flight(bed, *asked, janus_id="fake") as errors:
            await fake.wait_request("message")
            bed.time_out()
        errors += acknowledged
        assert [type(error) for error in errors] == [TransactionTimeout] * 3
        assert sorted(str(error.data) for error in errors) == ["acknowledged, no event came", "no answer", "not sent"]
        assert bed.stats.get("commands_timeout") == 3
        assert len([request for request in fake.received if request["janus"] == "message"]) == 1


async def test_answer_after_the_time_limit_becomes_an_event(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        await bed.ready()
        handle = await bed.attach()
        late = message(handle, {"do": "hold"}, transaction="call 7")
        assert isinstance(await bed.ask_in_vain(late), TransactionTimeout)
        await bed.until(lambda: not bed.registry.find("gw").requests.in_flight)
        while not bed.events:
            await bed.message(handle, {"do": "release"})
        await bed.until(lambda: bed.events)
        assert bed.events[0]["transaction"] == "call 7"
        assert bed.events[0]["janus"] == "event"


async def test_further_events_of_one_transaction_are_events(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        await bed.ready()
        handle = await bed.attach()
        answer = await bed.ask(message(handle, {"do": "many", "n": 3}, transaction="call 8"))
        assert answer["plugindata"]["data"]["i"] == 0
        await bed.until(lambda: len(bed.events) == 2)
        assert [(event["transaction"], event["plugindata"]["data"]["i"]) for event in bed.events] == [
            ("call 8", 1),
            ("call 8", 2),
        ]


# Out of the ordinary


def event_before_ack(request: Message) -> Iterable[Reply]:
    return [reply(request, "event", sender=request["handle_id"], plugindata={}), reply(request, "ack")]


async def test_event_that_is_faster_than_its_ack_is_the_answer() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        await bed.ready()
        fake.script["message"] = event_before_ack
        for _ in range(2):  # the late ack does not let anybody else's turn go
            assert (await bed.ask(message(7, {})))["janus"] == "event"
        assert bed.events == []


async def test_second_answer_is_an_event_and_changes_nothing() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()

        def twice(request: Message) -> Iterable[Reply]:
            return [reply(request, "success", data={"id": n}) for n in (11, 12)]

        fake.script["create"] = twice
        answer = await bed.ask({"janus": "create", "transaction": "mine"})
        assert answer["data"]["id"] == 11
        await bed.until(lambda: bed.events)
        assert bed.events == [{"janus": "success", "transaction": "mine", "data": {"id": 12}}]
        assert [session.session_id for session in link.book][1:] == [11]


async def test_answers_that_nobody_asked_for_fill_nothing() -> None:
    """A Janus gone mad must not make the bridge keep, claim and save sessions without end."""
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()
        await bed.ask(PING)
        transaction = fake.received[-1]["transaction"]
        for kind in "cladmxo":
            forged = transaction.replace(".x.", f".{kind}.")
            await fake.push({"janus": "success", "transaction": forged, "session_id": 1, "data": {"id": 99}})
        await fake.push({"janus": "timeout", "session_id": 1}, {"janus": "detached", "session_id": 1, "sender": 2})
        await bed.until(lambda: [event["janus"] for event in bed.events][-1:] == ["detached"])
        assert len(link.book) == 1
        assert link.shown_state == "ready"


async def test_session_that_was_created_too_late_for_its_caller_is_kept() -> None:
    """Nobody got its id in time, but it is there: the event that tells of it may be acted upon."""
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()
        requests = fake.hold("create")
        assert isinstance(await bed.ask_in_vain({"janus": "create"}), TransactionTimeout)
        await bed.until(lambda: requests)
        await fake.push(*fake.answer(requests[0]))
        await bed.until(lambda: len(link.book) == 2)
        assert bed.events == [{"janus": "success", "data": {"id": 1_000_002}}]


async def test_forged_answer_does_not_reach_another_gateways_caller() -> None:
    async with open_fake_janus() as good, open_fake_janus() as evil:
        bed = LinkBed()
        async with running(bed, {"gw": good.url, "evil": evil.url}):
            await bed.ready()
            await bed.ready("evil")
            good.script["message"] = lambda request: SILENCE
            async with trio.open_nursery() as nursery:

                async def ask() -> None:
                    assert isinstance(await error_of(bed.ask(message(7, {}), LATER)), TransactionTimeout)

                nursery.start_soon(ask)
                await _forge(good, evil)
                await bed.until(lambda: len(bed.events) == 1)  # it is an event of the gateway that said it
                bed.time_out()


async def _forge(good: FakeJanus, evil: FakeJanus) -> None:
    request = await good.wait_request("message")
    await evil.push(reply(request, "event", plugindata={}))
