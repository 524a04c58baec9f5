"""Peers that are no Janus, or none today: each failure has its clear text, and none becomes a storm (contract 5.3)."""

import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager

import trio

from bridge.core.environment import LinkSettings
from tests.support.fake_janus import FakeJanus, Greeting, Message, Reply, error, open_fake_janus
from tests.support.janus import Janus
from tests.support.linkbed import LinkBed, running
from tests.support.ports import free_port

# What a client meets, and what janus_list says of it. All at the same time: the silent ones take five seconds.
GREETINGS = {
    Greeting.SILENCE: "the WebSocket upgrade was not answered within 5 s",
    Greeting.CLOSE: "the peer closed the connection instead of upgrading to WebSocket",
    Greeting.CLOSE_AFTER_REQUEST: "the peer closed the connection instead of upgrading to WebSocket",
    Greeting.HTTP_ERROR: "the peer answered the WebSocket upgrade with HTTP 503",
    Greeting.REDIRECT: "the peer answered the WebSocket upgrade with HTTP 302: "
    "it redirects; give its target as janus_url",
    Greeting.HALF: "the WebSocket upgrade was not answered within 5 s",
    Greeting.NO_SUBPROTOCOL: "the peer did not accept the sub-protocol janus-protocol: is this a Janus?",
    Greeting.WRONG_SUBPROTOCOL: "the peer answered the WebSocket upgrade with something else: unrecognized subprotocol",
    Greeting.WRONG_KEY: "the peer answered the WebSocket upgrade with something else: Bad accept token",
    Greeting.GARBAGE: "the peer answered the WebSocket upgrade with something else",
    Greeting.UPGRADE_THEN_CLOSE: "Janus closed the connection",
}


def nothing(_request: Message) -> list[Reply]:
    return []


def nonsense(_request: Message) -> list[Reply]:
    return [{"janus": "success", "transaction": _request["transaction"], "data": {"id": "7"}}]


def not_now(request: Message) -> list[Reply]:
    return [error(request, 472, "Not accepting new sessions")]


SCRIPTS = {
    "info without an answer": ("info", nothing, "no answer to info within "),
    "create without an answer": ("create", nothing, "no answer to create within "),
    "create answered with nonsense": ("create", nonsense, "Janus sent an unexpected reply to create"),
    "create refused": ("create", not_now, "Janus refused to create a session: 472 Not accepting new sessions"),
}


@contextmanager
def deaf_port() -> Iterator[int]:
    """The kernel drops what asks for a connection while the queue of a listener is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as stack:
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def test_every_way_to_fail_has_its_text_and_its_pauses(janus: Janus) -> None:
    """The first pauses are at least 0.25 s: within some seconds no peer can have met more than a few attempts."""
    fakes: dict[str, tuple[FakeJanus, str]] = {}
    async with AsyncExitStack() as stack:
        for greeting, text in GREETINGS.items():
            fake = await stack.enter_async_context(open_fake_janus())
            fake.greeting = greeting
            fakes[greeting.name] = fake, text
        for name, (verb, script, text) in SCRIPTS.items():
            fake = await stack.enter_async_context(open_fake_janus())
            fake.script[verb] = script
            fakes[name] = fake, text
        bed = LinkBed(settings=LinkSettings(reconnect_min=0.5, reconnect_max=0.5))
        rows = {name: fake.url for name, (fake, _) in fakes.items()}
        silent = await stack.enter_async_context(open_fake_janus())
        silent.greeting = Greeting.SILENCE
        fakes["TLS"] = silent, "TLS and the WebSocket upgrade were not answered within 5 s"
        deaf = {"deaf": f"ws://127.0.0.1:{stack.enter_context(deaf_port())}"}
        async with running(bed, rows | deaf | {"TLS": silent.url.replace("janusws:", "januswss:")}):
            started = trio.current_time()
            links = {name: bed.registry.find(name) for name in fakes}
            await bed.until(lambda: all(link.last_error for link in bed.registry))
            for name, (_, text) in fakes.items():
                assert (links[name].last_error or "").startswith(text), name
                assert links[name].shown_state in ("backoff", "connecting"), name
            assert bed.registry.find("deaf").last_error == "no answer to the TCP connect within 3 s"

            def attempts(name: str) -> int:
                fake, _ = fakes[name]
                return max(fake.connects, sum(1 for request in fake.received if request["janus"] == "create"))

            for name in ("create refused", "create answered with nonsense"):
                await bed.until(lambda name=name: attempts(name) > 4)  # type: ignore[misc]
                assert fakes[name][0].connects == 1, name  # on the same connection
            passed = trio.current_time() - started
            assert passed > 4
            for name in fakes:
                assert attempts(name) <= 1 + passed / 0.25, name
            # They are used as soon as they are what they should be.
            for fake, _ in fakes.values():
                fake.greeting = Greeting.UPGRADE
                fake.script.clear()
            for name in rows:
                await bed.ready(name)


async def test_name_that_is_not_found_and_name_that_is_none() -> None:
    rows = {
        "unknown": "ws://janus.invalid",
        "empty label": "ws://a..b",
        "long label": f"ws://{'a' * 64}.example",
        "refused": f"ws://127.0.0.1:{free_port()}",
    }
    async with running(LinkBed(), rows) as bed:
        links = {name: bed.registry.find(name) for name in rows}
        await bed.until(lambda: all(link.last_error for link in links.values()))
        errors = {name: link.last_error or "" for name, link in links.items()}
        assert errors["unknown"].startswith("host 'janus.invalid' is not found")
        assert "connection refused" in errors["refused"]
        for name in ("empty label", "long label"):
            assert "host" in errors[name]
            assert errors[name] == errors[name].strip()
            assert links[name].shown_state in ("backoff", "disabled")
