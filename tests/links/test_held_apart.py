"""Sockets that outlive their process, to several Janus behind a balancer, each with sessions of its own (10)."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.errors import LinkDown
from bridge.transport.fd_store import FdStore
from tests.links.conftest import beds, numbers
from tests.support.fake_systemd import FakeSystemd
from tests.support.fronts import haproxy
from tests.support.janus import Janus
from tests.support.linkbed import LinkBed, running

Factory = Callable[..., Janus]


@pytest.fixture
def balanced(tmp_path: Path, janus_factory: Factory) -> Iterator[tuple[Janus, Mapping[str, str]]]:
    """The first of two Janus, and a row whose connections lead to each in turn, by haproxy. Both reclaim nothing."""
    one, two = janus_factory(), janus_factory()
    with haproxy(tmp_path, one.port, beside=[two.port]) as port:
        yield one, {"gw": f"ws://127.0.0.1:{port}/"}


@asynccontextmanager
async def at_both(bed: LinkBed, rows: Mapping[str, str]) -> AsyncIterator[tuple[str, str, str]]:
    """A process with a handle at the first, one at the second, and a client session at the first; it ends as planned
    with the block.
    """
    async with running(bed, rows):
        link = await bed.ready()
        handle = await bed.attach()
        client_session = (await bed.ask({"janus": "create"}))["data"]["id"]
        link.reconnect()
        await link.reconnected()
        yield handle, await bed.attach(), client_session
        await bed.registry.stop(hand_over=True)


async def test_sessions_with_several_janus_live_on_each_where_it_is(
    balanced: tuple[Janus, Mapping[str, str]], systemd: FakeSystemd, store: FdStore
) -> None:
    """Each connection goes on with its own. The third life is killed at once."""
    _, rows = balanced
    first, second, third, fourth = beds(store, "one", "two", "three", "four")
    async with at_both(first, rows) as (handle, other, client_session):
        await first.message(handle, {"do": "tick", "ms": 2, "n": 100_000})
    names = systemd.names
    assert len(names) == 2
    async with running(second, rows):
        link = await second.ready()
        await second.registry.reunited()
        await second.echo(handle)
        await second.echo(other)
        assert (await second.ask({"janus": "keepalive", "session_id": client_session}))["janus"] == "ack"
        await second.until(lambda: len(second.events) > 10)
        assert second.names() == ["connected"]
        assert systemd.names == names
        new = await second.attach()
        assert int(new) in link.book.managed.handles
        assert int(other) in link.book.managed.handles  # what is new is made where it was
    async with running(third, rows):
        pass
    heard = numbers(first, second)
    async with running(fourth, rows):
        link = await fourth.ready()
        link.reconnect()
        await link.reconnected()
        for each in (handle, other, new):
            await fourth.echo(each)
        assert "session_lost" not in fourth.names()
    assert heard == list(range(len(heard)))


async def test_one_of_several_janus_that_ends_meanwhile_takes_its_own_sessions_alone(
    balanced: tuple[Janus, Mapping[str, str]], store: FdStore
) -> None:
    one, rows = balanced
    first, second = beds(store, "one", "two")
    async with at_both(first, rows) as (handle, other, _):
        pass
    one.kill()
    async with running(second, rows):
        await second.ready()
        await second.until(lambda: second.names().count("session_lost") == 2)
        await second.echo(other)
        lost = [detail for _, name, _, detail in second.statuses if name == "session_lost"]
        assert [told["handle_id"] for detail in lost for told in detail["handles"]] == [handle]


async def test_one_of_several_janus_that_is_frozen_meanwhile_stops_nobody_and_has_its_sessions_when_it_goes_on(
    balanced: tuple[Janus, Mapping[str, str]], store: FdStore
) -> None:
    one, rows = balanced
    first, second = beds(store, "one", "two")
    async with at_both(first, rows) as (handle, other, _):
        one.freeze()
    async with running(second, rows):
        await second.ready()
        await second.echo(other)
        with pytest.raises(LinkDown, match="the connection that carries this session is silent"):
            await second.message(handle, {"n": 1})
        one.thaw()
        await second.registry.reunited()
        await second.echo(handle)
        assert "session_lost" not in second.names()
