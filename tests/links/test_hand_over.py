"""A planned hand-over loses nothing, also where Janus reclaims nothing (contract 11)."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
import trio.testing

from bridge.core import hand_over, offers, withheld_events
from bridge.core.link import JanusLink
from bridge.errors import PeerSilent
from bridge.protocol.cluster import ALIVE, FIND, TAKE, Node, NodeSession
from bridge.protocol.jsonrpc import RpcError, render_request
from tests.support.cluster_bridges import Bridge, running_bridge, running_site
from tests.support.deadlines import HANG_SECONDS, in_time
from tests.support.fake_janus import open_fake_janus
from tests.support.janus import GEN, Janus
from tests.support.linkbed import LinkBed

EVENTS = 200


@pytest.fixture(autouse=True)
def time_to_be_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no fault of a peer's or of Janus's."""
    for module, name in (
        (hand_over, "DRAIN"),
        (hand_over, "DELIVERED"),
        (hand_over, "TOLD"),
        (withheld_events, "LONGEST"),
    ):
        monkeypatch.setattr(module, name, HANG_SECONDS)


def numbers(bed: LinkBed) -> list[int]:
    """Of the events that came, in their order."""
    return [event["plugindata"]["data"]["i"] for event in bed.events if "plugindata" in event]


async def ask_on(bridge: Bridge, handle: str, answers: list[int], until: list[bool]) -> None:
    """A caller who asks again and again."""
    while not until:
        n = len(answers)
        answer = await bridge.send("message", handle_id=handle, body={"n": n})
        answers.append(answer["plugindata"]["data"]["echo"]["n"])
        await trio.sleep(0.001)


async def test_no_command_and_no_event_is_lost_twice_or_out_of_order(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        two.bed.events = one.bed.events  # one subscriber of both
        session = str((await one.send("create"))["data"]["id"])
        ticking, asked = await one.attach(GEN, session_id=session), await one.attach(GEN)
        answers, over = list[int](), list[bool]()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_on, one, asked, answers, over)
            body = {"do": "tick", "ms": 1, "k": 1, "n": EVENTS}
            await one.send("message", session_id=session, handle_id=ticking, body=body)
            await one.bed.until(lambda: len(numbers(one.bed)) > EVENTS // 10 and len(answers) > 3)
            outcome = await one.call("janus_cluster_drain")
            before = len(answers)
            await one.bed.until(lambda: len(answers) > before + 3 and len(numbers(one.bed)) == EVENTS)
            over.append(True)
        assert outcome == {"gateways": 1, "sessions": 2, "kept": []}
        assert numbers(one.bed) == list(range(EVENTS))
        assert answers == list(range(len(answers)))
        assert {session.node for session in two.bed.registry.find("gw").book.inherited} == {1}
        assert "session_lost" not in one.bed.names() + two.bed.names()
        assert set(two.sessions.kept) >= set(map(int, [session]))


async def test_afterwards_everything_goes_to_the_other_bridge(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        await one.call("janus_cluster_drain")
        new = await one.attach(GEN)
        book = two.bed.registry.find("gw").book
        assert int(new) in book.managed.handles
        assert (await one.send("detach", handle_id=handle))["janus"] == "success"
        session = (await one.send("create"))["data"]["id"]
        assert book.find(int(session)) is not None
        assert (await one.send("info"))["janus"] == "server_info"
        await one.bed.ready()


async def test_peer_that_cannot_take_them_leaves_everything_where_it_is(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        two.fence.move(0)
        outcome = await one.call("janus_cluster_drain")
        assert outcome["kept"] == ["gw"]
        assert (await one.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"
        one.site.dead.add(2)
        assert (await one.call("janus_cluster_drain"))["kept"] == ["gw"]
        assert (await one.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"


async def test_a_fence_that_shuts_in_the_middle_loses_nothing(janus: Janus, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the bridge which hands over, while the peer claims: the peer has a beat, and that is enough."""
    monkeypatch.setattr(hand_over, "DELIVERED", 0.02)  # the ping behind the last event is not sent any more
    async with running_site(janus.url) as (one, two):
        session = str((await one.send("create"))["data"]["id"])
        handle = await one.attach(GEN, session_id=session)
        reserve = two.sessions.reserve

        async def shut(*args: Any, **kwargs: Any) -> bool:
            one.fence.move(0)
            return await reserve(*args, **kwargs)

        two.sessions.reserve = shut  # type: ignore[method-assign]
        assert (await one.call("janus_cluster_drain"))["kept"] == []
        for bridge in (one, two):
            assert (await bridge.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"
        assert int(session) in two.sessions.kept
        assert int(session) not in one.sessions.kept
        assert "session_lost" not in one.bed.names() + two.bed.names()


async def test_peer_that_finds_too_late_that_it_cannot_leaves_their_rows_as_well(janus: Janus) -> None:
    """Else the table has them as a bridge's that does not know them: nobody would take them over, or they are lost."""
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        session_id = one.bed.registry.find("gw").book.managed.session_id
        reserve = two.sessions.reserve

        async def last(*args: Any, **kwargs: Any) -> bool:
            written = await reserve(*args, **kwargs)
            two.fence.move(0)
            return written

        two.sessions.reserve = last  # type: ignore[method-assign]
        assert (await one.call("janus_cluster_drain"))["kept"] == ["gw"]
        assert two.sessions.told[-2:] == [("reserve", session_id), ("end", session_id)]
        assert one.sessions.told[-2:] == [("let go", session_id), ("reserve", session_id)]
        assert session_id in one.sessions.kept
        assert (await one.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"


async def test_next_peer_takes_them_where_the_first_cannot(janus: Janus) -> None:
    async with running_site(janus.url, 3) as (one, two, three):
        handle = await one.attach(GEN)
        one.site.dead.add(2)
        assert (await one.call("janus_cluster_drain"))["kept"] == []
        assert int(handle) in three.bed.registry.find("gw").book.inherited[0].handles
        one.site.dead.clear()
        assert (await two.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"


async def test_what_is_being_claimed_here_is_given_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a take-over: Janus may grant this claim behind the other bridge's, which would take it back."""
    monkeypatch.setattr(hand_over, "DRAIN", 0.05)
    async with open_fake_janus() as fake, running_site(fake.url) as (one, two):
        fake.sessions.add(77)
        held = fake.hold("claim")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.links.adopt, 3, [NodeSession("gw", fake.url, 77, False)], 0.0)
            claim = await fake.wait_request("claim")
            assert (await one.call("janus_cluster_drain"))["kept"] == ["gw"]
            assert held == [claim]
            del fake.script["claim"]
            await fake.peers[0].send(*fake.answer(claim))
        monkeypatch.undo()
        assert (await one.call("janus_cluster_drain"))["kept"] == []
        session = two.bed.registry.find("gw").book.find(77)
        assert session is not None
        assert session.live


async def test_at_a_stop_it_makes_nothing_new(janus: Janus) -> None:
    """Nobody would use it, and its end would be told by the next process."""
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        assert (await one.side.drain(HANG_SECONDS))["kept"] == []
        book = one.bed.registry.find("gw").book
        await one.attach(GEN)  # at the other one
        assert book.managed.session_id is None
        assert one.sessions.kept == {}
        await one.bed.registry.stop(hand_over=True)
        assert one.sessions.kept == {}
        assert (await two.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"


async def test_at_its_end_it_leaves_nothing_at_janus(janus: Janus) -> None:
    """Not to systemd's store either: its sockets end, and the empty session that it made for itself."""
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        await one.call("janus_cluster_drain")
        link = await one.bed.ready()
        assert await one.call("janus_cluster_drain") == {"gateways": 0, "sessions": 0, "kept": []}
        connection, own = link.connections[1], link.book.managed.session_id
        await one.bed.registry.stop(hand_over=True)
        assert connection.end_reason is not None
        assert own not in one.sessions.kept
        gone = await two.send("claim", session_id=str(own))
        assert gone["error"]["code"] == 458
        assert (await two.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"


async def test_what_a_peer_may_have_claimed_is_not_ended(janus: Janus) -> None:
    """Its answer was lost, or the stop did not wait for it: Janus reclaims nothing, and the peer has the session."""
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        one.site.mute.add(2)
        assert (await one.call("janus_cluster_drain"))["kept"] == ["gw"]
        await two.bed.until(lambda: any(session.live for session in two.bed.registry.find("gw").book.inherited))
        await one.bed.registry.stop(hand_over=False)
        one.site.dead.add(1)
        assert (await two.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"


async def test_what_comes_after_a_hand_over_is_kept_where_no_peer_is_left(janus: Janus) -> None:
    async with running_site(janus.url) as (one, _two):
        await one.call("janus_cluster_drain")
        link = await one.bed.ready()
        assert link.transfer.given_to
        one.site.silent.add(2)  # so that it serves again
        await one.attach(GEN)
        assert (await one.call("janus_cluster_drain"))["kept"] == ["gw"]
        assert not link.transfer.given_to


async def test_subscriber_who_takes_nothing_delays_no_other_gateway(
    janus: Janus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_over, "AT_ONCE", 1)
    monkeypatch.setattr(hand_over, "DELIVERED", math.inf)
    async with running_site(janus.url, 2, "gw2") as (one, _two):

        async def delivered() -> None:  # not before both are with the peer
            await one.bed.until(lambda: all(link.transfer.given_to for link in one.bed.registry))

        one.delivered = delivered
        outcome = await one.call("janus_cluster_drain")
        assert outcome == {"gateways": 2, "sessions": 2, "kept": []}


def hangs(bridge: Bridge, hung: Callable[[str], bool]) -> list[str]:
    """Let it not answer for these gateways; those that it was asked to take and hangs at."""
    asked = list[str]()

    def hangs(method: str, params: Sequence[Any]) -> bool:
        if method != "janus_cluster_take" or not hung(params[2]):
            return False
        asked.append(params[2])
        return True

    bridge.hangs = hangs
    return asked


async def test_gateways_that_hang_keep_no_other_one_and_no_stop(
    janus: Janus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """More of them than are served at once, and in front. A stop in the middle of a drain ends both in its time."""
    monkeypatch.setattr(hand_over, "TURN", 0.01)
    monkeypatch.setattr(hand_over, "AT_ONCE", 2)
    names = [f"hung{n}" for n in range(5)], [f"well{n}" for n in range(4)]
    async with running_site(janus.url, 2, *names[0], *names[1]) as (one, two):
        hangs(two, lambda janus_id: janus_id.startswith("hung"))
        outcomes: list[Any] = []

        async def drain() -> None:
            outcomes.append(await one.call("janus_cluster_drain"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            well = [one.bed.registry.find(name) for name in ("gw", *names[1])]
            await one.bed.until(lambda: all(link.transfer.given_to for link in well))
            assert outcomes == []
            with in_time(2):
                again = await one.side.drain(0.05)
        assert outcomes == [{"gateways": 5, "sessions": 5, "kept": names[0]}]
        assert again == {"gateways": 0, "sessions": 0, "kept": names[0]}
        assert f"no peer took them in time: {', '.join(names[0])}" in caplog.text
        assert all(one.bed.registry.find(name).transfer.in_doubt for name in names[0])


async def test_what_a_peer_sent_and_a_stopped_process_has_no_time_for_any_more(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        command = {"janus": "message", "handle_id": await two.attach(GEN), "body": {}}
        answers, answered = list[bytes | None](), trio.Event()

        def take(answer: bytes | None) -> None:
            answers.append(answer)
            answered.set()

        two.dispatch(render_request("janus_cluster_send", ["gw", command, 1, "1.2", "1.1", 0], "1"), take)
        time.sleep(0.005)  # noqa: ASYNC251 - it is stopped, with its loop
        with in_time(HANG_SECONDS):
            await answered.wait()
        assert b'"code":408' in (answers[0] or b"")
        assert await one.attach(GEN)
        assert await two.attach(GEN)  # it goes on


async def test_a_peer_that_hangs_ends_no_hand_over(janus: Janus, monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as it has to answer; the other peer gets what is left."""
    monkeypatch.setattr(offers, "PATIENCE", 0.05)
    async with running_site(janus.url, 2, "hung") as (one, two):
        hangs(two, lambda janus_id: janus_id == "hung")
        assert await one.call("janus_cluster_drain") == {"gateways": 1, "sessions": 1, "kept": ["hung"]}
        assert one.bed.registry.find("hung").transfer.in_doubt


async def test_a_peer_that_hangs_gets_no_more_than_it_has(janus: Janus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand_over, "AT_ONCE", 1)
    async with running_site(janus.url, 3, *(f"gw{n}" for n in range(4))) as (one, two, _three):
        given, owed = one.side._hand_over._offers, list[int]()
        choose = given._next_peer

        def chosen(link: JanusLink, refused: set[int]) -> Node | None:
            node = choose(link, refused)
            if node is not None and node.node_id == 2:
                owed.append(given._unanswered[2] - given._unanswered[3])
            return node

        monkeypatch.setattr(given, "_next_peer", chosen)
        asked = hangs(two, lambda _: True)
        links = list(one.bed.registry)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.side.drain)
            await one.bed.until(lambda: len([one for one in links if one.transfer.given_to]) + len(asked) == 5)
            assert max(owed) == 0  # it is asked once more if the other one takes longer than a turn, for each that does
            nursery.cancel_scope.cancel()
        assert {link.transfer.given_to.node_id for link in links if link.transfer.given_to} == {3}


async def test_nobody_waits_for_a_peer_that_hangs_and_it_is_offered_nothing(
    janus: Janus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(offers, "PULSE", math.inf)
    async with running_site(janus.url) as (one, _two):
        handle = await one.attach(GEN)
        one.site.hanging.add(2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.side.drain)
            await one.bed.until(lambda: one.site.asked)
            assert (await one.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"
            nursery.cancel_scope.cancel()
        monkeypatch.setattr(offers, "PULSE", 0.01)
        assert await one.side.drain() == {"gateways": 0, "sessions": 0, "kept": ["gw"]}
        assert {method for _, method in one.site.asked} == {ALIVE}
        assert caplog.messages.count("node 2 is offered no sessions: node:2: no answer within 0.01 s") == 1
        assert not one.bed.registry.find("gw").transfer.in_doubt
        assert (await one.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"
        one.site.hanging.clear()
        node = one._node
        monkeypatch.setattr(one, "_node", lambda node_id: node(node_id)._replace(epoch=9))  # it was started again
        assert (await one.side.drain())["kept"] == []


async def test_commands_wait_no_longer_for_one_that_begins_to_hang_while_it_claims(
    janus: Janus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says nothing any more, not even that it is there: who has the sessions is found out while commands go on."""
    monkeypatch.setattr(offers, "PATIENCE", math.inf)
    monkeypatch.setattr(offers, "QUICK", 0.02)
    monkeypatch.setattr(offers, "WATCH", 0.01)
    monkeypatch.setattr(hand_over, "AGAIN", 0.02)
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        call, taken = two.call, trio.Event()

        async def hang(method: str, *params: Any, mute: bool = False) -> Any:
            if method != "janus_cluster_take" or taken.is_set():
                return await call(method, *params, mute=mute)
            one.site.hanging.add(2)
            try:
                await call(method, *params)  # what has begun is done, whether this is waited for or not
            finally:
                taken.set()
            await trio.sleep_forever()

        two.call = hang  # type: ignore[method-assign]
        assert (await one.side.drain())["kept"] == ["gw"]
        link = one.bed.registry.find("gw")
        assert link.transfer.in_doubt
        assert (await one.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"
        one.site.hanging.clear()
        await one.bed.until(lambda: link.transfer.given_to)
        assert int(handle) in two.bed.registry.find("gw").book.inherited[0].handles
        assert "session_lost" not in one.bed.names() + two.bed.names()
        assert (await one.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"


async def test_bridges_of_later_and_earlier_releases_hand_over_to_this_one(janus: Janus) -> None:
    """Which say more, of the whole and of each session, and which say less."""
    async with running_site(janus.url) as (one, two):
        ask = two.call

        async def later(method: str, *params: Any, mute: bool = False) -> Any:
            if method == "janus_cluster_take":
                *first, rows = params
                return await ask(method, *first, [{**row, "later": 1} for row in rows], {"later": 1})
            return await ask(method, *params, *([] if method == ALIVE else ["later"]), mute=mute)

        two.call = later  # type: ignore[method-assign]
        handle = await one.attach(GEN)
        assert (await one.call("janus_cluster_drain"))["kept"] == []
        assert (await one.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"
        session_id = str(two.bed.registry.find("gw").book.inherited[0].session_id)
        assert (await ask("janus_cluster_find", "gw", session_id))["here"]
        command = {"janus": "message", "handle_id": handle, "body": {}}
        assert (await ask("janus_cluster_send", "gw", command, int(HANG_SECONDS * 1000)))["janus"] == "success"


async def test_one_that_hangs_is_asked_once_for_all_gateways(janus: Janus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "PULSE", 0.01)
    async with running_site(janus.url, 3, *(f"gw{n}" for n in range(4))) as (one, _two, _three):
        one.site.hanging.add(2)
        assert await one.side.drain() == {"gateways": 5, "sessions": 5, "kept": []}
        assert one.site.asked.count((2, ALIVE)) == 1


async def test_two_that_hand_over_at_once_take_nothing_of_each_other(janus: Janus) -> None:
    """Whatever each has read of the other."""
    async with running_site(janus.url) as (one, two):
        handles = [await bridge.attach(GEN) for bridge in (one, two)]
        look = trio.Event()

        async def draining() -> None:
            await look.wait()

        one._drain = two._drain = draining  # type: ignore[method-assign]
        for bridge in (one, two):
            bridge.side._draining = draining
        outcomes: list[Any] = []

        async def drain(bridge: Bridge) -> None:
            outcomes.append(await bridge.side.drain())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain, one)
            nursery.start_soon(drain, two)
            await trio.testing.wait_all_tasks_blocked()
            look.set()
        assert outcomes == [{"gateways": 0, "sessions": 0, "kept": ["gw"]}] * 2
        for bridge, handle in zip((one, two), handles, strict=True):
            assert (await bridge.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"


async def test_what_was_asked_for_is_done_though_whoever_asked_has_left(janus: Janus) -> None:
    """A drain, and what a peer is to take: a half of either would be known to nobody."""
    async with running_site(janus.url) as (one, two):
        await one.attach(GEN)
        reserve = two.sessions.reserve
        asked, go = trio.Event(), trio.Event()

        async def wait(*args: Any, **kwargs: Any) -> bool:
            asked.set()
            await go.wait()
            return await reserve(*args, **kwargs)

        two.sessions.reserve = wait  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.call, "janus_cluster_drain")
            await asked.wait()
            nursery.cancel_scope.cancel()
        go.set()
        await one.bed.until(lambda: one.bed.registry.find("gw").transfer.given_to)
        assert [session.live for session in two.bed.registry.find("gw").book.inherited] == [True]


async def test_draining_peer_is_not_asked(janus: Janus) -> None:
    async with running_site(janus.url) as (one, _two):
        one.site.draining.add(2)
        assert (await one.call("janus_cluster_drain"))["kept"] == ["gw"]
        assert one.site.asked == []


async def test_command_that_waits_too_long_was_not_sent(janus: Janus) -> None:
    async with running_site(janus.url) as (one, _two):
        handle = await one.attach(GEN)
        one.side.errands.hold("gw")
        with pytest.raises(RpcError) as caught:
            await one.send("message", timeout=10, handle_id=handle, body={})
        assert (caught.value.code, caught.value.data) == (408, "not sent")
        one.side.errands.release("gw")
        assert (await one.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"


async def test_events_wait_for_a_bridge_that_died_meanwhile_only_so_long(
    janus: Janus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withheld_events, "LONGEST", 0.01)
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        session = one.bed.registry.find("gw").book.managed
        assert session.session_id is not None
        row = {"session_id": str(session.session_id), "managed": True, "handles": {handle: GEN}}
        url = one.bed.registry.find("gw").gateway.janus_url
        assert await two.call("janus_cluster_take", 1, 1, "gw", url, [row]) == {"sessions": 1, "claiming": 0}
        await two.send("message", handle_id=handle, body={"do": "burst", "n": 3})
        await two.bed.until(lambda: numbers(two.bed) == [0, 1, 2], HANG_SECONDS)


async def test_two_that_hand_over_to_a_third_wait_for_each_other_s_events_no_longer(janus: Janus) -> None:
    """What one has delivered says nothing of the other's."""
    async with running_site(janus.url, 3) as (one, two, three):
        handles = [await bridge.attach(GEN) for bridge in (one, two)]
        for giver, handle in zip((one, two), handles, strict=True):
            row = {"session_id": str(giver.bed.registry.find("gw").book.managed.session_id), "managed": True}
            row["handles"] = {handle: GEN}
            await three.call("janus_cluster_take", giver.node_id, giver.node_id, "gw", janus.url, [row])
            await three.send("message", handle_id=handle, body={"do": "burst", "n": 3})
        assert numbers(three.bed) == []
        for done, handle in enumerate(reversed(handles), 1):
            await three.call("janus_cluster_taken", 3 - done, "gw")
            await three.bed.until(lambda done=done: numbers(three.bed) == [0, 1, 2] * done)  # type: ignore[misc]
            assert {str(event["sender"]) for event in three.bed.events[-3:]} == {handle}


async def test_command_of_a_peer_that_comes_meanwhile_goes_no_further(janus: Janus) -> None:
    """The peer looks again, and finds who has it now."""
    async with running_site(janus.url, 3) as (one, two, three):
        handle = await one.attach(GEN)
        assert (await three.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"
        one.site.draining.add(3)
        answers: list[str] = []

        async def ask() -> None:
            answers.append((await three.send("message", handle_id=handle, body={"n": 2}))["janus"])

        one.side.errands.hold("gw")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await one.bed.until(lambda: bool(one.side.errands._held["gw"]))
            link = one.bed.registry.find("gw")
            node = await one.side._hand_over._offers.give(link)
            assert node is not None
            one.side.errands.release("gw")
        assert answers == ["success"]
        assert [name for node_id, name in three.site.asked if node_id == 2][-1] == "janus_cluster_send"
        assert int(handle) in two.bed.registry.find("gw").book.inherited[0].handles


def lost_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers take what they are asked to take, and their answer does not come; they are not asked again."""
    monkeypatch.setattr(hand_over, "AGAIN", math.inf)


async def taken_without_a_word(one: Bridge, two: Bridge) -> None:
    """Hand over; the answer is lost, but two has claimed."""
    one.site.mute.add(two.node_id)
    assert (await one.call("janus_cluster_drain"))["kept"] == ["gw"]
    one.site.mute.discard(two.node_id)
    book = two.bed.registry.find("gw").book
    await two.bed.until(lambda: book.inherited and all(session.live for session in book.inherited))


async def test_after_a_lost_answer_the_peer_is_asked_again_until_it_is_known_who_has_them(
    janus: Janus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_over, "AGAIN", 0.01)
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        link = one.bed.registry.find("gw")
        await taken_without_a_word(one, two)
        await one.bed.until(lambda: link.transfer.given_to is not None)
        assert not link.transfer.in_doubt
        assert (await one.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"
        assert (2, "janus_cluster_send") in one.site.asked
        assert two.bed.names().count("taken_over") == 1


async def test_after_an_answer_that_is_no_bridge_s_the_peer_is_asked_until_one_comes(janus: Janus) -> None:
    async with running_site(janus.url) as (one, _two):
        handle = await one.attach(GEN)
        link = one.bed.registry.find("gw")
        answers: tuple[Any, ...] = ("OK", {})
        for junk in answers:
            one.site.junk = {TAKE: junk, FIND: junk}
            assert (await one.call("janus_cluster_drain"))["kept"] == ["gw"]
            assert link.transfer.in_doubt
            assert not await one.side._hand_over._offers.has_them(link)
            assert link.transfer.in_doubt
        one.site.junk.clear()
        await one.side._hand_over._offers.has_them(link)
        assert not link.transfer.in_doubt
        await one.send("message", handle_id=handle, body={"n": 1})


async def test_after_a_lost_question_they_are_here_as_before(janus: Janus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand_over, "AGAIN", 0.01)
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        link = one.bed.registry.find("gw")
        take = two.call

        async def lose(method: str, *params: Any, mute: bool = False) -> Any:
            if method == "janus_cluster_take":
                raise PeerSilent("no answer")
            return await take(method, *params, mute=mute)

        two.call = lose  # type: ignore[method-assign]
        assert (await one.call("janus_cluster_drain"))["kept"] == ["gw"]
        assert link.transfer.in_doubt
        await one.bed.until(lambda: not link.transfer.in_doubt)
        assert not any(session.offered for session in link.book)
        assert one.bed.saved["gw", janus.url].keys() == {session.session_id for session in link.book}
        assert (await one.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"


async def test_who_has_one_of_them_takes_what_is_new_as_well(janus: Janus, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer was lost, and it cannot refuse the rest, as by now it hands over itself: two would have the first."""
    lost_answers(monkeypatch)
    async with running_site(janus.url) as (one, two):
        link, handle = one.bed.registry.find("gw"), await one.attach(GEN)
        await taken_without_a_word(one, two)
        client = int((await one.send("create"))["data"]["id"])
        two.side._leaving = True
        assert await one.side._hand_over._offers.give(link)
        assert two.bed.registry.find("gw").book.find(client) is not None
        assert (await two.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"


async def test_what_a_peer_is_about_to_claim_is_not_taken_back(janus: Janus, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hung for longer than its answer was waited for, and goes on with what it was asked."""
    monkeypatch.setattr(hand_over, "AGAIN", 0.01)
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        link, reserve, go = one.bed.registry.find("gw"), two.sessions.reserve, trio.Event()

        async def wait(*args: Any, **kwargs: Any) -> bool:
            await go.wait()
            return await reserve(*args, **kwargs)

        two.sessions.reserve = wait  # type: ignore[method-assign]
        one.site.mute.add(2)
        assert (await one.call("janus_cluster_drain"))["kept"] == ["gw"]
        one.site.mute.clear()
        asked = len(one.site.asked)
        await one.bed.until(lambda: len(one.site.asked) > asked + 2)  # janus_cluster_find
        assert link.transfer.in_doubt
        go.set()
        await one.bed.until(lambda: link.transfer.given_to)
        assert (await two.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"


async def test_what_a_peer_may_have_claimed_is_not_claimed_back(
    janus_factory: Callable[..., Janus], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by a new connection, nor by the next process."""
    lost_answers(monkeypatch)
    monkeypatch.setattr(withheld_events, "LONGEST", 0.01)
    janus = janus_factory(reclaim_session_timeout=20)
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        link = one.bed.registry.find("gw")
        offered = link.book.managed
        await taken_without_a_word(one, two)
        assert one.bed.saved["gw", janus.url] == {}
        link.connections[1].close()
        await one.bed.until(lambda: 2 in link.connections and one.bed.names().count("connected") == 2)
        assert offered.offered
        assert not offered.live
        await two.send("message", handle_id=handle, body={"do": "burst", "n": 3})
        await two.bed.until(lambda: numbers(two.bed) == [0, 1, 2])
        assert numbers(one.bed) == []


async def test_where_the_peer_dies_in_the_middle_its_heir_claims_anew(
    janus_factory: Callable[..., Janus], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heir is the one that had offered them: what it believes to have was claimed by another one meanwhile."""
    lost_answers(monkeypatch)
    janus = janus_factory(reclaim_session_timeout=20)
    async with running_site(janus.url, 1) as (one,):
        handle = await one.attach(GEN)
        async with running_bridge(one.site, 2, janus.url) as two:
            await taken_without_a_word(one, two)
            own = two.bed.registry.find("gw").book.managed.session_id
            rows = [row for row in two.node_sessions() if row.session_id != own]
        del one.site.bridges[2]
        assert await one.links.adopt(2, rows, 1.0) == len(rows) == 1
        await one.send("message", handle_id=handle, body={"do": "burst", "n": 3})
        await one.bed.until(lambda: numbers(one.bed) == [0, 1, 2])


async def test_a_second_peer_gets_nothing_that_the_first_may_have(
    janus: Janus, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost_answers(monkeypatch)
    async with running_site(janus.url, 3) as (one, two, three):
        await one.attach(GEN)
        await taken_without_a_word(one, two)
        two_dead, one.site.dead = one.site.dead, {2}
        assert (await one.call("janus_cluster_drain"))["kept"] == ["gw"]
        assert three.bed.registry.find("gw").book.inherited == []
        one.site.dead = two_dead
        assert (await one.call("janus_cluster_drain"))["kept"] == []
        assert three.bed.registry.find("gw").book.inherited == []


async def test_what_the_table_has_as_another_one_s_is_taken_by_nobody(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        await one.attach(GEN)
        session = one.bed.registry.find("gw").book.managed.session_id
        assert session is not None
        two.sessions.others.add(session)
        assert (await one.call("janus_cluster_drain"))["kept"] == []
        assert two.bed.registry.find("gw").book.inherited == []


async def test_a_session_that_ends_meanwhile_ends_nothing_else(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        session = (await one.send("create"))["data"]["id"]
        handle = await one.attach(GEN)
        link, take = one.bed.registry.find("gw"), two.call

        async def end(method: str, *params: Any, mute: bool = False) -> Any:
            found = link.book.find(int(session))
            if method == "janus_cluster_take" and found is not None:
                link.session_over(found)
            return await take(method, *params, mute=mute)

        two.call = end  # type: ignore[method-assign]
        assert (await one.call("janus_cluster_drain"))["kept"] == []
        assert (await one.send("message", handle_id=handle, body={"n": 1}))["janus"] == "success"


async def test_a_session_that_was_handed_over_is_not_taken_for_one_that_ended(janus: Janus) -> None:
    """By the next process, which would send what names it on a connection that does not have it."""
    async with running_site(janus.url) as (one, two):
        session = (await one.send("create"))["data"]["id"]
        await one.call("janus_cluster_drain")
        assert one.bed.saved["gw", janus.url].keys().isdisjoint([int(session)])
        assert not one.bed.registry.find("gw").book.knows(int(session), None)
        answer = await one.send("attach", session_id=session, plugin=GEN)
        assert two.bed.registry.find("gw").book.having(int(answer["data"]["id"])) is not None
