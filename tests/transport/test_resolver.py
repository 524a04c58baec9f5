"""Name look-ups that cannot pile up (contract 5.2). A look-up that hangs is the fault that is put in."""

import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from bridge.transport import resolver
from bridge.transport.resolver import Resolver
from tests.support.deadlines import HANG_SECONDS

LOOKUP = socket.getaddrinfo
ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]


@dataclass
class Names:
    """A name server: names in ``hanging`` have no answer until ``release``."""

    hanging: set[bytes] = field(default_factory=set)
    errors: dict[bytes, BaseException] = field(default_factory=dict)
    asked: list[bytes] = field(default_factory=list)
    answer: list[Any] = field(default_factory=lambda: list(ANSWER))
    running: int = 0
    release: threading.Event = field(default_factory=threading.Event)

    def getaddrinfo(self, host: Any, port: Any, *rest: Any, **flags: Any) -> Any:
        if not isinstance(host, bytes):  # trio's own attempt to read it as an address
            return LOOKUP(host, port, *rest, **flags)
        self.asked.append(host)
        self.running += 1
        try:
            if host in self.hanging:
                self.release.wait(HANG_SECONDS)
            if host in self.errors:
                raise self.errors[host]
            return self.answer
        finally:
            self.running -= 1


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Names]:
    """Behind a Resolver that is installed."""
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    trio.socket.set_custom_hostname_resolver(Resolver())
    yield names
    names.release.set()


async def started(names: Names, count: int) -> None:
    """Wait until so many look-ups are in their threads."""
    with trio.fail_after(HANG_SECONDS):
        while names.running < count:  # noqa: ASYNC110 - threads tell no event loop that they run
            await trio.sleep(0.001)


async def look_up(host: str, port: int | str = 8188) -> Any:
    """As every connection of the program does."""
    return await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def test_answer_has_the_port_that_was_asked_for(names: Names) -> None:
    for port in (1, 8188):
        assert await look_up("a.example", port) == [(*ANSWER[0][:4], ("192.0.2.1", port))]
    assert names.asked == [b"a.example"] * 2


async def test_answer_is_that_of_the_system() -> None:
    trio.socket.set_custom_hostname_resolver(Resolver())
    assert await look_up("localhost", 4711) == LOOKUP(b"localhost", 4711, type=socket.SOCK_STREAM)


@pytest.mark.skipif(not Path("/etc/services").exists(), reason="no /etc/services: ports have no names here")
async def test_port_may_be_a_name() -> None:
    trio.socket.set_custom_hostname_resolver(Resolver())
    assert await look_up("localhost", "http") == LOOKUP(b"localhost", "http", type=socket.SOCK_STREAM)


async def test_name_that_is_unknown(names: Names) -> None:
    names.errors[b"x.example"] = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    for _ in range(2):
        with pytest.raises(socket.gaierror, match="not known"):
            await look_up("x.example")
    assert len(names.asked) == 2


@pytest.mark.parametrize("error", [ValueError("embedded null byte"), UnicodeError("label too long")])
async def test_what_is_no_name_ends_nothing(names: Names, error: Exception) -> None:
    names.errors[b"x.example"] = error
    with pytest.raises(socket.gaierror, match="not known"):
        await look_up("x.example")
    assert await look_up("a.example")


async def test_without_threads_it_fails_for_now(names: Names) -> None:
    names.errors[b"x.example"] = RuntimeError("can't start new thread")
    with pytest.raises(socket.gaierror) as caught:
        await look_up("x.example")
    assert caught.value.errno == socket.EAI_AGAIN


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "fe80::1%lo"])
async def test_address_needs_no_look_up(names: Names, address: str) -> None:
    ((_, _, _, _, found),) = await look_up(address)
    assert found[1] == 8188
    assert names.asked == []


async def test_retry_joins_a_look_up_that_hangs(names: Names) -> None:
    names.hanging.add(b"slow.example")
    for _ in range(30):
        with trio.move_on_after(0.001):
            await look_up("slow.example")
    await started(names, 1)
    assert names.asked == [b"slow.example"]
    answers: list[Any] = []

    async def again(port: int) -> None:
        answers.append(await look_up("slow.example", port))

    async with trio.open_nursery() as nursery:
        for port in range(1, 51):
            nursery.start_soon(again, port)
        await wait_all_tasks_blocked()
        assert names.running == 1
        names.release.set()
    assert sorted(row[4][1] for answer in answers for row in answer) == list(range(1, 51))
    assert names.asked == [b"slow.example"]


async def test_after_its_answer_a_name_is_looked_up_anew(names: Names) -> None:
    await look_up("a.example")
    await look_up("a.example")
    assert names.asked == [b"a.example"] * 2


async def test_names_that_hang_delay_no_other(names: Names) -> None:
    """A hundred gateways behind a dead name server are no reason for another one to wait."""
    names.hanging |= {b"slow%d.example" % n for n in range(100)}
    async with trio.open_nursery() as nursery:
        for name in names.hanging:
            nursery.start_soon(look_up, name.decode())
        await started(names, 100)
        with trio.fail_after(HANG_SECONDS):
            assert await look_up("quick.example")
        nursery.cancel_scope.cancel()


async def test_number_of_threads_is_bounded(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "MAX_THREADS", 3)
    trio.socket.set_custom_hostname_resolver(Resolver())  # one with that limit
    names.hanging |= {b"slow%d.example" % n for n in range(10)}
    found: list[str] = []

    async def find(name: str) -> None:
        await look_up(name)
        found.append(name)

    async with trio.open_nursery() as nursery:
        for name in names.hanging:
            nursery.start_soon(find, name.decode())
        await started(names, 3)
        await wait_all_tasks_blocked(0.05)
        assert names.running == 3
        names.release.set()
    assert len(found) == 10


async def test_connect_goes_through_it(names: Names) -> None:
    names.answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, await trio.open_tcp_stream("a.example", listener.socket.getsockname()[1]):
        assert names.asked == [b"a.example"]


async def test_names_of_addresses(names: Names) -> None:
    assert await trio.socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV) == (
        "127.0.0.1",
        "80",
    )


def test_program_ends_while_a_look_up_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names({b"slow.example"})
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)

    async def main() -> None:
        trio.socket.set_custom_hostname_resolver(Resolver())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look_up, "slow.example")
            await started(names, 1)
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert names.running == 1
    names.release.set()
