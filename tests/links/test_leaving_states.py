"""Reconnect, another row and other secrets count in every state of a link (contract 4.4, 5.3)."""

from collections.abc import Callable

from bridge.core.environment import LinkSettings
from bridge.protocol.credentials import Credentials
from tests.links.test_leaving import QUICK, until_no_session
from tests.support.fake_janus import SILENCE, Greeting, error, open_fake_janus
from tests.support.janus import Janus
from tests.support.janus_client import AdminClient
from tests.support.linkbed import LinkBed, running
from tests.support.phases import Phase, phase
from tests.support.ports import free_port

Factory = Callable[..., Janus]


async def test_reconnect_and_another_row_count_in_every_state(janus: Janus) -> None:
    """Wherever it hangs, the other row is followed, with one attempt after the other."""
    async with (
        open_fake_janus() as silent,  # OPENING
        open_fake_janus() as joining,  # JOINING
        open_fake_janus() as refusing,  # REFUSED
        open_fake_janus() as closing,  # DOWN
    ):
        silent.greeting = Greeting.SILENCE
        joining.script["create"] = lambda request: SILENCE
        refusing.script["create"] = lambda request: [error(request, 472, "Not accepting new sessions")]
        closing.greeting = Greeting.CLOSE
        fakes = {"silent": silent, "joining": joining, "refusing": refusing, "closing": closing}
        bed = LinkBed(settings=LinkSettings(reconnect_min=20, reconnect_max=20))
        async with running(bed, {name: fake.url for name, fake in fakes.items()}):
            states = {"silent": Phase.OPENING, "joining": Phase.JOINING}
            states |= {"refusing": Phase.REFUSED, "closing": Phase.DOWN}
            await bed.until(
                lambda: (
                    all(
                        phase(bed.registry.find(name)) is state and fakes[name].connects
                        for name, state in states.items()
                    )
                    and bed.registry.find("closing").last_error
                )
            )
            for name in fakes:
                bed.registry.find(name).reconnect()
            await bed.until(lambda: closing.connects == 2 and refusing.connects == 2)  # at once, not after 20 s
            assert silent.connects == joining.connects == 1  # one is being made
            bed.reconcile({name: janus.url for name in fakes})
            for name in fakes:
                await bed.ready(name)


async def test_retarget_while_resting_goes_straight_to_the_new_url(janus: Janus) -> None:
    settings = LinkSettings(reconnect_min=20, reconnect_max=20)
    async with running(LinkBed(settings=settings), {"gw": f"ws://127.0.0.1:{free_port()}"}) as bed:
        link = bed.registry.find("gw")
        await bed.until(lambda: link.last_error is not None)
        connects = len(bed.connects)
        bed.reconcile({"gw": janus.url})
        await bed.ready()
        assert [gateway.janus_url for gateway in bed.connects[connects:]] == [janus.url]


async def test_frozen_janus_with_another_row_meanwhile(janus_factory: Factory) -> None:
    """LEAVING for silence: the new URL's sessions are made, and the frozen Janus hears of it when it is back."""
    old, new = janus_factory(reclaim_session_timeout=60), janus_factory()
    async with running(LinkBed(settings=QUICK), {"gw": old.url}) as bed, AdminClient.open(old) as admin:
        link = await bed.ready()
        old.freeze()
        await bed.until(lambda: phase(link) is Phase.LEAVING)
        bed.reconcile({"gw": new.url})
        await bed.ready()
        old.thaw()
        await until_no_session(admin)


async def test_changed_secret_opens_a_new_connection_and_keeps_the_sessions(janus_factory: Factory) -> None:
    server = janus_factory(api_secret="right")
    bed = LinkBed(settings=QUICK)
    bed.credentials["gw"] = Credentials(api_secret="right")
    async with running(bed, {"gw": server.url}):
        link = await bed.ready()
        handle = await bed.attach()
        bed.credentials["gw"] = Credentials(api_secret="wrong")
        bed.registry.credentials_changed({"gw"})
        await bed.until(lambda: link.last_error is not None)
        assert link.last_error is not None
        assert "403" in link.last_error
        await bed.echo(handle)  # on the old connection, with the old secret
        bed.credentials["gw"] = Credentials(api_secret="right", token="and more")
        bed.registry.credentials_changed({"gw"})
        await bed.until(lambda: link.reconnects == 1)
        await bed.echo(handle)
        assert bed.names() == ["connected"]
