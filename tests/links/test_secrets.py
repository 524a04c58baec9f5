"""API secrets, stored and signed tokens: in every request that needs them, and shown nowhere (contract 3.2, 6.4)."""

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
import trio

from bridge.core.commands_janus import describe
from bridge.core.environment import LinkSettings
from bridge.protocol import codec
from bridge.protocol.credentials import Credentials
from tests.support.fake_janus import open_fake_janus
from tests.support.janus import GEN, Janus
from tests.support.janus_client import AdminClient
from tests.support.linkbed import LinkBed, running
from tests.support.relay import open_relay

Factory = Callable[..., Janus]
QUICK = LinkSettings(ping_interval=1.0)
SECRET = "correct horse"


def bed_with(**secrets: Any) -> LinkBed:
    bed = LinkBed(settings=QUICK)
    bed.credentials["gw"] = Credentials(now=time.time, **secrets)
    return bed


async def lives_through_a_claim(bed: LinkBed, server: Janus) -> None:
    """create, attach, message, keepalive and claim all need the secret."""
    async with open_relay(server.port) as relay, running(bed, {"gw": relay.url}):
        link = await bed.ready()
        handle = await bed.attach()
        await bed.until(lambda: link.rtt is not None)
        await relay.cut()
        await bed.until(lambda: link.reconnects == 1)
        await bed.echo(handle)
        assert "session_lost" not in bed.names()


async def test_api_secret(janus_factory: Factory) -> None:
    await lives_through_a_claim(
        bed_with(api_secret=SECRET), janus_factory(api_secret=SECRET, reclaim_session_timeout=30)
    )


async def test_stored_token(janus_factory: Factory) -> None:
    server = janus_factory(token_auth=True, reclaim_session_timeout=30)
    async with AdminClient.open(server) as admin:
        await admin.add_token("stored", GEN)
    await lives_through_a_claim(bed_with(token="stored"), server)


async def test_signed_token_is_renewed_before_it_expires(janus_factory: Factory) -> None:
    """It is valid for two seconds and for the plugins that Janus has; the session lives longer than that."""
    server = janus_factory(token_auth_secret=SECRET, session_timeout=3, reclaim_session_timeout=30)
    bed = bed_with(token_secret=SECRET, token_ttl=2)
    async with open_relay(server.port) as relay, running(bed, {"gw": relay.url}):
        link = await bed.ready()
        handle = await bed.attach()
        session, until = link.book.managed.session_id, trio.current_time() + 2.5
        while trio.current_time() < until:
            await bed.echo(handle)
            await trio.sleep(0.2)
        await relay.cut()
        await bed.until(lambda: link.reconnects == 1)
        await bed.echo(handle)
        assert link.book.managed.session_id == session


async def test_wrong_secret_is_a_refusal_that_names_itself(janus_factory: Factory) -> None:
    server = janus_factory(api_secret=SECRET)
    async with running(bed_with(api_secret="wrong"), {"gw": server.url}) as bed:
        link = bed.registry.find("gw")
        await bed.until(lambda: link.last_error is not None)
        assert link.shown_state == "backoff"
        assert link.last_error is not None
        assert "403 Unauthorized request" in link.last_error
        bed.credentials["gw"] = Credentials(api_secret=SECRET)
        bed.registry.credentials_changed({"gw"})
        await bed.ready()


async def test_token_that_is_removed_mid_life_is_heard_of_and_its_return_is_enough(janus_factory: Factory) -> None:
    """Without keepalives the session times out; until then, and after, everybody hears the reason."""
    server = janus_factory(token_auth=True, session_timeout=2)
    async with AdminClient.open(server) as admin:
        await admin.add_token("stored")
        async with running(bed_with(token="stored"), {"gw": server.url}) as bed:
            link = await bed.ready()
            await admin.remove_token("stored")
            answer = await bed.ask({"janus": "attach", "plugin": GEN})
            assert answer["error"]["code"] == 403
            await bed.until(lambda: link.last_error is not None)
            assert link.last_error is not None
            assert link.last_error.startswith("Janus refused a keepalive: 403 Unauthorized request")
            await bed.until(lambda: (link.last_error or "").startswith("Janus refused to create a session: 403"))
            assert link.shown_state == "backoff"
            await admin.add_token("stored")
            await bed.ready()
            assert len(bed.connects) == 1


async def test_configured_secrets_override_those_in_a_command() -> None:
    async with open_fake_janus() as fake, running(bed_with(api_secret=SECRET, token="stored"), {"gw": fake.url}) as bed:
        await bed.ready()
        await bed.ask({"janus": "attach", "plugin": "p", "apisecret": "mine", "token": "mine"})
        sent = fake.received[-1]
        assert (sent["apisecret"], sent["token"]) == (SECRET, "stored")
        assert all(request["apisecret"] == SECRET for request in fake.received)


async def test_without_configured_secrets_those_in_a_command_are_sent() -> None:
    async with open_fake_janus() as fake, running(bed_with(), {"gw": fake.url}) as bed:
        await bed.ready()
        await bed.ask({"janus": "attach", "plugin": "p", "apisecret": "mine"})
        assert fake.received[-1]["apisecret"] == "mine"
        assert "apisecret" not in fake.received[0]


async def test_secrets_and_session_ids_are_shown_nowhere(
    janus_factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in logs, lists, events or a repr; not even when Janus refuses them, or the connection is lost."""
    caplog.set_level(logging.DEBUG)
    server = janus_factory(api_secret=SECRET, token_auth=True)
    bed = bed_with(api_secret=SECRET, token="s3cret-token", token_secret="s3cret-key")
    async with running(bed, {"gw": f"{server.url}?key=s3cret-query"}):
        link = await bed.ready()
        session = str(link.book.managed.session_id)
        shown = [repr(link), repr(bed.credentials), repr(list(link.book)), codec.render(await describe(link))]
        server.kill()
        await bed.until(lambda: link.shown_state != "ready")
        shown += [repr(link), codec.render(await describe(link)), caplog.text]
        for secret in (SECRET, "s3cret", session):
            assert not [text for text in shown if secret in text], secret
