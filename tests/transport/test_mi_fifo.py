import os
import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import trio

from bridge.errors import ConfigError, MalformedMessage
from bridge.protocol.jsonrpc import Dispatch, TakeAnswer, render_error
from bridge.transport import mi_fifo
from bridge.transport.mi_ask import Reception
from bridge.transport.mi_fifo import MiFifo, serve_mi_fifo
from tests.support.mi_pairs import HELP, PAIRS, as_opensips, call, core_registry
from tests.support.tasks import in_tasks


class Client:
    """Writes requests to ``fifo`` and reads answers from FIFOs in ``folder``."""

    def __init__(self, fifo: MiFifo, folder: Path) -> None:
        self.fifo = fifo
        self.path = Path(fifo.path)
        self.folder = folder
        self.refused: list[str] = []

    def write(self, chunk: bytes) -> None:
        with open(self.path, "wb", buffering=0) as fifo:
            assert fifo.write(chunk) == len(chunk)

    def open(self, name: str) -> trio.lowlevel.FdStream:
        """A reply FIFO, made and opened for reading."""
        os.mkfifo(self.folder / name)
        return trio.lowlevel.FdStream(os.open(self.folder / name, os.O_RDONLY | os.O_NONBLOCK))

    async def ask(self, chunk: bytes, name: str = "reply") -> bytes:
        """Everything that is answered before the reply FIFO is closed."""
        async with self.open(name) as stream:
            self.write(chunk)
            answer = await read_all(stream)
        (self.folder / name).unlink()
        return answer


async def read_all(stream: trio.lowlevel.FdStream) -> bytes:
    # Before a writer has come, a FIFO is at its end: wait for the first byte, or for the first writer's leaving.
    await trio.lowlevel.wait_readable(stream.fileno())
    return b"".join([chunk async for chunk in stream])


Start = Callable[[Dispatch], Awaitable[Client]]


@pytest.fixture
def listen(nursery: trio.Nursery, tmp_path: Path) -> Start:
    """``listen(dispatch)``: a served FIFO and a client of it."""

    async def start(dispatch: Dispatch) -> Client:
        fifo = MiFifo(str(tmp_path / "fifo"), 0o622, str(tmp_path))
        client = Client(fifo, tmp_path)
        refused = lambda who, reason: client.refused.append(f"{who}: {reason}")  # noqa: E731
        await nursery.start(serve_mi_fifo, fifo, Reception(dispatch, refused=refused))
        return client

    return start


def echo(body: bytes, _caller: object, answer: TakeAnswer) -> None:
    answer(body)


class Recorder:
    """A dispatch that notes what it got."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def __call__(self, body: bytes, _caller: object, answer: TakeAnswer) -> None:
        self.seen.append(body)
        answer(b"<" + body + b">")


async def test_pairs_of_opensips(listen: Start) -> None:
    client = await listen(core_registry().dispatch)
    for pair in PAIRS:
        assert as_opensips(await client.ask(b":reply:" + pair.request)) == (pair.answer or b""), pair.name


async def test_the_fifo_has_its_mode_and_goes_with_its_server(tmp_path: Path) -> None:
    fifo = MiFifo(str(tmp_path / "fifo"), 0o622, "/tmp/")
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_mi_fifo, fifo, Reception(echo))
        assert stat.S_IMODE((tmp_path / "fifo").stat().st_mode) == 0o622
        fifo.stop()
        fifo.end()
    assert os.listdir(tmp_path) == []


async def test_who_had_opened_it_is_heard_to_the_end_and_nobody_opens_it_any_more(tmp_path: Path) -> None:
    """Also what waits in it because all who may be served at once are, and what was written in the last moment."""
    dispatch = Recorder()
    fifo = MiFifo(str(tmp_path / "fifo"), 0o622, "/tmp/")
    writer = os.open(tmp_path / "fifo", os.O_WRONLY)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_mi_fifo, fifo, Reception(dispatch))
        fifo.stop()
        assert os.listdir(tmp_path) == ["fifo.lock"]
        os.write(writer, b"::[1]\n")
        while not dispatch.seen:  # noqa: ASYNC110 - a recorder
            await trio.sleep(0.002)
        os.write(writer, b"::[2]\n")
        fifo.end()
    os.close(writer)
    assert dispatch.seen == [b"[1]", b"[2]"]
    assert os.listdir(tmp_path) == []


async def test_several_requests_in_one_write(listen: Start) -> None:
    dispatch = Recorder()
    client = await listen(dispatch)
    async with client.open("other") as other:
        assert await client.ask(b':reply:{"n":1}\n:other:[2]:reply:{"n":3}  ::[4]\n') == b'<{"n":1}><{"n":3}>'
        assert await read_all(other) == b"<[2]>"
    assert sorted(dispatch.seen) == [b"[2]", b"[4]", b'{"n":1}', b'{"n":3}']


async def test_a_request_as_long_as_a_pipe_holds_is_not_cut(listen: Start) -> None:
    client = await listen(core_registry().dispatch)
    assert await client.ask(b":reply:" + call("help").replace(b"{", b"{" + b" " * 60000, 1)) == HELP


async def test_a_long_answer_reaches_a_reader_that_takes_its_time(listen: Start) -> None:
    def dispatch(_body: bytes, _caller: object, answer: TakeAnswer) -> None:
        answer(b"x" * 1_000_000)

    client = await listen(dispatch)
    assert len(await client.ask(b":reply:{}")) == 1_000_000


async def test_what_is_no_request_is_refused_and_not_repeated(listen: Start) -> None:
    client = await listen(core_registry().dispatch)
    assert await client.ask(b"which\n:reply:" + call("help") + b" garbage") == HELP
    assert client.refused == ["fifo: 12 bytes without :REPLYNAME: in front"]


@pytest.mark.parametrize("name", ["../escape", "a.b", "a/b", "x" * 120])
async def test_a_name_out_of_bounds_is_not_opened_and_its_request_not_run(listen: Start, name: str) -> None:
    dispatch = Recorder()
    client = await listen(dispatch)
    client.write(f":{name}:{{}}".encode())
    assert await client.ask(b":reply:[]") == b"<[]>"
    assert dispatch.seen == [b"[]"]
    [refusal] = client.refused
    assert repr(name) in refusal


async def test_only_a_fifo_of_one_name_is_written_to(listen: Start) -> None:
    dispatch = Recorder()
    client = await listen(dispatch)
    (client.folder / "file").write_text("precious")
    async with client.open("fifo2"), client.open("linked"):
        (client.folder / "link").symlink_to("fifo2")
        os.link(client.folder / "linked", client.folder / "second")
        for name in ("file", "link", "linked", "missing"):
            client.write(f":{name}:{{}}".encode())
            assert await client.ask(b":reply:[]") == b"<[]>"
            assert f"/{name}' cannot be used" in client.refused[-1]
        assert len(client.refused) == 4
    assert set(dispatch.seen) == {b"[]"}
    assert (client.folder / "file").read_text() == "precious"


async def test_a_reader_that_comes_late_is_answered(listen: Start) -> None:
    client = await listen(echo)
    os.mkfifo(client.folder / "late")
    client.write(b":late:{}")
    await trio.testing.wait_all_tasks_blocked()  # the first attempt to open it has failed
    async with trio.lowlevel.FdStream(os.open(client.folder / "late", os.O_RDONLY | os.O_NONBLOCK)) as stream:
        assert await read_all(stream) == b"{}"


async def test_a_request_whose_reader_never_comes_is_dropped(listen: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mi_fifo, "_READER_PAUSES", ())
    dispatch = Recorder()
    client = await listen(dispatch)
    os.mkfifo(client.folder / "nobody")
    client.write(b":nobody:{}:nobody:[1]")
    assert await client.ask(b":reply:[]") == b"<[]>"
    assert dispatch.seen == [b"[]"]
    assert client.refused == [f"fifo: reply FIFO '{client.folder}/nobody' has no reader"] * 2


async def test_a_reader_that_stops_reading_is_given_up(
    listen: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mi_fifo, "_WRITE_SECONDS", 0.01)
    monkeypatch.setattr(mi_fifo, "MAX_CONCURRENT", 1)

    def dispatch(body: bytes, _caller: object, answer: TakeAnswer) -> None:
        answer(b"x" * 1_000_000 if body == b"[1]" else body)

    client = await listen(dispatch)
    async with client.open("deaf"):
        client.write(b":deaf:[1]")
        assert await client.ask(b":reply:{}") == b"{}"
    assert "deaf is not being read" in caplog.text


async def test_a_reader_that_leaves_harms_nobody(listen: Start, nursery: trio.Nursery) -> None:
    left = trio.Event()

    async def handler(body: bytes) -> bytes:
        if body == b"[1]":
            await left.wait()
        return body

    client = await listen(in_tasks(nursery, handler))
    async with client.open("leaver"):
        client.write(b":leaver:[1]")
        assert await client.ask(b":reply:{}") == b"{}"
    left.set()
    assert await client.ask(b":reply:{}") == b"{}"


async def test_parse_errors_without_a_reply_name_are_nobodys(listen: Start) -> None:
    def dispatch(_body: bytes, _caller: object, _answer: object) -> None:
        raise MalformedMessage("is odd")

    client = await listen(dispatch)
    client.write(b"::x\n")
    assert await client.ask(b":reply:y") == render_error(MalformedMessage("is odd"), None)


async def test_a_fifo_that_was_removed_is_made_anew(listen: Start, caplog: pytest.LogCaptureFixture) -> None:
    client = await listen(echo)
    client.path.unlink()
    await trio.testing.wait_all_tasks_blocked()
    client.fifo.check()
    await trio.testing.wait_all_tasks_blocked()
    assert await client.ask(b":reply:{}") == b"{}"
    assert "was removed by someone else; recreated it" in caplog.text


async def test_a_fifo_that_was_removed_is_missed_after_a_while(
    listen: Start, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    client = await listen(echo)
    client.path.unlink()
    await trio.sleep(mi_fifo.CHECK_INTERVAL + 1)
    assert client.path.is_fifo()


async def test_what_somebody_else_put_in_its_place_is_left_alone(
    listen: Start, caplog: pytest.LogCaptureFixture
) -> None:
    client = await listen(echo)
    client.path.unlink()
    client.path.write_text("theirs")
    client.fifo.check()
    await trio.testing.wait_all_tasks_blocked()
    assert client.path.read_text() == "theirs"
    assert "cannot be recreated" in caplog.text


async def test_stopping_lets_requests_in_flight_be_answered(tmp_path: Path) -> None:
    started, released = trio.Event(), trio.Event()

    async def handler(body: bytes) -> bytes:
        started.set()
        await released.wait()
        return body

    fifo = MiFifo(str(tmp_path / "fifo"), 0o600, str(tmp_path))
    client = Client(fifo, tmp_path)
    async with client.open("reply") as stream:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_mi_fifo, fifo, Reception(in_tasks(nursery, handler)))
            client.write(b":reply:{}")
            await started.wait()
            fifo.stop()
            fifo.end()
            released.set()
        assert await read_all(stream) == b"{}"


def test_a_fifo_in_use_is_named(tmp_path: Path) -> None:
    fifo = MiFifo(str(tmp_path / "fifo"), 0o600, "/tmp/")
    with pytest.raises(ConfigError, match=r"fifo\.lock: another janus-bridge holds it$"):
        MiFifo(str(tmp_path / "fifo"), 0o600, "/tmp/")
    fifo.close()


def test_a_file_in_its_place_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "fifo").write_text("precious")
    with pytest.raises(ConfigError, match=r"fifo: something else has that name$"):
        MiFifo(str(tmp_path / "fifo"), 0o600, "/tmp/")
    assert os.listdir(tmp_path) == ["fifo"]


async def run(name: str, *args: str, home: Path) -> CompletedProcess[bytes]:
    argv = [str(Path(sys.executable).with_name(name)), *args]
    env = {"HOME": str(home), "PATH": os.environ["PATH"]}
    return await trio.run_process(argv, capture_stdout=True, capture_stderr=True, check=False, env=env)


@pytest.mark.program
async def test_opensips_cli(listen: Start, tmp_path: Path) -> None:
    client = await listen(core_registry().dispatch)
    options = ["-o", f"fifo_file={client.path}", "-o", f"fifo_reply_dir={tmp_path}", "-o", "output_type=lines"]
    ran = await run("opensips-cli", *options, "-x", "mi", "which", "which", home=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, b"command\n"), ran.stderr
    ran = await run("opensips-cli", *options, "-x", "mi", "get_statistics", "core:", home=tmp_path)
    assert ran.stdout.startswith(b"core:timestamp: "), ran.stderr


@pytest.mark.program
async def test_opensips_mi(listen: Start, tmp_path: Path) -> None:
    client = await listen(core_registry().dispatch)
    at = ["-t", "fifo", "-f", str(client.path), "-fd", str(tmp_path)]
    ran = await run("opensips-mi", *at, "help", home=tmp_path)
    assert ran.stdout == b"\"Usage: help mi_cmd - returns information about 'mi_cmd'\"\n", ran.stderr
    ran = await run("opensips-mi", *at, "log_level", "x", home=tmp_path)
    assert b"-32602: Invalid params (Bad type for parameter 'level')" in ran.stdout
