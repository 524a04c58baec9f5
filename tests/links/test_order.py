"""Commands of one handle are executed in the order in which they came; handles never wait for each other (5.4).

Janus runs plugin messages on a pool of threads: what is pipelined on one handle is executed and answered out of order,
and a detach overtakes a message. The tests on the real Janus fail where commands are sent as they come.
"""

from collections.abc import Iterable
from typing import Any

import trio

from bridge.core.environment import LinkSettings
from bridge.protocol.command import read_command
from tests.support.deadlines import HANG_SECONDS
from tests.support.fake_janus import SILENCE, open_fake_janus
from tests.support.janus import Janus
from tests.support.linkbed import LinkBed, running

VIDEOROOM, ECHOTEST = "janus.plugin.videoroom", "janus.plugin.echotest"
MANY = LinkSettings(max_in_flight=10_000)


async def at_once(bed: LinkBed, commands: Iterable[dict[str, Any]]) -> tuple[list[int], list[int], list[Any]]:
    """Send all without waiting: in which order they were accepted, in which answered, and the answers."""
    accepted: list[int] = []
    answered: list[int] = []
    answers: dict[int, Any] = {}

    async def ask(n: int, command: dict[str, Any]) -> None:
        accepted.append(n)
        answers[n] = await bed.ask(command, HANG_SECONDS)
        answered.append(n)

    async with trio.open_nursery() as nursery:
        for n, command in enumerate(commands):
            nursery.start_soon(ask, n, command)
    return accepted, answered, [answers[n] for n in sorted(answers)]


async def test_messages_of_one_handle_are_executed_in_their_order(janus: Janus) -> None:
    async with running(LinkBed(settings=MANY), {"gw": janus.url}) as bed:
        await bed.ready()
        handle = await bed.attach(VIDEOROOM)
        exists = {"janus": "message", "handle_id": handle, "body": {"request": "exists", "room": 1}}
        accepted, answered, answers = await at_once(bed, [dict(exists) for _ in range(1500)])
        assert {answer["janus"] for answer in answers} == {"success"}
        assert answered == accepted


async def test_asynchronous_messages_of_one_handle_are_executed_in_their_order(janus: Janus) -> None:
    """As notifications: their events are kept in the order in which they arrive."""
    async with running(LinkBed(settings=MANY), {"gw": janus.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach(ECHOTEST)
        sent = [str(n) for n in range(800)]
        for transaction in sent:
            audio = {"janus": "message", "handle_id": handle, "body": {"audio": True}, "transaction": transaction}
            link.requests.post(read_command(audio), HANG_SECONDS)
        await bed.until(lambda: len(bed.events) == len(sent))
        assert [event["transaction"] for event in bed.events] == sent


async def test_detach_does_not_overtake_a_message(janus: Janus) -> None:
    async with running(LinkBed(settings=MANY), {"gw": janus.url}) as bed:
        link = await bed.ready()
        handles = [await bed.attach(VIDEOROOM) for _ in range(300)]
        answers: list[Any] = []

        async def ask(command: dict[str, Any]) -> None:
            answers.append(await bed.ask(command, HANG_SECONDS))

        async with trio.open_nursery() as nursery:
            for handle in handles:
                message = {"janus": "message", "handle_id": handle, "body": {"request": "exists", "room": 1}}
                link.requests.post(read_command(message), 20)  # accepted at once; an error would be an event
                nursery.start_soon(ask, {"janus": "detach", "handle_id": handle})
        assert bed.stats.get("notifications_done") == len(handles)
        assert [event for event in bed.events if event["janus"] != "detached"] == []
        assert [answer for answer in answers if answer["janus"] != "success"] == []
        assert link.book.managed.handles == {}


async def test_handles_do_not_wait_for_each_other() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()
        fake.script["message"] = lambda request: SILENCE if request["handle_id"] == 7 else fake.answer(request)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bed.ask, {"janus": "message", "handle_id": 7, "body": {}})
            await bed.until(lambda: link.requests.in_flight == 1)
            assert (await bed.ask({"janus": "message", "handle_id": 8, "body": {}}))["janus"] == "success"
            assert (await bed.ask({"janus": "attach", "plugin": "p"}))["janus"] == "success"
            nursery.cancel_scope.cancel()


async def test_destroy_waits_for_what_its_session_has_in_flight() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()
        client_session = (await bed.ask({"janus": "create"}))["data"]["id"]
        held = fake.hold("message")
        message = {"janus": "message", "session_id": client_session, "handle_id": 7, "body": {}}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bed.ask, message)
            await bed.until(lambda: held)
            nursery.start_soon(bed.ask, {"janus": "destroy", "session_id": client_session})
            await bed.until(lambda: link.requests.in_flight == 2)
            await bed.ask({"janus": "ping"})  # sent after it, answered before it
            assert "destroy" not in [request["janus"] for request in fake.received]
            await fake.push(*fake.answer(held[0]))
        assert [session.session_id for session in link.book] == [link.book.managed.session_id]
        # Its id is remembered: what comes now is sent as it is, and Janus says that it is over.
        assert (await bed.ask({"janus": "keepalive", "session_id": client_session}))["error"]["code"] == 458
