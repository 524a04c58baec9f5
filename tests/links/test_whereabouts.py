"""Any bridge of a cluster serves any handle: by one hop, honestly, in order (contract 11)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from bridge.core import whereabouts
from bridge.core.whereabouts import Wanted
from bridge.protocol import codec
from bridge.protocol.cluster import FIND
from bridge.protocol.jsonrpc import RpcError, render_request
from tests.support.cluster_bridges import Bridge, Site, running_bridge, running_site
from tests.support.deadlines import HANG_SECONDS
from tests.support.janus import GEN, Janus


async def echo(bridge: Bridge, handle: str, n: int = 1, **members: str) -> None:
    answer = await bridge.send("message", handle_id=handle, body={"n": n}, timeout=int(HANG_SECONDS * 1000), **members)
    assert answer["plugindata"]["data"]["echo"]["n"] == n, answer


async def test_handle_of_a_living_bridge_answers_at_another_one(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        await echo(two, handle)
        await echo(two, handle, transaction="mine")
        assert two.site.asked == [(1, "janus_cluster_find"), (1, "janus_cluster_send"), (1, "janus_cluster_send")]
        assert two.bed.stats.get("forwarded") == 2


async def test_client_session_too_with_every_kind_of_command(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        session = str((await one.send("create"))["data"]["id"])
        handle = await two.attach(GEN, session_id=session)
        await echo(one, handle, session_id=session)
        await echo(two, handle)
        assert (await two.send("keepalive", session_id=session))["janus"] == "ack"
        trickled = await two.send("trickle", session_id=session, handle_id=handle, candidate={"completed": True})
        assert trickled["janus"] == "ack"
        assert (await two.send("detach", handle_id=handle))["janus"] == "success"
        assert (await two.send("destroy", session_id=session))["janus"] == "success"
        assert not one.sessions.kept.get(int(session))


async def test_asynchronous_answer_comes_back_by_the_same_way(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        handle = await one.attach("janus.plugin.videoroom")
        answer = await two.send("message", handle_id=handle, body={"request": "join", "room": 1, "ptype": "x"})
        assert (answer["janus"], answer["plugindata"]["data"]["videoroom"]) == ("event", "event")


async def test_what_nobody_has_gets_the_answer_of_janus(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        answer = await two.send("message", handle_id="12345", body={})
        assert answer["error"]["code"] == 459
        strange = await two.send("attach", plugin=GEN, session_id="4711")
        assert strange["session_id"] == str(two.bed.registry.find("gw").book.managed.session_id)
        with pytest.raises(RpcError, match="destroy of a session"):
            await one.send("destroy", session_id="4711")


async def test_an_answer_that_is_no_bridge_s_is_none(janus: Janus) -> None:
    """So nobody knows whether the handle lives there: 459 would be final."""
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        answers: tuple[Any, ...] = ("OK", None, [], {}, {"here": "no"})
        for junk in answers:
            two.site.junk[FIND] = junk
            with pytest.raises(RpcError, match="its answer is not that of a bridge") as caught:
                await two.send("message", handle_id=handle, body={})
            assert caught.value.code == 503
        two.site.junk.clear()
        await echo(two, handle)


async def test_bridge_that_has_just_begun_is_asked_before_an_answer_is_final(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        two.site.unread.add(1)
        await echo(two, handle)


async def test_who_says_that_it_has_it_lives_though_its_beat_stands_still(janus: Janus) -> None:
    """As one that was stopped for a moment, and answers before it beats."""
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        look, ask = two.look, two.ask

        async def looks() -> bool:
            two.site.silent.clear()
            return await look()

        async def asks(url: str, method: str, params: Sequence[Any], patience: float) -> Any:
            if method == "janus_cluster_find":
                two.site.silent.add(1)
            return await ask(url, method, params, patience)

        two.look, two.side.errands.whereabouts._ask = looks, asks  # type: ignore[method-assign]
        found = await two.side.errands.whereabouts.find(two.bed.registry.find("gw"), Wanted("gw", None, int(handle)))
        assert found.node is not None
        assert found.node.node_id == 1


async def test_what_comes_here_while_it_is_looked_for_elsewhere_is_found(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        ask = two.ask

        async def asks(url: str, method: str, params: Sequence[Any], patience: float) -> Any:
            if method == "janus_cluster_find":
                await two.links.adopt(1, one.node_sessions(), 0)
                one.links.give_up("node 2 has taken over")
            return await ask(url, method, params, patience)

        two.side.errands.whereabouts._ask = asks
        await echo(two, handle)


async def test_while_janus_does_not_say_who_has_it_nothing_is_final(
    janus: Janus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a bridge that was stopped and has not beaten yet: its questions wait, and a peer asks it."""
    monkeypatch.setattr(whereabouts, "PATIENCE", 0.05)
    async with running_site(janus.url) as (one, two):
        two.fence.move(0)
        with pytest.raises(RpcError, match="Janus does not say whether a session here has it"):
            await two.call("janus_cluster_find", "gw", "", "12345")
        with pytest.raises(RpcError, match="cannot be asked") as refused:
            await one.send("message", handle_id="12345", body={})
        assert refused.value.code == 503


async def test_nothing_is_final_while_nobody_can_look_who_has_begun(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        two.site.unread.add(1)
        two.site.unreadable = True
        with pytest.raises(RpcError) as caught:
            await two.send("message", handle_id=handle, body={})
        assert (caught.value.code, caught.value.message) == (503, "Janus take-over pending")
        two.site.unreadable = False
        await echo(two, handle)


async def test_without_the_table_the_answer_is_final_where_all_that_may_live_say_no(janus: Janus) -> None:
    """Those too that were taken over: one may have begun anew where nobody reads it."""
    async with running_site(janus.url, 3) as (one, two, three):
        handle, nobodys = await one.attach(GEN), "4711"
        two.site.unreadable = True
        answer = await two.send("message", handle_id=nobodys, body={})
        assert answer["error"]["code"] == 459
        two.site.idle.add(1)
        await echo(two, handle)
        assert (await three.send("message", handle_id=nobodys, body={}))["error"]["code"] == 459
        two.site.dead.add(1)
        with pytest.raises(RpcError, match="node 1 cannot be asked") as caught:
            await two.send("message", handle_id="4712", body={})
        assert caught.value.code == 503


async def test_while_a_bridge_is_silent_nothing_is_final(janus: Janus) -> None:
    async with running_site(janus.url, 3) as (one, two, three):
        handle = await one.attach(GEN)
        one.site.silent.add(1)
        with pytest.raises(RpcError) as caught:
            await two.send("message", handle_id=handle, body={})
        assert (caught.value.code, caught.value.message) == (503, "Janus take-over pending")
        assert caught.value.data == "its bridge (node 1) is silent: nothing was sent"
        await echo(two, await three.attach(GEN))  # what the others have is found all the same
        one.site.silent.clear()
        await echo(two, handle)


async def test_outcomes_of_a_hop_are_honest(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        await echo(two, handle)
        one.site.dead.add(1)
        with pytest.raises(RpcError, match=r"node 1 has this session, and cannot be reached.*nothing was sent") as lost:
            await two.send("message", handle_id=handle, body={})
        assert lost.value.code == 503
        one.site.dead.clear()
        one.site.mute.add(1)
        with pytest.raises(RpcError, match="node 1 has this session, and may have executed it") as lost:
            await two.send("message", handle_id=handle, body={})
        assert lost.value.code == 502


async def test_order_of_a_handle_is_kept_over_the_hop(janus: Janus) -> None:
    """Those that are on their way at once go over as many connections."""
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        answers: list[int] = []
        for n in range(20):
            command = {"janus": "message", "handle_id": handle, "body": {"n": n}}
            body = render_request("janus_send_request", ["gw", command], "1")
            two.dispatch(body, lambda answer: answers.append(number_of(answer)))
        await two.bed.until(lambda: len(answers) == 20)
        assert answers == list(range(20))


def number_of(answer: bytes | None) -> int:
    return int(codec.parse((answer or b"").decode())["result"]["plugindata"]["data"]["echo"]["n"])


async def test_notification_goes_there_too(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        command = {"janus": "message", "handle_id": await one.attach(GEN), "body": {}}
        body = codec.render_bytes({"jsonrpc": "2.0", "method": "janus_send_request", "params": ["gw", command]})
        answers: list[bytes | None] = []
        two.dispatch(body, answers.append)
        await one.bed.until(lambda: one.bed.stats.get("notifications_done") == 1)
        await two.bed.until(lambda: answers == [None])


async def test_no_second_hop(janus: Janus) -> None:
    """What two bridges believe of each other ends after one."""
    async with running_site(janus.url, 3) as (_, two, _):
        command = {"janus": "message", "handle_id": "1", "body": {}}
        with pytest.raises(RpcError) as caught:
            await two.call("janus_cluster_send", "gw", command, 500, "a", "", 0)
        assert caught.value.code == 421
        assert two.site.asked == []


async def test_handle_of_an_adopted_session_is_found_with_and_without_its_session(
    janus_factory: Callable[..., Janus],
) -> None:
    janus = janus_factory(reclaim_session_timeout=30)
    site = Site()
    async with running_bridge(site, 2, janus.url) as two:
        async with running_bridge(site, 1, janus.url) as one:
            managed = await one.attach(GEN)
            client = str((await one.send("create"))["data"]["id"])
            handle = await one.attach(GEN, session_id=client)
            sessions = one.node_sessions()
        del site.bridges[1]
        assert len(sessions) == 2
        assert await two.links.adopt(1, sessions, 1.5) == 2
        await echo(two, managed)
        await echo(two, handle)
        await echo(two, handle, session_id=client)
        statuses = [(status, reason, detail) for _, status, reason, detail in two.bed.statuses]
        assert ("taken_over", "node 1 is over", {"node": 1, "sessions": 2}) in statuses
        (lost,) = [detail for status, reason, detail in statuses if status == "events_lost" and reason == "take-over"]
        assert lost["lost"] is None
        assert lost["seconds"] >= 1.5
        again = await two.attach(GEN)  # in a session of its own
        assert int(again) not in two.bed.registry.find("gw").book.inherited[0].handles


async def test_what_this_bridge_gave_up_is_found_at_the_one_that_has_it(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        await two.links.adopt(1, one.node_sessions(), 0)
        one.links.give_up("node 2 has taken over")
        await echo(one, handle)
        link = await one.bed.ready()
        assert link.book.managed.session_id not in (None, one.node_sessions()[0].session_id)
        assert ("gw", "taken_over", "node 2 has taken over", {"node": 1, "sessions": 1}) in one.bed.statuses
        assert {"session_lost", "disconnected"}.isdisjoint(one.bed.names())
        assert one.site.asked[-1] == (2, "janus_cluster_send")


async def test_what_nobody_has_is_not_looked_for_again_and_again(janus: Janus) -> None:
    async with running_site(janus.url) as (_, two):
        for _ in range(3):
            answer = await two.send("message", handle_id="12345", body={})
            assert answer["error"]["code"] == 459
        assert two.site.asked == [(1, "janus_cluster_find")]
        two.site.silent.add(1)
        with pytest.raises(RpcError, match="silent"):  # who lives is another question now
            await two.send("message", handle_id="12345", body={})


async def test_place_of_a_session_that_was_given_up_is_forgotten(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        session = str((await one.send("create"))["data"]["id"])
        handle = await one.attach(GEN, session_id=session)
        await echo(one, handle)  # found here, without its session
        await two.links.adopt(1, one.node_sessions(), 0)
        one.links.give_up("node 2 has taken over")
        await echo(one, handle)
        await echo(one, handle, session_id=session)


async def test_who_is_just_taking_over_does_not_say_that_nobody_has_it(janus: Janus) -> None:
    """Between the moment when a bridge has won and the one when it knows the sessions."""
    async with running_site(janus.url, 3) as (one, two, three):
        handle = await one.attach(GEN)
        one.site.dead.add(1)
        del one.site.bridges[1]  # for the third one, it is taken already
        two.silent = lambda: [two._node(1)]  # type: ignore[method-assign]
        with pytest.raises(RpcError) as caught:
            await three.send("message", handle_id=handle, body={})
        assert caught.value.code == 503
        assert caught.value.data == "node 2 cannot be asked (its bridge (node 1) is silent): nothing was sent"


async def test_handle_of_another_bridge_beside_the_session_of_this_one(janus: Janus) -> None:
    """A script that keeps the session_id of some answer sends it with any handle."""
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        own = two.bed.registry.find("gw").book.managed.session_id
        await echo(two, handle, session_id=str(own))


async def test_bridge_that_handed_over_says_where_it_is(janus: Janus) -> None:
    async with running_site(janus.url, 3) as (one, two, three):
        handle = await one.attach(GEN)
        one.site.draining.add(3)
        await one.call("janus_cluster_drain")
        assert await one.call("janus_cluster_find", "gw", "", handle) == {"here": False, "node_id": 2}
        assert await two.call("janus_cluster_find", "gw", "", handle) == {"here": True, "node_id": None}
        await echo(three, handle)


async def test_command_that_no_bridge_wants_ends(janus: Janus) -> None:
    async with running_site(janus.url) as (_, two):
        ask = two.side.errands.whereabouts._ask

        async def lie(url: str, method: str, params: Sequence[Any], patience: float) -> Any:
            return {"here": True} if method == "janus_cluster_find" else await ask(url, method, params, patience)

        two.side.errands.whereabouts._ask = lie
        with pytest.raises(RpcError, match="on its way from one bridge to another") as caught:
            await two.send("message", handle_id="4711", body={})
        assert caught.value.code == 503
        assert two.site.asked == [(1, "janus_cluster_send")] * 4


async def test_session_of_another_bridge_stays_its_own_whatever_id_a_caller_asks_for(janus: Janus) -> None:
    async with running_site(janus.url) as (one, two):
        session = (await one.send("create"))["data"]["id"]
        refused = await two.send("create", id=session)
        assert refused["error"]["code"] == 468
        assert int(session) not in [session_id for _, session_id in two.sessions.told]
        assert one.sessions.kept[int(session)] is False
        named = await two.send("create", id="4711")
        assert named["data"]["id"] == 4711
        assert two.sessions.kept[4711] is False
        assert two.sessions.told[-1] == ("reserve", 4711)


async def test_at_a_stop_who_waits_for_another_bridge_has_an_answer(janus: Janus) -> None:
    """What went out may have been done; what is still looked for was not sent."""
    async with running_site(janus.url) as (one, two):
        handle = await one.attach(GEN)
        await echo(two, handle)  # now it knows where that lives
        ended: list[tuple[int, str]] = []

        async def ask(handle_id: str, **members: Any) -> None:
            with pytest.raises(RpcError) as caught:
                await two.send("message", handle_id=handle_id, **members)
            ended.append((caught.value.code, handle_id))

        with trio.fail_after(HANG_SECONDS):
            async with trio.open_nursery() as callers:
                callers.start_soon(partial(ask, handle, body={"do": "mute"}))
                while not one.bed.registry.find("gw").requests.in_flight:  # noqa: ASYNC110 - it has no event
                    await trio.sleep(0.002)
                two.site.hanging.add(one.node_id)
                callers.start_soon(partial(ask, "4711", body={}))
                callers.start_soon(partial(ask, "4711", body={}))
                await trio.testing.wait_all_tasks_blocked(0.01)
                two.side.errands.stop()
        assert sorted(ended) == [(502, handle), (503, "4711"), (503, "4711")]


async def test_what_comes_while_a_stop_waits_for_commands_in_flight_is_refused(janus: Janus) -> None:
    """By UDP, say, where nobody can be refused before: it would else be sent, and cut off with them."""
    async with running_site(janus.url, 1) as (one,), trio.open_nursery() as nursery:
        handle = await one.attach(GEN)
        requests = one.bed.registry.find("gw").requests

        async def ask() -> None:
            with pytest.raises(RpcError, match="no event came"):
                await one.send("message", handle_id=handle, body={"do": "mute"})

        nursery.start_soon(ask)
        with trio.fail_after(HANG_SECONDS):
            while not requests.in_flight:  # noqa: ASYNC110 - it has no event
                await trio.sleep(0.002)
        await echo(one, handle)  # is sent once the other was acknowledged
        nursery.start_soon(partial(one.bed.registry.stop, hand_over=True))
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(RpcError, match="the bridge is stopping"):
            await echo(one, handle)
        for pending in list(requests.of_callers):
            pending.expire()
