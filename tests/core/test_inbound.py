"""What a Janus says out of turn, too late, or not as it should, and what the link makes of it."""

import json

import pytest
import trio
from trio.testing import MockClock

from bridge.core import late_answers
from bridge.core.environment import LinkSettings
from bridge.errors import TransactionTimeout
from tests.support.fake_janus import SILENCE, FakeJanus, Message, Reply, error, open_fake_janus, reply
from tests.support.linkbed import LinkBed, running
from tests.support.phases import Phase, phase
from tests.support.ticking_janus import TickingJanus, ticking_bed


async def test_create_without_an_id_is_an_answer_and_no_session() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()
        for data in ({}, {"data": 5}, {"data": {"id": "x"}}, {"data": {"id": True}}):
            fake.script["create"] = lambda request, data=data: [reply(request, "success", **data)]  # type: ignore[misc]
            assert await bed.ask({"janus": "create", "transaction": "t"}) == {
                "janus": "success",
                "transaction": "t",
                **data,
            }
        assert len(link.book) == 1


async def test_session_that_timed_out_while_it_was_destroyed_is_over_once() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()
        client_session = (await bed.ask({"janus": "create"}))["data"]["id"]
        assert len(link.book) == 2

        def destroy(request: Message) -> list[Reply]:
            return [{"janus": "timeout", "session_id": client_session}, reply(request, "success")]

        fake.script["destroy"] = destroy
        assert (await bed.ask({"janus": "destroy", "session_id": client_session}))["janus"] == "success"
        assert bed.names() == ["connected", "session_lost"]
        assert len(link.book) == 1
        assert phase(link) is Phase.READY


async def test_session_that_timed_out_while_it_was_claimed_is_made_anew() -> None:
    """The event is faster than the answer, which then says nothing new, whatever it is."""
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()
        before = link.book.managed.session_id

        def claim(request: Message) -> list[Reply]:
            assert request["session_id"] == before
            return [{"janus": "timeout", "session_id": before}, reply(request, "success")]

        fake.script["claim"] = claim
        link.reconnect()
        await bed.until(lambda: link.reconnects == 1 and link.shown_state == "ready")
        assert link.book.managed.session_id not in (None, before)
        assert bed.names().count("session_lost") == 1


async def test_command_while_claims_are_out_goes_where_its_session_is() -> None:
    """Nothing is held. The new connection knows no session and makes none: the old one serves on."""
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()
        fake.script["claim"] = lambda request: SILENCE
        fake.script["create"] = lambda request: [error(request, 472, "Not accepting new sessions")]
        link.reconnect()
        claim = await fake.wait_request("claim")
        assert link.shown_state == "ready"
        await bed.attach("janus.plugin.fake")
        await fake.push(error(claim, 458, "No such session"))
        await bed.until(lambda: link.last_error is not None)
        assert link.shown_state == "ready"
        await bed.attach("janus.plugin.fake")
        assert link.last_error == "Janus refused to create a session: 472 Not accepting new sessions"
        assert bed.names() == ["connected"]


@pytest.mark.parametrize("handled", [1, 2, 3])
async def test_late_answers_are_understood_up_to_a_limit(handled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attach whose caller had a time-out: its handle is known all the same, unless too many came after it."""
    monkeypatch.setattr(late_answers, "MOST", handled)
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()
        fake.script["attach"] = lambda request: SILENCE
        for _ in range(3):
            with pytest.raises(TransactionTimeout):
                await bed.ask({"janus": "attach", "plugin": "p", "transaction": "t"}, 0.01)
        asked = [await fake.wait_request("attach", number) for number in (1, 2, 3)]
        await fake.push(*(reply(request, "success", data={"id": n}) for n, request in enumerate(asked, 1)))
        await bed.until(lambda: len(bed.events) == 3)
        assert list(link.book.managed.handles) == [1, 2, 3][-handled:]
        assert [event["transaction"] for event in bed.events] == ["t"] * 3  # each is an event, with its own name
        await fake.push(*(reply(request, "success", data={"id": 9}) for request in asked))
        await bed.until(lambda: len(bed.events) == 6)
        assert 9 not in link.book.managed.handles  # known once


class SuccessToKeepalives(TickingJanus):
    def execute(self, request: Message) -> Message:
        answer = super().execute(request)
        return {**answer, "janus": "success"} if request["janus"] == "keepalive" else answer


async def test_keepalive_that_is_answered_oddly_says_only_that_janus_lives(autojump_clock: MockClock) -> None:
    janus = SuccessToKeepalives()
    async with running(ticking_bed(janus, settings=LinkSettings(ping_interval=10)), {"gw": "ws://model"}) as bed:
        link = await bed.ready()
        await trio.sleep(100)
        assert len(janus.times("keepalive")) >= 9
        assert phase(link) is Phase.READY
        assert link.rtt is None
        assert bed.events == []
        assert bed.names() == ["connected"]
        assert link.last_error is None


async def test_nothing_asked_and_no_session_of_ours_changes_nothing() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()
        await fake.push(
            {"janus": "timeout", "session_id": 5},
            {"janus": "ack", "session_id": 5, "transaction": "stranger"},
            {"janus": "detached", "session_id": link.book.managed.session_id, "sender": 77},
            {"janus": "success", "transaction": "jb.test.own.5.1"},
        )
        await bed.until(lambda: len(bed.events) >= 2)
        assert [event["janus"] for event in bed.events][:2] == ["timeout", "detached"]
        assert bed.names() == ["connected"]
        assert phase(link) is Phase.READY
        await _still_answers(bed, fake)


async def _still_answers(bed: LinkBed, fake: FakeJanus) -> None:
    assert (await bed.ask({"janus": "attach", "plugin": "p"}))["janus"] == "success"
    assert fake.connects == 1


@pytest.mark.parametrize("session", ["9" * 5000, "\u0661", "%D9%A1", "-1", ""])
async def test_transaction_of_a_keepalive_that_names_no_session_says_nothing(
    session: str, autojump_clock: MockClock
) -> None:
    janus = TickingJanus()
    async with running(ticking_bed(janus), {"gw": "ws://memory"}) as bed:
        link = await bed.ready()
        for said in ({"janus": "ack"}, {"janus": "error", "error": {"code": 458}}):
            janus.sockets[-1].say(json.dumps({**said, "transaction": f"jb.test.1.o.={session}"}))
        assert (await bed.ask({"janus": "attach", "plugin": "p"}))["janus"] == "success"
        assert link.reconnects == 0
        assert bed.names() == ["connected"]


async def test_transaction_of_another_start_says_nothing_of_sessions(autojump_clock: MockClock) -> None:
    janus = TickingJanus()
    async with running(ticking_bed(janus), {"gw": "ws://memory"}) as bed:
        link = await bed.ready()
        session = link.book.managed.session_id
        refused = {"janus": "error", "error": {"code": 458}, "transaction": f"jb.other.1.o.={session}"}
        janus.sockets[-1].say(json.dumps(refused))
        assert (await bed.ask({"janus": "attach", "plugin": "p"}))["janus"] == "success"
        assert link.book.managed.session_id == session
        assert bed.names() == ["connected"]
