import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trio

from bridge.errors import ConfigError
from bridge.protocol.framing import DATAGRAM_CEILING
from bridge.protocol.jsonrpc import Dispatch, TakeAnswer
from bridge.transport import mi_datagram
from bridge.transport.mi_ask import Reception
from bridge.transport.mi_datagram import MiSocket, open_datagram, open_udp, open_unix, serve_mi_datagram
from tests.support.deadlines import HANG_SECONDS
from tests.support.mi_pairs import HELP, PAIRS, as_opensips, call, core_registry, error
from tests.support.tasks import in_tasks

Address = tuple[str, int] | str
Start = Callable[[str, Dispatch], Awaitable["Client"]]

QUEUE = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())  # answers that a unix client may leave unread
LAST = call("help", id='"last"')
LAST_ANSWER = HELP.replace(b'"id":"1"', b'"id":"last"')


class Client:
    """A datagram client of one listener, at an address of its own."""

    def __init__(self, listener: MiSocket, sock: trio.socket.SocketType, address: Address) -> None:
        self.listener = listener
        self.sock = sock
        self.address = address
        self.refused: list[tuple[str, str]] = []

    async def send(self, request: bytes) -> None:
        await self.sock.sendto(request, self.address)

    async def receive(self) -> bytes:
        return await self.sock.recv(65536)

    async def ask(self, request: bytes) -> bytes:
        await self.send(request)
        return await self.receive()


@pytest.fixture(params=["udp", "udp6", "unix"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def unix_client(name: str = "") -> trio.socket.SocketType:
    """A bound client; without a name it has an abstract one of the kernel's choice."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(name)
    return trio.socket.from_stdlib_socket(sock)


@pytest.fixture
async def listen(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Start]:
    """``listen(kind, dispatch)``: a served socket of that kind and a client of it."""
    clients: list[trio.socket.SocketType] = []

    async def start(kind: str, dispatch: Dispatch) -> Client:
        if kind == "unix":
            path = str(tmp_path / "mi")
            listener = open_unix(path, 0o600, None)
            sock = unix_client(str(tmp_path / "client"))
            address: Address = path
        else:
            host, family = ("::1", socket.AF_INET6) if kind == "udp6" else ("127.0.0.1", socket.AF_INET)
            listener = open_udp(host, 0)
            sock = trio.socket.socket(family, socket.SOCK_DGRAM)
            await sock.bind((host, 0))
            address = (host, int(listener.name.rpartition(":")[2]))
        clients.append(sock)
        client = Client(listener, sock, address)
        refused = lambda who, reason: client.refused.append((who, reason))  # noqa: E731
        await nursery.start(serve_mi_datagram, listener, Reception(dispatch, refused=refused))
        return client

    yield start
    for client in clients:
        client.close()


async def test_pairs_of_opensips(listen: Start, kind: str) -> None:
    client = await listen(kind, core_registry().dispatch)
    for pair in PAIRS:
        if pair.answer is None:
            await client.send(pair.request)
            assert await client.ask(LAST) == LAST_ANSWER, pair.name
        else:
            assert as_opensips(await client.ask(pair.request)) == pair.answer, pair.name


async def test_an_empty_datagram_gets_nothing(listen: Start, kind: str) -> None:
    client = await listen(kind, core_registry().dispatch)
    await client.send(b"")
    assert await client.ask(LAST) == LAST_ANSWER


async def test_answers_up_to_the_ceiling_and_no_longer(listen: Start, kind: str) -> None:
    def made(body: bytes) -> bytes:
        return b'"' + b"x" * (int(body) - 12) + b'","id":"7"}'

    client = await listen(kind, lambda body, _caller, answer: answer(made(body)))
    assert await client.ask(b"%d" % DATAGRAM_CEILING) == made(b"%d" % DATAGRAM_CEILING)
    assert await client.ask(b"%d" % (DATAGRAM_CEILING + 1)) == error(
        500,
        "Internal error",
        "the answer has 65458 bytes, more than the 65457 that fit here: "
        "use MI over HTTP ([mi] http), which has no such limit",
        id='"7"',
    )


async def test_requests_up_to_the_ceiling_and_no_longer(listen: Start, kind: str) -> None:
    client = await listen(kind, core_registry().dispatch)
    assert await client.ask(call("help").ljust(DATAGRAM_CEILING)) == HELP
    reason = "the request has more than 65457 bytes: use MI over HTTP ([mi] http), which has no such limit"
    too_long = call("help").ljust(DATAGRAM_CEILING + 1)
    assert await client.ask(too_long) == error(-32700, "Parse error", reason, id="null")
    [refusal] = client.refused
    assert refusal[1] == reason


async def test_an_answer_the_kernel_has_no_room_for_is_said_and_counted(
    listen: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture, nursery: trio.Nursery
) -> None:
    def dispatch(_body: bytes, _caller: object, answer: TakeAnswer) -> None:
        answer(b'{"jsonrpc":"2.0","result":"%b","id":7}' % (b"x" * 60_000))

    listener, lost = open_unix(str(tmp_path / "small"), 0o600, None), []
    listener._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    reception = Reception(dispatch, lost=lambda: lost.append(1))
    await nursery.start(serve_mi_datagram, listener, reception)
    with unix_client() as sock:
        answer = json.loads(await Client(listener, sock, str(tmp_path / "small")).ask(b"?"))
    assert answer["id"] == 7
    assert answer["error"]["code"] == 500
    assert "the answer has 60036 bytes" in answer["error"]["data"]
    assert "use MI over HTTP" in answer["error"]["data"]
    assert "an answer of 60036 bytes" in caplog.text
    assert "net.core.wmem_default" in caplog.text
    assert lost == [1]


async def test_a_slow_command_holds_up_nobody(listen: Start, kind: str, nursery: trio.Nursery) -> None:
    released = trio.Event()

    async def handler(body: bytes) -> bytes:
        if body == b"slow":
            await released.wait()
        return body

    client = await listen(kind, in_tasks(nursery, handler))
    await client.send(b"slow")
    assert await client.ask(b"quick") == b"quick"
    released.set()
    assert await client.receive() == b"slow"


async def test_requests_over_the_limit_wait_in_the_kernel(
    listen: Start, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    monkeypatch.setattr(mi_datagram, "MAX_CONCURRENT", 2)
    running = 0
    peak = 0
    released = trio.Event()

    async def handler(body: bytes) -> bytes:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await released.wait()
        running -= 1
        return body

    client = await listen("udp", in_tasks(nursery, handler))
    for number in range(8):
        await client.send(b"%d" % number)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert peak == 2
    released.set()
    assert {await client.receive() for _ in range(8)} == {b"%d" % number for number in range(8)}
    assert peak == 2


async def test_a_client_that_is_gone_harms_nobody(
    listen: Start, kind: str, tmp_path: Path, nursery: trio.Nursery
) -> None:
    released = trio.Event()

    async def handler(body: bytes) -> bytes:
        if body == b"gone":
            await released.wait()
        return body

    client = await listen(kind, in_tasks(nursery, handler))
    gone = socket.socket(client.sock.family, socket.SOCK_DGRAM)
    gone.bind(str(tmp_path / "gone") if kind == "unix" else (client.sock.getsockname()[0], 0))
    with gone:
        gone.sendto(b"gone", client.address)
    if kind == "unix":
        os.unlink(tmp_path / "gone")
    assert await client.ask(b"first") == b"first"
    released.set()
    assert await client.ask(b"second") == b"second"


async def test_a_request_without_a_return_address_is_executed(listen: Start) -> None:
    seen: list[bytes] = []

    def dispatch(body: bytes, _caller: object, answer: TakeAnswer) -> None:
        seen.append(body)
        answer(body)

    client = await listen("unix", dispatch)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nobody:
        nobody.sendto(b"unbound", client.address)
    assert await client.ask(b"bound") == b"bound"
    assert seen == [b"unbound", b"bound"]


async def test_a_connected_unix_client_is_answered(listen: Start, tmp_path: Path) -> None:
    client = await listen("unix", core_registry().dispatch)
    with unix_client() as connected:
        await connected.connect(str(client.address))
        await connected.send(call("help"))
        assert await connected.recv(65536) == HELP


async def test_answers_to_a_full_queue_are_offered_again(listen: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sum(mi_datagram._OFFER_AGAIN) > 0.5
    monkeypatch.setattr(mi_datagram, "_OFFER_AGAIN", (0.002,) * 100_000)

    def dispatch(body: bytes, _caller: object, answer: TakeAnswer) -> None:
        answer(body)

    client = await listen("unix", dispatch)
    wanted = {b"%d" % number for number in range(QUEUE + 4)}
    for request in wanted:
        await client.send(request)
    await trio.testing.wait_all_tasks_blocked(0.001)  # as many are answered as there is room for
    assert {await client.receive() for _ in wanted} == wanted


async def test_a_client_that_never_reads_is_given_up(
    listen: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mi_datagram, "_OFFER_AGAIN", (0.001,))
    monkeypatch.setattr(mi_datagram, "MAX_CONCURRENT", 1)

    def dispatch(body: bytes, _caller: object, answer: TakeAnswer) -> None:
        answer(body)

    client = await listen("unix", dispatch)
    with unix_client() as deaf:
        for _ in range(QUEUE + 3):
            await deaf.sendto(b"x", client.address)
        assert await client.ask(b"last") == b"last"
    assert "its queue is full" in caplog.text


async def test_stopping_lets_requests_in_flight_be_answered(tmp_path: Path) -> None:
    started, released = trio.Event(), trio.Event()

    async def handler(body: bytes) -> bytes:
        started.set()
        await released.wait()
        return body

    listener = open_unix(str(tmp_path / "mi"), 0o600, None)
    with unix_client() as client:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_mi_datagram, listener, Reception(in_tasks(nursery, handler)))
            await client.sendto(b"in flight", str(tmp_path / "mi"))
            await started.wait()
            listener.stop()
            with pytest.raises(FileNotFoundError):
                await client.sendto(b"too late", str(tmp_path / "mi"))
            released.set()
        assert await client.recv(100) == b"in flight"
        assert not (tmp_path / "mi").exists()


@pytest.mark.parametrize("kind", ["udp", "unix"])
async def test_at_a_stop_what_had_come_is_answered(kind: str, tmp_path: Path) -> None:
    """What is unread when it is closed would be lost without a word."""
    listener = open_udp("127.0.0.1", 0) if kind == "udp" else open_unix(str(tmp_path / "mi"), 0o600, None)
    address = listener._sock.getsockname()
    family = socket.AF_INET if kind == "udp" else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0) if kind == "udp" else "")
        client.connect(address)
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_mi_datagram, listener, Reception(in_tasks(nursery, _echo)))
            numbers = [b"%d" % number for number in range(5)]
            for number in numbers:
                client.send(number)
            listener.stop()
            if kind == "unix":
                with pytest.raises(BrokenPipeError):
                    client.send(b"too late")
            listener.end()
        client.settimeout(HANG_SECONDS)
        assert sorted(client.recv(100) for _ in numbers) == numbers
        with pytest.raises(ConnectionRefusedError):
            client.send(b"too late") and client.send(b"too late")


async def _echo(body: bytes) -> bytes:
    return body


def test_an_address_in_use_is_named() -> None:
    listener = open_udp("127.0.0.1", 0)
    try:
        with pytest.raises(ConfigError, match=rf"^{listener.name}: Address already in use by .+ \(process \d+\); "):
            open_datagram(listener.name)
    finally:
        listener.close()


@pytest.mark.parametrize("address", ["udp:no..host:5", "udp:host.invalid:5", "tcp:h:1", "unix:/no/such/dir/mi"])
def test_what_cannot_be_bound_is_one_line(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_datagram(address)
    assert "\n" not in str(caught.value)


@pytest.fixture
async def udp_port(listen: Start) -> str:
    client = await listen("udp", core_registry().dispatch)
    return client.listener.name.rpartition(":")[2]


async def run(*argv: str, home: Path) -> subprocess.CompletedProcess[bytes]:
    return await trio.run_process(
        argv, capture_stdout=True, capture_stderr=True, check=False, env={"HOME": str(home), "PATH": os.environ["PATH"]}
    )


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@pytest.mark.program
async def test_opensips_cli_over_udp(udp_port: str, tmp_path: Path) -> None:
    options = ["-o", "communication_type=datagram", "-o", f"datagram_port={udp_port}", "-o", "output_type=lines"]
    ran = await run(program("opensips-cli"), *options, "-x", "mi", "core:which", "which", home=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, b"command\n"), ran.stderr


@pytest.mark.program
async def test_opensips_mi_over_udp(udp_port: str, tmp_path: Path) -> None:
    at = ["-t", "datagram", "-p", udp_port, "-dt", "5"]
    ran = await run(program("opensips-mi"), *at, "help", home=tmp_path)
    assert ran.stdout == b"\"Usage: help mi_cmd - returns information about 'mi_cmd'\"\n", ran.stderr
    ran = await run(program("opensips-mi"), *at, "-s", "core:", home=tmp_path)
    assert b'"core:timestamp": ' in ran.stdout, ran.stderr
    ran = await run(program("opensips-mi"), *at, "no_such", home=tmp_path)
    assert ran.stdout == b"ERROR:  Error executing command: -32601: Method not found (no such method: see which)\n"


@pytest.mark.program
async def test_opensips_mi_completes_over_unix(listen: Start, tmp_path: Path) -> None:
    client = await listen("unix", core_registry().dispatch)
    at = ["-t", "datagram", "-ds", str(client.address), "-dt", "5"]
    ran = await run(program("opensips-mi"), *at, "-bc", home=tmp_path)
    assert ran.stdout.split()[:2] == [b"which", b"help"], ran.stderr
    assert b"statistics:get" in ran.stdout.split()
