"""Commands whose callers leave, and those that never had one to wait for them (contract 5.4, 6.3)."""

from typing import Any

import trio
import trio.testing

from bridge.core.link import JanusLink
from bridge.core.pending import AwaitedAnswer
from bridge.errors import BridgeError, LinkDown
from bridge.protocol.command import read_command
from tests.links.test_outcomes import message
from tests.support.deadlines import HANG_SECONDS
from tests.support.fake_janus import SILENCE, open_fake_janus
from tests.support.janus import Janus
from tests.support.linkbed import LATER, LinkBed, running


async def leave(bed: LinkBed, command: dict[str, Any], timeout: float = HANG_SECONDS) -> None:
    """Ask, and leave when the command is on its way."""
    link = bed.registry.find("gw")
    before = link.requests.in_flight
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bed.ask, command, timeout)
        await bed.until(lambda: link.requests.in_flight == before + 1)
        nursery.cancel_scope.cancel()


async def test_answer_to_a_caller_who_left_is_an_event(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()
        await leave(bed, message(handle, {"do": "hold"}, transaction="gone"))
        assert link.requests.in_flight == 1
        await bed.message(handle, {"do": "release"})  # sent when Janus has acknowledged the first
        await bed.until(lambda: link.requests.in_flight == 0)
        assert [event["transaction"] for event in bed.events] == ["gone"]


async def test_queued_command_whose_caller_left_is_never_sent() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()
        held = fake.hold("message")
        await leave(bed, message(7, "first"))
        await fake.wait_request("message")
        await leave(bed, message(7, "second"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bed.ask, message(7, "third"))
            await bed.until(lambda: link.requests.in_flight == 2)
            # The first one's caller left, but it keeps its lane: Janus would run what follows beside it.
            assert [request["body"] for request in held] == ["first"]
            del fake.script["message"]
            await fake.push(*fake.answer(held[0]))
        assert [request["body"] for request in fake.received if request["janus"] == "message"] == ["first", "third"]
        assert link.requests.in_flight == 0


async def test_lane_of_a_caller_who_left_is_free_at_its_time_limit() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        await bed.ready()
        fake.script["message"] = lambda request: SILENCE if request["body"] == "first" else fake.answer(request)
        await leave(bed, message(7, "first"), LATER)
        bed.time_out()
        answer = await bed.ask(message(7, "second"))
        assert answer["plugindata"]["data"]["echo"] == "second"


class AsksAgain:
    """A caller who asks again from within the answer, as one whose requests are pipelined."""

    def __init__(self, link: JanusLink) -> None:
        self.link = link
        self.again = AwaitedAnswer("again")
        self.in_flight: list[int] = []
        self.refusals: list[BridgeError] = []

    def succeed(self, result: dict[str, Any]) -> None:
        self._ask_again()

    def fail(self, error: BridgeError) -> None:
        self._ask_again()

    def _ask_again(self) -> None:
        self.in_flight.append(self.link.requests.in_flight)
        try:
            self.link.request(read_command({"janus": "ping"}), LATER, self.again)
        except BridgeError as refusal:
            self.refusals.append(refusal)


async def test_who_asks_again_from_within_an_answer_is_served(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        caller = AsksAgain(await bed.ready())
        caller.link.request(read_command({"janus": "ping"}), LATER, caller)
        await caller.again.wait()
        assert caller.again.result()["janus"] == "pong"
        assert (caller.in_flight, caller.link.requests.in_flight) == ([0], 0)


async def test_who_asks_again_from_within_a_failure_finds_all_of_it_done() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        callers = [AsksAgain(await bed.ready()) for _ in range(2)]
        fake.script["message"] = lambda _: SILENCE
        for caller in callers:
            caller.link.request(read_command(message(7, {})), LATER, caller)
        await fake.wait_request("message")
        await fake.peer.drop()
        await bed.until(lambda: all(caller.in_flight for caller in callers))
        assert [caller.in_flight for caller in callers] == [[0], [0]]
        assert [[type(refusal) for refusal in caller.refusals] for caller in callers] == [[LinkDown], [LinkDown]]


async def test_who_leaves_after_a_failure_is_not_told() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()
        fake.script["message"] = lambda _: SILENCE
        reply = AwaitedAnswer("message")
        pending = link.request(read_command(message(7, {})), LATER, reply)
        bed.time_out()
        pending.abandon()
        await trio.testing.wait_all_tasks_blocked()
        assert not reply.finished


# Notifications (contract 6.3)


async def test_notification_is_heard_of_only_if_it_says_something(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()

        def post(body: Any, transaction: str) -> None:
            link.requests.post(read_command(message(handle, body, transaction=transaction)), 5.0)

        post({"n": 1}, "success is dropped")
        post({"do": "late"}, "event is an event")
        link.requests.post(read_command({"janus": "keepalive", "transaction": "ack is dropped"}), 5.0)
        post({"do": "err"}, "error is an event")
        await bed.until(lambda: link.requests.in_flight == 0)
        assert {event["transaction"] for event in bed.events} == {"event is an event", "error is an event"}
        assert bed.stats.get("notifications_done") == 2


async def test_notification_to_a_janus_that_keeps_silent_ends_at_its_limit() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()
        fake.script["message"] = lambda request: SILENCE
        link.requests.post(read_command(message(7, {})), LATER)
        bed.time_out()
        assert link.requests.in_flight == 0
        assert bed.events == []
