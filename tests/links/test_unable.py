"""Servers that speak the Janus API and never hand over a session: rtpengine, and others in a script (contract 5.3)."""

from collections.abc import Callable
from typing import Any

import pytest

from bridge.core import join
from bridge.core.commands_janus import janus_commands
from bridge.core.environment import LinkSettings
from bridge.core.mi import Registry
from bridge.errors import ReconnectRefused
from bridge.protocol import codec
from bridge.protocol.credentials import Credentials
from bridge.protocol.plugin_types import UNKNOWN
from tests.support.callers import OPERATOR, ask
from tests.support.deadlines import in_time
from tests.support.fake_janus import SILENCE, FakeJanus, Message, Reply, Script, error, open_fake_janus, reply
from tests.support.frames import TEXT, frame
from tests.support.linkbed import LinkBed, running
from tests.support.rtpengine import Rtpengine

ROOM = "janus.plugin.videoroom"
QUICK = LinkSettings(reconnect_min=0.1, reconnect_max=0.4)
REFUSAL = "Janus refused to hand over a session: 457 Unhandled request method"


def garbage(request: Message) -> list[Reply]:
    return [frame(TEXT, b'{"janus": "success", "transaction": "' + request["transaction"].encode() + b'", nonsense')]


FINAL: dict[str, Script] = {
    "unknown request (457)": lambda request: [error(request, 457, "Unhandled request method")],
    "unknown request (453)": lambda request: [error(request, 453, "Unknown request 'claim'")],
    "transport specific (450)": lambda request: [error(request, 450, "no")],
    "no code": lambda request: [reply(request, "error")],
    "an ack": lambda request: [reply(request, "ack")],
    "an event": lambda request: [reply(request, "event")],
    "a verb that does not exist": lambda request: [reply(request, "whatever")],
    "garbage": garbage,
}
PASSING = {403: "Unauthorized request", 472: "Not accepting new sessions", 490: "Thread pool error"}


def with_secret() -> LinkBed:
    bed = LinkBed(settings=QUICK)
    bed.credentials["gw"] = Credentials(api_secret="x")
    return bed


async def ask_mi(bed: LinkBed, method: str, **params: Any) -> Any:
    """The answer of the MI to a method."""
    registry = Registry(bed.stats)
    registry.add(*janus_commands(bed.registry, None, 5.0, lambda _: UNKNOWN))  # type: ignore[arg-type]
    request = codec.render({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    answer = await ask(registry, request.encode(), OPERATOR)
    assert answer is not None
    return codec.parse(answer.decode())


async def test_rtpengine_that_was_restarted_is_used_again(rtpengine: Rtpengine) -> None:
    async with running(with_secret(), {"gw": rtpengine.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach(ROOM)
        session = link.book.managed.session_id
        rtpengine.stop()
        await bed.until(lambda: link.shown_state != "ready")
        rtpengine.start()
        with in_time(2):
            await bed.ready()
        assert link.book.managed.session_id not in (None, session)
        lost = [detail for _, name, _, detail in bed.statuses if name == "session_lost"]
        assert [(one["session"], [h["handle_id"] for h in one["handles"]]) for one in lost] == [
            (str(session), [handle])
        ]
        await bed.attach(ROOM)


async def test_rtpengine_that_is_left_by_choice_serves_on(rtpengine: Rtpengine) -> None:
    async with running(with_secret(), {"gw": rtpengine.url}) as bed:
        link = await bed.ready()
        session = link.book.managed.session_id
        link.reconnect()
        with pytest.raises(ReconnectRefused, match=REFUSAL):
            await link.reconnected()
        assert link.shown_state == "ready"
        await bed.attach(ROOM)
        assert link.book.managed.session_id == session
        assert bed.names() == ["connected"]
        assert (link.reconnects, link.last_error) == (0, REFUSAL)
        assert len(bed.connects) == 2  # the wish is over


@pytest.mark.parametrize("refusal", FINAL.values(), ids=FINAL)
async def test_claim_that_is_refused_for_good_is_a_lost_session(refusal: Script) -> None:
    async with open_fake_janus() as fake, running(LinkBed(settings=QUICK), {"gw": fake.url}) as bed:
        link = await bed.ready()
        client_session = (await bed.ask({"janus": "create"}))["data"]["id"]
        session = link.book.managed.session_id
        fake.script["claim"] = refusal
        await fake.peer.drop()
        with in_time(2):
            await bed.until(lambda: link.reconnects == 1)
        lost = {str(detail["session"]) for _, name, _, detail in bed.statuses if name == "session_lost"}
        assert lost == {str(session), str(client_session)}
        await bed.attach("janus.plugin.fake")


@pytest.mark.parametrize("refusal", FINAL.values(), ids=FINAL)
async def test_reconnect_that_is_refused_for_good_is_told_to_who_asked(refusal: Script) -> None:
    async with open_fake_janus() as fake, running(LinkBed(settings=QUICK), {"gw": fake.url}) as bed:
        link = await bed.ready()
        handle, since = await bed.attach("janus.plugin.fake"), link.since
        fake.script["claim"] = refusal
        answer = await ask_mi(bed, "janus_reconnect", janus_id="gw")
        assert (answer["error"]["code"], answer["error"]["message"]) == (409, "Janus connection kept")
        assert answer["error"]["data"].startswith("Janus ")
        assert answer["error"]["data"].endswith("; the old connection serves on")
        assert (link.shown_state, link.since, bed.names()) == ("ready", since, ["connected"])
        assert (await bed.message(handle, {}))["janus"] == "success"
        # What is asked for later is asked for again.
        fake.script.clear()
        assert (await ask_mi(bed, "janus_reconnect", janus_id="gw"))["result"] == "OK"
        assert link.reconnects == 1


async def test_new_secrets_count_on_the_connection_that_is_kept() -> None:
    async with open_fake_janus() as fake, running(LinkBed(settings=QUICK), {"gw": fake.url}) as bed:
        link = await bed.ready()
        fake.script["claim"] = FINAL["unknown request (457)"]
        bed.credentials["gw"] = Credentials(api_secret="new")
        bed.registry.credentials_changed({"gw"})
        await bed.until(lambda: link.last_error == REFUSAL)
        await bed.attach("janus.plugin.fake")
        assert (await fake.wait_request("attach"))["apisecret"] == "new"
        assert len(bed.connects) == 2


@pytest.mark.parametrize("code", PASSING)
async def test_refusal_that_can_pass_is_waited_for(code: int) -> None:
    async with open_fake_janus() as fake, running(LinkBed(settings=QUICK), {"gw": fake.url}) as bed:
        link = await bed.ready()
        session = link.book.managed.session_id
        fake.script["claim"] = lambda request: [error(request, code, PASSING[code])]
        await fake.peer.drop()
        await fake.wait_request("claim", 2)
        assert link.last_error == f"Janus refused to hand over a session: {code} {PASSING[code]}"
        fake.script.clear()
        await bed.ready()
        assert link.book.managed.session_id == session


@pytest.mark.parametrize(
    "refusal", [lambda request: [error(request, 403, "Unauthorized")], lambda request: SILENCE], ids=["403", "silence"]
)
async def test_nothing_that_is_refused_or_silent_is_waited_for_longer_than_janus_keeps_a_session(
    refusal: Callable[[Message], list[Reply]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is over, whatever was said: the gateway is not out for ever."""
    monkeypatch.setattr("bridge.core.join.PATIENCE", 0.3)
    async with open_fake_janus() as fake, running(LinkBed(settings=QUICK), {"gw": fake.url}) as bed:

        def info(request: Message) -> list[Reply]:
            return [reply(request, "server_info")]

        fake.script["info"] = info
        link = await bed.ready()
        monkeypatch.setattr(join, "ANSWER_DEADLINE", 0.1)
        session = link.book.managed.session_id
        fake.script["claim"] = refusal
        await fake.peer.drop()
        await bed.until(lambda: link.reconnects == 1)
        assert link.book.managed.session_id not in (None, session)
        assert bed.names().count("session_lost") == 1


async def test_claim_without_an_answer_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked meanwhile is answered on the connection that has the session."""

    async def serves(fake: FakeJanus, bed: LinkBed) -> None:
        await fake.wait_request("claim")
        link = await bed.ready()
        with in_time(4):  # less than an answer is waited for
            await bed.attach("janus.plugin.fake")
            await link.reconnected()

    monkeypatch.setattr("bridge.core.link.RECONNECT", 0.05)
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        link = await bed.ready()
        fake.script["claim"] = lambda request: SILENCE
        link.reconnect()
        await serves(fake, bed)
