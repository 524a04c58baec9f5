"""Answers over FIFO and datagrams that nobody takes: what they hold counts in the budget, and is given back."""

import os
import socket
from pathlib import Path

import pytest
import trio

from bridge.protocol.budget import Budget
from bridge.protocol.jsonrpc import TakeAnswer
from bridge.transport import mi_datagram, mi_fifo
from bridge.transport.mi_ask import Reception
from bridge.transport.mi_datagram import open_unix, serve_mi_datagram
from bridge.transport.mi_fifo import MiFifo, serve_mi_fifo
from tests.support.deadlines import HANG_SECONDS

ANSWER = 200_000


async def until(budget: Budget, used: int) -> None:
    with trio.fail_after(HANG_SECONDS):
        while budget.used != used:  # noqa: ASYNC110 - it has no event for it
            await trio.sleep(0.001)


def large(_body: bytes, _caller: object, answer: TakeAnswer) -> None:
    answer(b"x" * ANSWER)


async def test_an_answer_that_a_fifo_does_not_take_is_counted(
    nursery: trio.Nursery, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mi_fifo, "_WRITE_SECONDS", HANG_SECONDS)
    budget = Budget(2**20)  # of which one client may have 393,216 with what is large
    fifo = MiFifo(str(tmp_path / "fifo"), 0o622, str(tmp_path))
    await nursery.start(serve_mi_fifo, fifo, Reception(large, pending=budget))
    readers = []
    for name in ("a", "b"):
        os.mkfifo(tmp_path / name)
        readers.append(os.open(tmp_path / name, os.O_RDONLY | os.O_NONBLOCK))
    writer = os.open(fifo.path, os.O_WRONLY)
    os.write(writer, b":a:{}\n")
    await until(budget, ANSWER)
    os.write(writer, b":b:{}\n")
    os.close(writer)
    with trio.fail_after(HANG_SECONDS):
        while "no room for the answer to" not in caplog.text:  # noqa: ASYNC110
            await trio.sleep(0.001)
    assert (budget.used, budget.shares) == (ANSWER, {"fifo": ANSWER})
    os.close(readers.pop(0))
    await until(budget, 0)
    os.close(readers.pop())


async def test_an_answer_that_a_datagram_client_does_not_take_is_counted(
    nursery: trio.Nursery, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mi_datagram, "_OFFER_AGAIN", (0.001,) * 1_000_000)
    budget = Budget(2**20)
    path = str(tmp_path / "mi")

    def dispatch(_body: bytes, _caller: object, answer: TakeAnswer) -> None:
        answer(b"x" * 50_000)

    await nursery.start(serve_mi_datagram, open_unix(path, 0o600, None), Reception(dispatch, pending=budget))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        for _ in range(40):
            await trio.to_thread.run_sync(deaf.sendto, b"{}", path)
        with trio.fail_after(HANG_SECONDS):
            while not budget.used:  # noqa: ASYNC110
                await trio.sleep(0.001)
        assert budget.used % 50_000 == 0
    await until(budget, 0)  # it has left
    monkeypatch.setattr(mi_datagram, "_OFFER_AGAIN", (0.001,))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf too"))
        for _ in range(40):
            await trio.to_thread.run_sync(deaf.sendto, b"{}", path)
        with trio.fail_after(HANG_SECONDS):
            while "its queue is full" not in caplog.text:  # noqa: ASYNC110
                await trio.sleep(0.001)
        await until(budget, 0)  # each is given up
