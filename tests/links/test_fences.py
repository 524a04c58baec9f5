"""Behind the fence of a cluster nothing is written to Janus, and nothing of it is lost (contract 11)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from bridge.core.fence import CLOSED, FOREVER
from bridge.core.link import JanusLink
from bridge.errors import BridgeError, LinkDown, TransactionTimeout
from bridge.protocol.session import JanusSession
from tests.support.clusters import ClusterBed
from tests.support.fake_janus import FakeJanus, error, open_fake_janus
from tests.support.linkbed import LATER, LinkBed, running


@asynccontextmanager
async def beds() -> AsyncIterator[tuple[ClusterBed, FakeJanus, LinkBed]]:
    """A ready gateway of a bridge in a cluster."""
    cluster = ClusterBed()
    async with open_fake_janus() as janus, running(LinkBed(cluster=cluster.links), {"gw": janus.url}) as bed:
        await bed.ready()
        yield cluster, janus, bed


def verbs(janus: FakeJanus) -> list[str]:
    return [str(message["janus"]) for message in janus.received]


async def test_id_of_a_session_is_kept_before_janus_hears_of_it() -> None:
    async with beds() as (cluster, janus, bed):
        managed = bed.registry.find("gw").book.managed.session_id
        assert cluster.sessions.told[0] == ("reserve", managed)
        assert (await janus.wait_request("create"))["id"] == managed
        assert cluster.sessions.kept == {managed: True}


async def test_id_that_janus_has_already_is_replaced() -> None:
    cluster = ClusterBed()
    async with open_fake_janus() as janus:
        janus.script["create"] = lambda request: (
            [error(request, 468, "Session ID already in use")] if len(janus.received) < 4 else janus.answer(request)
        )
        async with running(LinkBed(cluster=cluster.links), {"gw": janus.url}) as bed:
            link = await bed.ready()
            asked = [message["id"] for message in janus.received if message["janus"] == "create"]
            assert asked == [5_000_000_001, 5_000_000_002, 5_000_000_003]
            assert (link.book.managed.session_id, cluster.sessions.kept) == (asked[-1], {asked[-1]: True})


async def test_id_for_which_no_session_was_made_is_given_up() -> None:
    cluster = ClusterBed()
    async with open_fake_janus() as janus:
        janus.script["create"] = lambda request: [error(request, 472, "no more sessions")]
        async with running(LinkBed(cluster=cluster.links), {"gw": janus.url}) as bed:
            await bed.until(lambda: len(cluster.sessions.told) >= 2)  # a connect that was slow is backoff, too
            assert cluster.sessions.told[:2] == [("reserve", 5_000_000_001), ("end", 5_000_000_001)]


async def test_what_is_given_up_behind_a_closed_fence_is_let_go_of() -> None:
    """The fence may stay closed for hours, and callers go on asking."""
    async with beds() as (cluster, _, bed):
        cluster.close()
        with pytest.raises(TransactionTimeout):
            await bed.message("7", {"n": 1}, timeout=0.001)
        assert len(cluster.links.fenced) == 0


async def test_what_is_written_behind_a_closed_fence_goes_out_in_its_order() -> None:
    async with beds() as (cluster, janus, bed):
        answers: list[int] = []

        async def ask(n: int) -> None:
            await bed.message("7", {"n": n}, transaction=f"t{n}")
            answers.append(n)

        link = bed.registry.find("gw")
        cluster.close()
        async with trio.open_nursery() as nursery:
            for n in range(3):
                nursery.start_soon(ask, n)
                await bed.until(partial(in_flight, link, n + 1))
            link.requests.keepalive(link.connections[1], 1)
            assert "message" not in verbs(janus)
            cluster.open()
        assert [message["body"]["n"] for message in janus.received if message["janus"] == "message"] == [0, 1, 2]
        assert answers == [0, 1, 2]


async def test_time_limits_go_on_behind_it() -> None:
    async with beds() as (cluster, janus, bed):
        cluster.close()
        late = await bed.ask_in_vain({"janus": "message", "handle_id": 7, "body": {}})
        assert isinstance(late, TransactionTimeout)
        assert late.data == "not sent"
        cluster.open()
        await bed.ask({"janus": "attach", "plugin": "x"})
        assert "message" not in verbs(janus)


async def test_without_a_valid_beat_it_writes_but_neither_claims_nor_destroys() -> None:
    """As with ``db_outage = "serve"``, out of reach of everything but Janus."""
    async with beds() as (cluster, janus, bed):
        session = (await bed.ask({"janus": "create"}))["data"]["id"]
        cluster.fence.move(CLOSED, FOREVER)
        await bed.message("7", {})
        for verb in ("destroy", "claim"):
            held = await bed.ask_in_vain({"janus": verb, "session_id": session})
            assert held.data == "not sent"
        await janus.peer.drop()
        await janus.wait_until(lambda: verbs(janus).count("info") == 2)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not {"claim", "destroy"} & set(verbs(janus))
        cluster.open()
        await bed.ready()
        assert verbs(janus).count("claim") == 2


@pytest.mark.parametrize("end", [JanusLink.give_up, lambda link, sessions, _why: link.book.offer(sessions)])
async def test_what_is_another_one_s_by_the_time_of_a_beat_is_not_claimed(
    end: Callable[[JanusLink, list[JanusSession], str], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The claims of a new connection waited for it."""
    async with beds() as (cluster, janus, bed):
        link = bed.registry.find("gw")
        cluster.fence.move(CLOSED, FOREVER)
        await janus.peer.drop()
        await janus.wait_until(lambda: verbs(janus).count("info") == 2)
        await trio.testing.wait_all_tasks_blocked(0.01)
        end(link, list(link.book), "node 2 has them")
        cluster.open()
        await bed.ready()
        assert "claim" not in verbs(janus)
        assert "restarting" not in caplog.text


async def test_where_another_bridge_has_the_sessions_nothing_is_destroyed_at_the_end() -> None:
    async with beds() as (cluster, janus, bed):
        cluster.close()
        await bed.registry.stop(hand_over=False)
        assert not {"claim", "destroy"} & set(verbs(janus))


def in_flight(link: JanusLink, count: int) -> bool:
    return link.requests.in_flight == count


async def ask(bed: LinkBed, errors: list[BridgeError]) -> None:
    try:
        await bed.ask({"janus": "message", "handle_id": 7, "body": {}}, LATER)
    except BridgeError as exc:
        errors.append(exc)


async def test_what_is_given_up_was_not_sent() -> None:
    async with beds() as (cluster, janus, bed):
        link, errors = bed.registry.find("gw"), list[BridgeError]()
        cluster.close()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, bed, errors)
            await bed.until(lambda: link.requests.in_flight == 1)
            link.requests.close(LinkDown("another bridge has taken over"))
        cluster.open()
        await bed.ask({"janus": "attach", "plugin": "x"})
        assert isinstance(errors[0], LinkDown)
        assert "message" not in verbs(janus)
