"""What is there when the bridge connects, and is no Janus that answers."""

from collections.abc import Callable

from bridge.errors import TransactionLost
from bridge.protocol.credentials import Credentials
from tests.faults.links import in_flight, normal, unsent
from tests.support.fake_janus import Greeting, open_fake_janus
from tests.support.janus import Janus
from tests.support.linkbed import LinkBed, running
from tests.support.relay import open_relay

Factory = Callable[..., Janus]


async def seen_at(greeting: Greeting, healthy: Janus, within: float) -> str:
    """Meet a server that greets like this; what callers are told. A healthy gateway beside it notices nothing."""
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url, "healthy": healthy.url}) as bed:
        link = bed.registry.find("gw")
        fake.greeting = greeting
        await bed.until(lambda: link.last_error is not None)
        reason = await unsent(bed)
        await normal(bed, 1, "healthy")
        fake.greeting = Greeting.UPGRADE
        await normal(bed, within)
        return reason


async def test_refused(janus: Janus, within: float) -> None:
    async with open_relay(janus.port) as relay, running(LinkBed(), {"gw": relay.url}) as bed:
        link = await bed.ready()
        await relay.refuse()
        await relay.cut()
        await bed.until(lambda: "refused" in (link.last_error or ""))
        assert "refused" in await unsent(bed)
        await bed.until(lambda: len(bed.connects) >= 4)  # and again
        await relay.accept()
        await normal(bed, within)


async def test_accepted_and_closed(janus: Janus, within: float) -> None:
    assert "closed the connection" in await seen_at(Greeting.CLOSE, janus, within)


async def test_http_error_at_the_upgrade(janus: Janus, within: float) -> None:
    assert "HTTP 503" in await seen_at(Greeting.HTTP_ERROR, janus, within)


async def test_redirected(janus: Janus, within: float) -> None:
    assert "HTTP 302" in await seen_at(Greeting.REDIRECT, janus, within)


async def test_no_sub_protocol(janus: Janus, within: float) -> None:
    assert "sub-protocol janus-protocol" in await seen_at(Greeting.NO_SUBPROTOCOL, janus, within)


async def test_no_http_at_all(janus: Janus, within: float) -> None:
    assert "something else" in await seen_at(Greeting.GARBAGE, janus, within)


async def test_closed_after_the_upgrade(janus: Janus, within: float) -> None:
    assert "closed the connection" in await seen_at(Greeting.UPGRADE_THEN_CLOSE, janus, within)


async def test_wrong_secret(janus_factory: Factory, within: float) -> None:
    server = janus_factory(api_secret="right")
    async with running(LinkBed(credentials={"gw": Credentials(api_secret="wrong")}), {"gw": server.url}) as bed:
        link = bed.registry.find("gw")
        await bed.until(lambda: link.last_error is not None)
        assert "403" in await unsent(bed)
        bed.credentials["gw"] = Credentials(api_secret="right")
        bed.registry.credentials_changed({"gw"})
        await normal(bed, within)


async def test_killed(janus_factory: Factory, within: float) -> None:
    server = janus_factory()
    async with running(LinkBed(), {"gw": server.url}) as bed:
        await bed.ready()
        mute = {"janus": "message", "handle_id": await bed.attach(), "body": {"do": "mute"}}
        async with in_flight(bed, bed.ask(mute)) as errors:
            server.kill()
        assert isinstance(errors[0], TransactionLost)
        await unsent(bed)
        server.start()
        await normal(bed, within)
        lost = [detail for _, status, _, detail in bed.statuses if status == "session_lost"]
        assert [len(detail["handles"]) for detail in lost] == [1]
