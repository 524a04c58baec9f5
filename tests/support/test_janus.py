"""The real Janus behind the other tests: its controls do what they say."""

from collections.abc import Callable

import pytest
import trio

from tests.support.certs import Certificates
from tests.support.janus import GEN, Janus, JanusFailed
from tests.support.janus_client import AdminClient, JanusClient, JanusError

Factory = Callable[..., Janus]


async def test_it_serves_its_api_and_its_admin_api(janus: Janus) -> None:
    async with JanusClient.open(janus) as client, AdminClient.open(janus) as admin:
        session = await client.create()
        assert session in await admin.list_sessions()
        await client.destroy(session)
        assert session not in await admin.list_sessions()
        assert await admin.connections() >= 2


async def test_the_gen_plugin_makes_events_to_order(janus: Janus) -> None:
    async with JanusClient.open(janus) as client:
        session = await client.create()
        handle = await client.attach(session, GEN)

        assert (await client.message(session, handle, {"do": "burst", "n": 3, "size": 2}))["janus"] == "success"
        burst = [(await client.next_event(janus="event", sender=handle))["plugindata"]["data"] for _ in range(3)]
        assert burst == [{"i": i, "pad": "xx"} for i in range(3)]

        await client.message(session, handle, {"do": "tick", "n": 2, "ms": 1})
        assert [(await client.next_event())["plugindata"]["data"]["i"] for _ in range(2)] == [0, 1]

        await client.message(session, handle, {"do": "say", "json": {"a": {"b": 1}}})
        assert (await client.next_event())["plugindata"]["data"] == {"a": {"b": 1}}

        late = await client.message(session, handle, {"do": "late", "ms": 1})
        assert (late["janus"], late["plugindata"]["data"]["i"]) == ("event", 0)

        assert (await client.message(session, handle, {"do": "mute"}, final=False))["janus"] == "ack"
        assert (await client.message(session, handle, {"x": 1}))["plugindata"]["data"] == {"echo": {"x": 1}}
        assert (
            len((await client.message(session, handle, {"do": "big", "size": 9000}))["plugindata"]["data"]["pad"])
            == 9000
        )

        with pytest.raises(JanusError) as refused:
            await client.message(session, handle, {"do": "err"})
        assert refused.value.code == 462

        await client.message(session, handle, {"do": "end"})
        assert (await client.next_event(janus="detached"))["sender"] == handle
        await client.destroy(session)


async def test_held_answers_come_in_reverse_when_released(janus: Janus) -> None:
    async with JanusClient.open(janus) as client:
        session = await client.create()
        handle = await client.attach(session, GEN)
        for tag in (1, 2):
            assert (await client.message(session, handle, {"do": "hold", "tag": tag}, final=False))["janus"] == "ack"
        released = await client.message(session, handle, {"do": "release"})
        assert released["plugindata"]["data"] == {"released": 2}
        assert [(await client.next_event())["plugindata"]["data"]["tag"] for _ in range(2)] == [2, 1]
        await client.destroy(session)


async def test_one_transaction_may_have_many_events(janus: Janus) -> None:
    async with JanusClient.open(janus) as client:
        session = await client.create()
        handle = await client.attach(session, GEN)
        await client.message(session, handle, {"do": "many", "n": 3, "ms": 20})
        assert [(await client.next_event(janus="event"))["plugindata"]["data"]["i"] for _ in range(2)] == [1, 2]
        await client.destroy(session)


async def test_restart_keeps_the_port_and_loses_the_sessions(janus_factory: Factory) -> None:
    janus = janus_factory()
    url = janus.url
    async with JanusClient.open(janus) as client:
        session = await client.create()
        janus.kill()
        await client.closed.wait()
    assert not janus.running
    janus.start()
    assert janus.url == url
    async with JanusClient.open(janus) as client:
        with pytest.raises(JanusError) as lost:
            await client.claim(session)
        assert lost.value.code == 458


async def test_a_frozen_janus_accepts_and_says_nothing(janus_factory: Factory) -> None:
    janus = janus_factory()
    async with JanusClient.open(janus) as client:
        janus.freeze()
        stream = await trio.open_tcp_stream("127.0.0.1", janus.port)
        await stream.aclose()
        answered = trio.Event()

        async def ask() -> None:
            await client.info()
            answered.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            with trio.move_on_after(0.05):
                await answered.wait()
            assert not answered.is_set()
            janus.thaw()
    assert janus.running


async def test_secrets_and_tokens_are_demanded(janus_factory: Factory) -> None:
    janus = janus_factory(api_secret="s3cret", token_auth=True)
    async with JanusClient.open(janus) as stranger:
        with pytest.raises(JanusError) as refused:
            await stranger.create()
        assert refused.value.code == 403
    async with AdminClient.open(janus) as admin, JanusClient.open(janus, token="t1") as bearer:
        await admin.add_token("t1", GEN)
        session = await bearer.create()
        with pytest.raises(JanusError) as limited:
            await bearer.attach(session, "janus.plugin.echotest")
        assert limited.value.code == 405
        await admin.remove_token("t1")
        with pytest.raises(JanusError) as removed:
            await bearer.keepalive(session)
        assert removed.value.code == 403
    async with JanusClient.open(janus, apisecret="s3cret") as trusted:
        await trusted.create()


async def test_admin_drains_and_destroys(janus_factory: Factory) -> None:
    janus = janus_factory()
    async with JanusClient.open(janus) as client, AdminClient.open(janus) as admin:
        session = await client.create()
        await admin.accept_new_sessions(False)
        with pytest.raises(JanusError) as drained:
            await client.create()
        assert drained.value.code == 472
        await admin.set_session_timeout(90, session)
        await admin.destroy_session(session)
        with pytest.raises(JanusError) as gone:
            await client.keepalive(session)
        assert gone.value.code == 458


async def test_tls(janus_factory: Factory, certificates: Certificates) -> None:
    janus = janus_factory(cert_pem=certificates.cert, cert_key=certificates.key)
    assert janus.url.startswith("januswss://")
    async with JanusClient.open(janus, tls=certificates.context()) as client:
        await client.create()


def test_a_taken_port_is_an_error_where_the_port_was_given(janus: Janus) -> None:
    with pytest.raises(JanusFailed, match=f"{janus.port}"):
        Janus(port=janus.port).start()
