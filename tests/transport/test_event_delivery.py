"""The Event Interface and its senders together, on real sockets and a clock that moves only when it is told to."""

import json
import socket as sockets
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS
from bridge.protocol.reply_socket import ReplySocket
from tests.support.evi_bridge import Bridge, losses, numbers
from tests.support.ports import free_port
from tests.support.receivers import give_room

BURST = 20_000


@pytest.fixture
async def bridge(nursery: trio.Nursery, mock_clock: MockClock) -> Bridge:
    """Its tests have to name mock_clock too: pytest-trio finds a clock in a test's own arguments alone."""
    assert trio.current_time() == 0
    made = Bridge(mock_clock)
    await nursery.start(made.evi.run)
    return made


class Listener:
    """A datagram socket that keeps what it reads: at once (``serve``) or when asked (``read``)."""

    def __init__(self, address: Path | tuple[str, int], buffer: int | None = None) -> None:
        family = sockets.AF_UNIX if isinstance(address, Path) else sockets.AF_INET
        self._socket = sockets.socket(family, sockets.SOCK_DGRAM)
        if buffer is None:
            give_room(self._socket)
        else:
            self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, buffer)
        self._socket.bind(str(address) if isinstance(address, Path) else address)
        self._socket.setblocking(False)
        self.name = f"unix:{address}" if isinstance(address, Path) else "udp:{}:{}".format(*self._socket.getsockname())
        self.got: list[dict[str, Any]] = []

    def read(self) -> int:
        """Everything that is there; how many it has got so far."""
        with suppress(BlockingIOError):
            while True:
                self.got.append(json.loads(self._socket.recv(65535))["params"])
        return len(self.got)

    async def serve(self) -> None:
        with self._socket:
            while True:
                await trio.lowlevel.wait_readable(self._socket)
                self.read()

    def close(self) -> None:
        self._socket.close()


@pytest.mark.slow
async def test_a_burst_with_healthy_slow_dead_and_restarting_subscribers_side_by_side(
    bridge: Bridge, mock_clock: MockClock, nursery: trio.Nursery, tmp_path: Path
) -> None:
    healthy, over_udp = Listener(tmp_path / "healthy"), Listener(("127.0.0.1", 0))
    slow = Listener(tmp_path / "slow", buffer=1)
    restarting = Listener(tmp_path / "restarting")
    dead = f"unix:{tmp_path / 'dead'}"
    bridge.subscribe(
        *((E_JANUS_EVENT, name) for name in (healthy.name, over_udp.name, slow.name, dead, restarting.name)),
        (E_JANUS_STATUS, slow.name),
    )
    nursery.start_soon(healthy.serve)
    nursery.start_soon(over_udp.serve)

    # Half of it now, half of it 20 s later.
    await bridge.raise_events(0, BURST // 2)
    await bridge.until(lambda: restarting.read() >= 5000)
    restarting.close()  # it had read all that was handed over: no event of others is touched, and none of its own
    await bridge.until(lambda: len(healthy.got) == len(over_udp.got) == BURST // 2)
    bridge.clock.jump(20)
    await bridge.raise_events(BURST // 2, BURST)
    (tmp_path / "restarting").unlink()
    again = Listener(tmp_path / "restarting")
    nursery.start_soon(again.serve)
    await bridge.while_time_passes_until(lambda: len(restarting.got + again.got) == BURST)
    await bridge.until(lambda: len(healthy.got) == len(over_udp.got) == BURST)

    everything = list(range(BURST))
    assert numbers(healthy.got) == numbers(over_udp.got) == numbers(restarting.got + again.got) == everything
    for name in (healthy.name, over_udp.name, restarting.name):
        assert bridge.figures(name) == (name, 0, 0, BURST, {})

    # The first half grows too old.
    bridge.clock.jump(12)
    await bridge.until(lambda: bridge.figures(dead).drops)
    assert bridge.figures(dead)[1:] == (BURST // 2, bridge.figures(dead).queued_bytes, 0, {"age": BURST // 2})
    await bridge.until(lambda: bridge.figures(slow.name).drops)
    taken = bridge.figures(slow.name).sent
    assert 0 < taken < 2000
    lost = BURST // 2 - taken
    assert bridge.figures(slow.name).drops == {"age": lost}
    nursery.start_soon(slow.serve)
    await bridge.until(lambda: len(slow.got) == BURST - lost + 1)
    assert losses(slow.got) == [(lost, "age")]
    assert "status" in slow.got[taken]  # at its place
    assert numbers(slow.got) == everything[:taken] + everything[BURST // 2 :]
    assert bridge.figures(slow.name)[1:] == (0, 0, BURST - lost + 1, {"age": lost})

    # Then the second.
    bridge.clock.jump(20)
    await bridge.until(lambda: bridge.figures(dead).queued == 0)
    assert bridge.figures(dead)[1:] == (0, 0, 0, {"age": BURST})


async def test_a_tcp_listener_restarts(bridge: Bridge, mock_clock: MockClock, nursery: trio.Nursery) -> None:
    """Delivered is what the kernel took: nothing is counted as lost, and what arrives is in order, each once."""
    port = free_port()
    name = f"tcp:127.0.0.1:{port}/E_OTHER"
    bridge.subscribe((E_JANUS_EVENT, name))
    got: list[list[int]] = []

    async def listen(limit: int) -> None:
        (listener,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
        async with listener, await listener.accept() as stream:
            text, decoder = "", json.JSONDecoder()
            got.append([])
            while len(got[-1]) < limit and (data := await stream.receive_some()):
                text += data.decode()
                with suppress(ValueError):
                    while text:
                        message, end = decoder.raw_decode(text)
                        assert message["method"] == "E_OTHER"
                        got[-1].append(json.loads(message["params"]["janus_body"])["n"])
                        text = text[end:]

    nursery.start_soon(listen, 3000)
    await bridge.raise_events(0, 5000)
    await bridge.while_time_passes_until(lambda: got and len(got[0]) >= 3000)
    nursery.start_soon(listen, 10**9)
    await bridge.raise_events(5000, 10_000)
    await bridge.while_time_passes_until(lambda: len(got) == 2 and got[1][-1:] == [9999])
    first, second = got
    assert first == list(range(len(first)))
    assert second == list(range(second[0], 10_000))
    assert second[0] >= len(first)
    assert bridge.figures(name) == (name, 0, 0, 10_000, {})


async def test_a_reliable_tcp_listener_loses_nothing_over_a_restart(
    bridge: Bridge, mock_clock: MockClock, nursery: trio.Nursery
) -> None:
    port = free_port()
    got: list[int] = []

    async def listen(limit: int) -> None:
        (listener,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
        async with listener, await listener.accept() as stream:
            async for data in stream:
                message = json.loads(data)
                got.append(json.loads(message["params"]["janus_body"])["n"])
                if len(got) == limit:
                    return  # without an answer
                await stream.send_all(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": "OK"}).encode())

    bridge.evi.configure([(E_JANUS_EVENT, ReplySocket.parse(f"tcp:127.0.0.1:{port}", reliable=True))])
    nursery.start_soon(listen, 300)
    await bridge.raise_events(0, 1000)
    await bridge.while_time_passes_until(lambda: len(got) == 300)
    nursery.start_soon(listen, 10**9)
    await bridge.while_time_passes_until(lambda: bridge.figures(f"tcp:127.0.0.1:{port}").sent == 1000)
    assert got == sorted([*range(1000), 299])  # the one without an answer came twice
