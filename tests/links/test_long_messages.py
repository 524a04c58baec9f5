"""Messages of many elements: read in order, apart from everybody else's, or refused with their reason."""

import json
from typing import Any

import pytest
import trio

from bridge.core import long_messages
from bridge.errors import TransactionLost
from bridge.protocol.codec import MAX_ELEMENTS
from tests.support.fake_janus import Message, Reply, open_fake_janus, reply
from tests.support.frames import TEXT, frame
from tests.support.linkbed import LinkBed, running

WIDE = 2**40


def event(number: int, elements: int) -> Message:
    return {"janus": "event", "session_id": 1, "number": number, "many": [WIDE] * elements}


async def test_order_is_kept_where_one_is_read_in_a_thread() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        await bed.ready()
        for number, elements in enumerate((0, 20_000, 1, 30_000, 0, 0, 5_000)):
            await fake.push(event(number, elements))
        await bed.until(lambda: len(bed.events) == 7)
        assert [said["number"] for said in bed.events] == list(range(7))
        assert [len(said["many"]) for said in bed.events] == [0, 20_000, 1, 30_000, 0, 0, 5_000]
        assert set(bed.events[1]["many"]) == {str(WIDE)}


async def test_a_long_answer_has_its_callers_transaction_and_wide_integers_as_strings() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        await bed.ready()
        fake.script["attach"] = lambda request: [reply(request, "success", data={"id": 5}, many=[WIDE] * 9_000)]
        answer = await bed.ask({"janus": "attach", "plugin": "p", "transaction": "mine"})
        assert (answer["transaction"], answer["many"][-1]) == ("mine", str(WIDE))
        answer = await bed.ask({"janus": "attach", "plugin": "p"})
        assert "transaction" not in answer
        assert 5 in next(iter(bed.registry.find("gw").book)).handles


@pytest.mark.parametrize("unit", ["0", "[]", "{}", '""', "1.5"])
async def test_what_has_too_many_elements_is_dropped_and_its_caller_told(
    unit: str, caplog: pytest.LogCaptureFixture
) -> None:
    many = "[" + f"{unit}," * MAX_ELEMENTS + "0]"

    def answer(request: Message) -> list[Reply]:
        head = json.dumps({"janus": "success", "transaction": request["transaction"]})
        return [frame(TEXT, f'{head[:-1]},"many":{many}}}'.encode())]

    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        await bed.ready()
        fake.script["ping"] = answer
        with pytest.raises(TransactionLost, match="Janus answer too large"):
            await bed.ask({"janus": "ping"})
        assert bed.stats.get("oversized") == 1
        assert "has more than 100000 elements; dropped" in caplog.text
        assert fake.connects == 1


async def test_nothing_waits_for_what_another_gateways_reader_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long message that is never done with: its own gateway's next ones wait, nobody else does."""
    reading, go_on = trio.Event(), trio.Event()

    async def stuck(*args: Any, **kwargs: Any) -> Any:
        reading.set()
        await go_on.wait()
        return long_messages.prepare(*args)

    async with (
        open_fake_janus() as slow,
        open_fake_janus() as good,
        running(LinkBed(), {"slow": slow.url, "good": good.url}) as bed,
    ):
        await bed.ready("slow")
        await bed.ready("good")
        monkeypatch.setattr(trio.to_thread, "run_sync", lambda _f, *args, **_: stuck(*args))
        await slow.push(event(1, 20_000))
        await reading.wait()
        connection = bed.registry.find("slow").connections[1]
        assert connection is not None
        began = trio.current_time()
        assert connection.last_received >= began, "while it is being read, Janus is not silent"
        assert (await bed.ask({"janus": "ping"}, janus_id="good"))["janus"] == "pong"
        go_on.set()
        await bed.until(lambda: len(bed.events) == 1)
