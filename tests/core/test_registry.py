"""The gateways as the table says: by difference, each found by its janus_id. Rows that are bad need no Janus."""

import logging

import pytest

from bridge.errors import LinkDown, UnknownJanusId
from bridge.protocol.session import SavedSession
from tests.support.linkbed import LinkBed, running

BAD = "http://h/"


async def test_the_difference_is_what_is_done() -> None:
    async with running(LinkBed(), {"a": BAD, "b": BAD, "c": BAD}) as bed:
        registry = bed.registry
        kept, removed, changed = (registry.find(name) for name in "abc")
        difference = bed.reconcile({"a": BAD, "c": "http://other/", "d": BAD})
        assert (difference.added, difference.changed, difference.removed, difference.unchanged) == (
            ["d"],
            ["c"],
            ["b"],
            ["a"],
        )
        assert registry.find("a") is kept
        assert registry.find("c") is not changed
        assert [link.gateway.janus_id for link in registry] == ["a", "c", "d"]
        assert removed not in list(registry)
        assert len(registry) == 3


async def test_a_gateway_that_is_not_there_is_named() -> None:
    async with running(LinkBed(), {}) as bed:
        with pytest.raises(UnknownJanusId, match="no row of the table has janus_id 'x'"):
            bed.registry.find("x")


async def test_at_a_stop_one_that_is_not_there_may_only_be_one_that_has_ended() -> None:
    """A 404 would be final."""
    async with running(LinkBed(), {"a": BAD}) as bed:
        await bed.registry.stop(hand_over=False)
        with pytest.raises(LinkDown, match="the bridge is stopping"):
            bed.registry.find("a")


async def test_a_row_that_goes_before_the_sessions_of_the_last_process_are_claimed_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bed, url = LinkBed(), "janusws://127.0.0.1:1"
    handles = ((8, "janus.plugin.sip"), (9, "janus.plugin.sip"))
    bed.saved["gw", url] = {5: SavedSession(5, managed=True, handles=handles), 6: SavedSession(6, managed=False)}
    async with running(bed, {"gw": url}):
        assert bed.registry.find("gw").book.counts == (2, 2)  # they are shown before Janus has said a word
        bed.reconcile({})
    assert "gw: its row is gone (removed), and with it 2 handles in 1 session: 2 janus.plugin.sip" in caplog.messages


async def test_draining_outlives_a_change_of_the_row(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "bridge.link")
    async with running(LinkBed(), {"a": BAD, "b": BAD}) as bed:
        registry = bed.registry
        assert registry.drain("a", True) == {"a"}
        assert [link.book.draining for link in registry] == [True, False]
        bed.reconcile({"a": "http://other/", "b": BAD})
        assert registry.find("a").book.draining
        assert registry.drain("b", True) == {"a", "b"}
        assert registry.drain("a", False) == {"b"}
        assert not registry.find("a").book.draining
        with pytest.raises(UnknownJanusId):
            registry.drain("x", True)
    assert next(message for message in caplog.messages if "drain" in message).startswith("a: draining")
