"""Hostile peers on every side of a bridge, in a process of their own: ``python -m tests.model.attackers FOLDER``.

Writes FOLDER/ports (JSON) when its servers listen, and attacks the bridge whose MI URL appears in FOLDER/mi_url. Each
attack goes on until the process is killed; a bridge that refuses or closes is attacked again. Knows nothing of what the
good ones do meanwhile.
"""

import itertools
import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import trio

from tests.support.fake_janus import SILENCE, Message, Reply, open_fake_janus
from tests.support.frames import CONTINUATION, TEXT, frame
from tests.support.http_peer import post

SILENT = "silent"  # the janus_id of a gateway that takes commands and never answers
HOSTILE = "hostile"  # and of one that says too much
LARGE: dict[str, object] = {"x": [[]] * 4000, "pad": "x" * 900_000}  # as many elements as a request may have
PAUSE = 0.02  # seconds between two shots of one attacker


def request(method: str, params: object, **members: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **members}, separators=(",", ":")).encode()


def command(janus_id: str, body: object, **members: object) -> bytes:
    asked = {"janus": "message", "handle_id": 1, "body": body}
    return request("janus_send_request", {"janus_id": janus_id, "janus_command": asked, "timeout": 60_000}, **members)


# Clients. Each is a connection's life.


async def stalled_bodies(stream: trio.SocketStream) -> None:
    await stream.send_all(post(b"x" * 200_000)[:-1])
    await stream.receive_some()


async def tiny_chunks(stream: trio.SocketStream) -> None:
    await stream.send_all(
        b"POST /mi HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for _ in range(100):
        await stream.send_all(b"2\r\n[]\r\n" * 2000)
    await stream.receive_some()


async def large_commands(stream: trio.SocketStream) -> None:
    await stream.send_all(post(command(SILENT, LARGE, id=1)))
    await stream.receive_some()


async def large_notifications(stream: trio.SocketStream) -> None:
    body = post(command(SILENT, {"x": "x" * 500_000}))
    for _ in range(10):
        await stream.send_all(body)
        await stream.receive_some()


async def answers_unread(stream: trio.SocketStream) -> None:
    await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 300)
    await trio.sleep(3)


async def subscriptions(stream: trio.SocketStream, port: int, numbers: Iterable[int]) -> None:
    for number in numbers:
        target = (f"tcp:127.0.0.1:{port}/m{number}", f"unix:/nowhere/{'n' * 80}{number}", "udp:no.such.host.invalid:1")
        await stream.send_all(post(request("event_subscribe", ["E_JANUS_EVENT", target[number % 3], 60], id=1)))
        await stream.receive_some()
        await trio.sleep(PAUSE)


async def reloads(stream: trio.SocketStream) -> None:
    await stream.send_all(post(request("janus_reload", [], id=1)))
    await stream.receive_some()


async def garbage(stream: trio.SocketStream) -> None:
    await stream.send_all(post(b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"method":"' + b"[]," * 300_000))
    await stream.receive_some()


async def keep_up(address: tuple[str, int], attack: Callable[[trio.SocketStream], Awaitable[None]]) -> None:
    while True:
        try:
            async with await trio.open_tcp_stream(*address) as stream:
                with trio.move_on_after(10):
                    await attack(stream)
        except (OSError, trio.BrokenResourceError):
            pass
        await trio.sleep(PAUSE)


# Servers


def too_much(request: Message) -> Iterable[Reply]:
    """Answers nobody can use, and events without end."""
    event = {"janus": "event", "sender": 1, "plugindata": {"data": {"x": "x" * 900_000}}}
    transaction = request["transaction"].rsplit(".", 3)[0] + "." + "9" * 5000 + ".m.="
    return [{"janus": "event", "transaction": transaction}, *[event] * 3]


async def flood(fake_port: "trio.MemorySendChannel[int]") -> None:
    """A Janus: events of a megabyte, transactions of 5,000 digits, a message of tiny fragments that never ends."""
    async with open_fake_janus() as fake:
        fake.script["keepalive"] = lambda message: [*too_much(message), *fake.answer(message)]
        await fake_port.send(fake.port)
        await fake.wait_request("create")
        while True:
            await fake.push({"janus": "event", "sender": 1, "plugindata": {"data": {"x": [{}] * 20_000}}})
            await fake.push(frame(TEXT, b'{"', final=False), *[frame(CONTINUATION, b"ab", final=False)] * 2000)
            await fake.push(*[frame(CONTINUATION, b"x" * 60_000, final=False)] * 8, frame(CONTINUATION, b'"}'))
            await trio.sleep(PAUSE)


async def silent(fake_port: "trio.MemorySendChannel[int]") -> None:
    """A Janus that takes messages and never answers."""
    async with open_fake_janus() as fake:
        fake.script["message"] = lambda _: SILENCE
        await fake_port.send(fake.port)
        while True:
            await trio.sleep(1)
            fake.received.clear()


async def endless_database(stream: trio.SocketStream) -> None:
    with trio.move_on_after(60):
        try:
            for number in itertools.count():
                await stream.send_all(b"\xff\xff\xff" + bytes([number & 0xFF]) + b"\x0a8.0.36" * 10_000)
        except trio.BrokenResourceError:
            pass


async def unread(stream: trio.SocketStream) -> None:
    """A subscriber that takes nothing."""
    await trio.sleep_forever()


async def main(folder: Path) -> None:
    async with trio.open_nursery() as nursery:
        send, receive = trio.open_memory_channel[int](0)
        ports: dict[str, int] = {}
        for name, janus in ((HOSTILE, flood), (SILENT, silent)):
            nursery.start_soon(janus, send)
            ports[name] = await receive.receive()
        for name, serve in (("database", endless_database), ("subscriber", unread)):
            listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
            ports[name] = listeners[0].socket.getsockname()[1]
        (folder / "ports.new").write_text(json.dumps(ports))
        (folder / "ports.new").rename(folder / "ports")
        while not (folder / "mi_url").exists():  # noqa: ASYNC110 - another process makes it
            await trio.sleep(0.02)
        where = urlsplit((folder / "mi_url").read_text())
        address = (str(where.hostname), where.port or 80)
        subscribe = partial(subscriptions, port=ports["subscriber"], numbers=range(400))
        for count, attack in (
            (100, stalled_bodies),
            (5, tiny_chunks),
            (20, large_commands),
            (5, large_notifications),
            (10, answers_unread),
            (1, subscribe),
            (1, reloads),
            (2, garbage),
        ):
            for _ in range(count):
                nursery.start_soon(keep_up, address, attack)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
