"""What happens to a connection that carried a gateway's sessions."""

from collections.abc import Callable

from bridge.errors import TransactionLost
from tests.faults.links import QUICK, in_flight, normal, unsent
from tests.support.deadlines import in_time
from tests.support.janus import Janus
from tests.support.linkbed import LATER, LinkBed, running
from tests.support.relay import open_relay

Factory = Callable[..., Janus]
MUTE = {"do": "mute"}


async def test_fin(janus_factory: Factory, within: float) -> None:
    server = janus_factory(reclaim_session_timeout=30)
    async with open_relay(server.port) as relay, running(LinkBed(), {"gw": relay.url}) as bed:
        await bed.ready()
        handle = await bed.attach()
        async with in_flight(bed, bed.message(handle, MUTE)) as errors:
            await relay.cut()
        assert isinstance(errors[0], TransactionLost)
        await normal(bed, within)
        await bed.echo(handle)


async def test_rst(janus_factory: Factory, within: float) -> None:
    server = janus_factory(reclaim_session_timeout=30)
    async with open_relay(server.port) as relay, running(LinkBed(), {"gw": relay.url}) as bed:
        await bed.ready()
        handle = await bed.attach()
        async with in_flight(bed, bed.message(handle, MUTE)) as errors:
            await relay.reset()
        assert isinstance(errors[0], TransactionLost)
        await normal(bed, within)
        await bed.echo(handle)


async def test_black_hole(janus: Janus, within: float) -> None:
    """Nothing arrives. This Janus does not reclaim: the handle lives on only because nobody closes the connection."""
    rows = {"healthy": janus.url}
    async with open_relay(janus.port) as relay, running(LinkBed(settings=QUICK), {**rows, "gw": relay.url}) as bed:
        await bed.ready()
        handle = await bed.attach()
        with in_time(2 * QUICK.ping_interval + 1):
            async with in_flight(bed, bed.message(handle, MUTE, LATER)) as errors:
                relay.black_hole()
                await normal(bed, 1, "healthy")
        assert isinstance(errors[0], TransactionLost)
        assert "silent" in await unsent(bed)
        relay.resume()
        await normal(bed, within)
        await bed.echo(handle)
        assert "session_lost" not in bed.names()
