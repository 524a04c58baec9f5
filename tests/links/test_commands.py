"""Commands through a link to a real Janus: answers, acks, order, outcomes (contract 5.4 .. 5.7)."""

from typing import Any

import pytest
import trio

from bridge.errors import InvalidCommand
from tests.support.janus import Janus
from tests.support.linkbed import LinkBed, running

VIDEOROOM = "janus.plugin.videoroom"


async def test_seed_example_gets_its_own_transaction_back(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        await bed.ready()
        answer = await bed.ask(
            {"janus": "attach", "plugin": VIDEOROOM, "transaction": "abcdef123456", "session_id": 987654321}
        )
        assert answer["janus"] == "success"
        assert answer["transaction"] == "abcdef123456"
        assert isinstance(answer["data"]["id"], str)


async def test_answer_has_no_transaction_if_the_caller_sent_none(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        await bed.ready()
        assert await bed.ask({"janus": "ping"}) == {"janus": "pong"}


async def test_error_of_janus_is_an_answer_at_once(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        await bed.ready()
        answer = await bed.ask({"janus": "attach", "plugin": "no.such", "transaction": "t"})
        assert answer["janus"] == "error"
        assert answer["error"]["code"] == 460
        assert answer["transaction"] == "t"


async def test_asynchronous_message_is_answered_by_its_event(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        await bed.ready()
        handle = await bed.attach()
        message = {"janus": "message", "handle_id": handle, "body": {"do": "late", "ms": 20}, "transaction": "late"}
        answer = await bed.ask(message)
        assert answer["janus"] == "event"
        assert answer["transaction"] == "late"
        assert bed.events == []


async def test_unasked_message_is_an_event_with_wide_integers_as_strings(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        await bed.ready()
        handle = await bed.attach()
        await bed.ask({"janus": "message", "handle_id": handle, "body": {"do": "burst", "n": 3, "size": 1}})
        await bed.until(lambda: len(bed.events) == 3)
        assert [event["plugindata"]["data"]["i"] for event in bed.events] == [0, 1, 2]
        assert bed.events[0]["sender"] == handle
        assert "transaction" not in bed.events[0]


async def test_hundred_commands_in_flight_each_answer_to_its_caller(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        await bed.ready()
        handles = [await bed.attach() for _ in range(10)]
        answers: dict[int, Any] = {}

        async def ask(n: int) -> None:
            answers[n] = await bed.ask(
                {"janus": "message", "handle_id": handles[n % 10], "body": {"n": n}, "transaction": f"t{n}"}
            )

        async with trio.open_nursery() as nursery:
            for n in range(100):
                nursery.start_soon(ask, n)
        assert {n: answer["plugindata"]["data"]["echo"]["n"] for n, answer in answers.items()} == {
            n: n for n in range(100)
        }
        assert all(answer["transaction"] == f"t{n}" for n, answer in answers.items())


async def test_destroy_of_the_managed_session_is_refused(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        link = await bed.ready()
        managed = link.book.managed.session_id
        with pytest.raises(InvalidCommand, match="manages"):
            await bed.ask({"janus": "DESTROY", "session_id": str(managed)})
