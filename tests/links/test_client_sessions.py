"""Sessions that callers make live like the managed one (contract 5.7)."""

import pytest

from bridge.core.environment import LinkSettings
from bridge.errors import InvalidCommand
from tests.support.fake_janus import FakeJanus, open_fake_janus
from tests.support.janus import GEN, Janus
from tests.support.janus_client import JanusClient
from tests.support.linkbed import LinkBed, running

QUICK = LinkSettings(ping_interval=1.0)


def asked(fake: FakeJanus, verb: str) -> set[int]:
    """The sessions that were named in requests with this verb."""
    return {request["session_id"] for request in fake.received if request["janus"] == verb}


async def test_client_sessions_are_kept_alive_and_claimed_until_they_are_destroyed() -> None:
    async with open_fake_janus() as fake, running(LinkBed(settings=QUICK), {"gw": fake.url}) as bed:
        link = await bed.ready()
        managed = link.book.managed.session_id
        created = (await bed.ask({"janus": "create", "id": "4294967296"}))["data"]["id"]
        assert created == "4294967296"
        fake.sessions.add(77)
        assert (await bed.ask({"janus": "claim", "session_id": 77}))["janus"] == "success"
        everything = {managed, 4294967296, 77}
        await fake.wait_until(lambda: asked(fake, "keepalive") == everything)
        fake.received.clear()
        await fake.peer.drop()
        await bed.until(lambda: link.reconnects == 1)
        assert asked(fake, "claim") == everything
        for session in ("4294967296", 77):
            await bed.ask({"janus": "destroy", "session_id": session})
        fake.received.clear()
        await fake.wait_until(lambda: bool(asked(fake, "keepalive")))
        assert asked(fake, "keepalive") == {managed}
        assert "session_lost" not in bed.names()


async def test_claim_takes_a_session_over_with_its_events(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed, JanusClient.open(janus) as outsider:
        await bed.ready()
        session = await outsider.create()
        handle = await outsider.attach(session, GEN)
        # Until it is claimed it is none of ours: its id is replaced like any other that the bridge did not issue.
        answer = await bed.message(str(handle), {"n": 1}, session_id=session)
        assert answer["error"]["code"] == 459
        await bed.ask({"janus": "claim", "session_id": str(session)})
        await bed.echo(str(handle), session_id=str(session))
        await outsider.message(session, handle, {"do": "burst", "n": 1})
        await bed.until(lambda: bed.events)
        assert bed.events[0]["session_id"] == str(session)


async def test_what_was_never_issued_cannot_be_destroyed(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed, JanusClient.open(janus) as outsider:
        await bed.ready()
        session = await outsider.create()
        for command in ({"janus": "destroy", "session_id": session}, {"janus": "destroy"}):
            with pytest.raises(InvalidCommand):
                await bed.ask(command)
        await outsider.keepalive(session)


async def test_claim_of_what_janus_does_not_know_changes_nothing(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        link = await bed.ready()
        answer = await bed.ask({"janus": "claim", "session_id": 123})
        assert answer["error"]["code"] == 458
        assert len(link.book) == 1
        assert link.shown_state == "ready"
        assert bed.names() == ["connected"]
