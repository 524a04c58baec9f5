"""The table is read again while commands are in flight: only the difference counts (contract 4.4, 4.5)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from bridge.core.environment import LinkSettings
from bridge.errors import BridgeError, InvalidCommand, LinkDown, TransactionLost, UnknownJanusId
from tests.support.deadlines import HANG_SECONDS
from tests.support.fake_janus import SILENCE, open_fake_janus
from tests.support.janus import GEN, Janus
from tests.support.janus_client import AdminClient, JanusClient
from tests.support.linkbed import LinkBed, running
from tests.support.relay import open_relay

Factory = Callable[..., Janus]


@asynccontextmanager
async def in_flight(bed: LinkBed, janus_id: str, command: dict[str, Any], n: int = 1) -> AsyncIterator[list[Any]]:
    """``n`` times the same command, all accepted when the block is entered, and all over after it: how they ended."""
    outcomes: list[Any] = []

    async def ask() -> None:
        try:
            outcomes.append(await bed.ask(command, HANG_SECONDS, janus_id))
        except BridgeError as error:
            outcomes.append(error)

    traffic = bed.registry.find(janus_id).requests
    async with trio.open_nursery() as nursery:
        for _ in range(n):
            before = traffic.in_flight
            nursery.start_soon(ask)
            await bed.until(lambda before=before: traffic.in_flight > before)  # type: ignore[misc]
        yield outcomes


async def test_only_the_difference_counts(janus_factory: Factory) -> None:
    """Added, changed, removed and unchanged at once, each with a command in flight."""
    server = janus_factory()
    bed = LinkBed()
    rows = {name: server.url for name in ("stays", "changes", "goes")}
    async with (
        running(bed, rows),
        open_relay(server.port) as relay,
        AdminClient.open(server) as admin,
        JanusClient.open(server) as outsider,
    ):
        outside = await outsider.create()
        release = outside, await outsider.attach(outside, GEN), {"do": "release"}
        handles = {}
        for name in rows:
            await bed.ready(name)
            answer = await bed.ask({"janus": "attach", "plugin": GEN}, janus_id=name)
            handles[name] = answer["data"]["id"]
        stays = bed.registry.find("stays")
        session, connects = stays.book.managed.session_id, len(bed.connects)
        commands = {
            name: {"janus": "message", "handle_id": handle, "body": {"do": "hold"}} for name, handle in handles.items()
        }
        async with (
            in_flight(bed, "stays", commands["stays"]) as kept,
            in_flight(bed, "changes", commands["changes"]) as moved,
            in_flight(bed, "goes", commands["goes"]) as removed,
        ):
            difference = bed.reconcile({"new": server.url, "stays": server.url, "changes": relay.url})
            await bed.until(lambda: removed)  # or an answer that Janus sends at once may be before the 404
            while not (kept and moved):
                await outsider.message(*release)
        await outsider.destroy(outside)
        assert (difference.added, difference.changed) == (["new"], ["changes"])
        assert (difference.removed, difference.unchanged) == (["goes"], ["stays"])
        assert kept[0]["janus"] == moved[0]["janus"] == "event"
        assert isinstance(removed[0], UnknownJanusId)
        assert removed[0].data == "removed"
        await bed.ready("new")
        await bed.until(lambda: bed.registry.find("changes").reconnects == 1)
        assert bed.registry.find("stays") is stays
        assert stays.book.managed.session_id == session
        assert len(bed.connects) == connects + 2
        # Only the removed row's session is gone.
        expected = {link.book.managed.session_id for link in bed.registry}
        with trio.fail_after(HANG_SECONDS):
            while set(await admin.list_sessions()) != expected:  # noqa: ASYNC110 - Janus tells nobody
                await trio.sleep(0.01)
        assert expected == {link.book.managed.session_id for link in bed.registry} - {None}


async def test_removed_row_ends_all_of_its_sessions_where_janus_would_keep_them(janus_factory: Factory) -> None:
    server = janus_factory(reclaim_session_timeout=60)
    async with running(LinkBed(), {"gw": server.url}) as bed, AdminClient.open(server) as admin:
        await bed.ready()
        await bed.ask({"janus": "create"})
        assert len(await admin.list_sessions()) == 2
        bed.reconcile({})
        await bed.until(lambda: all(record.ended for record in bed.saved["gw", server.url].values()))
        with trio.fail_after(HANG_SECONDS):
            while await admin.list_sessions():  # noqa: ASYNC110 - Janus tells nobody
                await trio.sleep(0.01)
        assert bed.names() == ["connected", "disconnected"]
        assert list(bed.environment.managed_ids) == []


async def test_a_removed_row_with_living_handles_is_a_warning(janus: Janus, caplog: pytest.LogCaptureFixture) -> None:
    async with running(LinkBed(), {"gw": janus.url, "idle": janus.url}) as bed:
        await bed.ready("idle")
        await bed.ready()
        await bed.attach()
        await bed.attach("janus.plugin.videoroom")
        await bed.attach()
        bed.reconcile({})
    warnings = [record.getMessage() for record in caplog.records if "its row is gone" in record.getMessage()]
    text = "gw: its row is gone (removed), and with it 3 handles in 1 session: 2 {}, 1 janus.plugin.videoroom"
    assert warnings == [text.format(GEN)]


async def test_waiting_and_sent_commands_of_a_removed_row_get_404(janus: Janus) -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        await bed.ready()
        fake.script["message"] = lambda request: SILENCE
        async with in_flight(bed, "gw", {"janus": "message", "handle_id": 7, "body": {}}, 3) as outcomes:
            bed.reconcile({"gw 2": janus.url})
        assert [(type(error), error.data) for error in outcomes] == [(UnknownJanusId, "removed")] * 3


async def test_row_that_becomes_bad_and_good_again(janus_factory: Factory) -> None:
    """503 with its fault; what was sent before has no known outcome, what waited was not sent."""
    bed = LinkBed()
    async with open_fake_janus() as fake, running(bed, {"gw": fake.url}):
        await bed.ready()
        fake.script["message"] = lambda request: SILENCE
        async with in_flight(bed, "gw", {"janus": "message", "handle_id": 7, "body": {}}, 2) as outcomes:
            assert bed.reconcile({"gw": "http://nowhere"}).changed == ["gw"]
        assert {type(error) for error in outcomes} == {TransactionLost, LinkDown}
        link = bed.registry.find("gw")
        assert link.shown_state == "disabled"
        assert all("scheme 'http'" in (error.data or "") for error in outcomes)
        await fake.wait_request("destroy")
        assert bed.reconcile({"gw": "http://nowhere"}).unchanged == ["gw"]
        assert bed.reconcile({"gw": fake.url}).changed == ["gw"]
        await bed.ready()


async def test_removed_and_added_again_while_the_old_one_still_parts(janus_factory: Factory) -> None:
    """A frozen Janus does not say goodbye: the row may be back before that was given up."""
    server = janus_factory(reclaim_session_timeout=60)
    bed = LinkBed(settings=LinkSettings(ping_interval=20))
    async with running(bed, {"gw": server.url}):
        old = await bed.ready()
        server.freeze()
        bed.reconcile({})
        await trio.testing.wait_all_tasks_blocked()
        bed.reconcile({"gw": server.url})
        assert bed.registry.find("gw") is not old
        server.thaw()
        link = await bed.ready()
        assert link.book.managed.session_id != old.book.managed.session_id
        assert (await bed.ask({"janus": "ping"}))["janus"] == "pong"


async def test_rows_of_one_janus_do_not_touch_each_other(janus: Janus) -> None:
    async with running(LinkBed(), {"a": janus.url, "b": janus.url}) as bed:
        a, b = await bed.ready("a"), await bed.ready("b")
        session = b.book.managed.session_id
        for verb in ("destroy", "claim"):
            with pytest.raises(InvalidCommand, match="manages"):
                await bed.ask({"janus": verb, "session_id": session}, janus_id="a")
        bed.reconcile({"b": janus.url})
        await bed.ask({"janus": "keepalive"}, janus_id="b")
        assert b.book.managed.session_id == session
        assert a.book.managed.session_id != session
