"""Who sleeps in trio's place: whatever trio has to do ends that at once, and is not late."""

import os
import select
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from bridge.transport import trio_idle
from bridge.transport.trio_idle import TrioIdle
from tests.support.deadlines import HANG_SECONDS


class Sleeper:
    """A task with an epoll of its own, in which is a bell, that trio has just waited for."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.bell = os.eventfd(0)
        self.epoll.register(self.bell, select.EPOLLIN)

    async def wake(self) -> None:
        """As trio wakes it, with nothing left that is ready."""
        os.eventfd_write(self.bell, 1)
        await trio.lowlevel.wait_readable(self.epoll.fileno())
        os.eventfd_read(self.bell)

    def close(self) -> None:
        self.epoll.close()
        os.close(self.bell)


@asynccontextmanager
async def sleeping(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Sleeper, TrioIdle, trio.Nursery]]:
    """It has been woken, with ``TrioIdle`` at work. Nothing but what is looked for ends its sleep."""
    monkeypatch.setattr(trio_idle, "LONGEST", HANG_SECONDS)
    sleeper = Sleeper()
    await sleeper.wake()
    idle = TrioIdle(sleeper.epoll.fileno())
    assert idle.found
    trio.lowlevel.add_instrument(idle)
    async with trio.open_nursery() as nursery:
        yield sleeper, idle, nursery
        nursery.cancel_scope.cancel()
    trio.lowlevel.remove_instrument(idle)
    sleeper.close()


async def settled(sleeper: Sleeper) -> None:
    """Every other task waits for something."""
    await trio.testing.wait_all_tasks_blocked()
    await sleeper.wake()


async def test_it_goes_on_while_trio_has_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sleeping(monkeypatch) as (sleeper, idle, _):
        await sleeper.wake()
        os.eventfd_write(sleeper.bell, 1)
        assert idle.alone(wait=True)
        assert idle.alone(wait=False)
        os.eventfd_read(sleeper.bell)
        assert idle.alone(wait=False)


async def test_not_before_trio_was_seen_to_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sleeping(monkeypatch) as (sleeper, idle, _):
        os.eventfd_write(sleeper.bell, 1)
        assert not idle.alone(wait=True)
        assert not idle.alone(wait=False)


@pytest.mark.parametrize("hot", [False, True])
async def test_a_socket_that_trio_waits_for_ends_it(monkeypatch: pytest.MonkeyPatch, hot: bool) -> None:
    async with sleeping(monkeypatch) as (sleeper, idle, nursery):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            nursery.start_soon(trio.lowlevel.wait_readable, ours)
            await settled(sleeper)
            if hot:
                os.eventfd_write(sleeper.bell, 1)
                assert idle.alone(wait=True)
            theirs.send(b"x")
            assert not idle.alone(wait=True)
            assert not idle.alone(wait=False)
            nursery.cancel_scope.cancel()
            await trio.lowlevel.cancel_shielded_checkpoint()


async def test_a_task_that_became_runnable_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sleeping(monkeypatch) as (sleeper, idle, nursery):
        event = trio.Event()
        nursery.start_soon(event.wait)
        await settled(sleeper)
        os.eventfd_write(sleeper.bell, 1)
        assert idle.alone(wait=True)
        event.set()
        assert not idle.alone(wait=True)
        assert not idle.alone(wait=False)


async def test_a_task_that_woke_in_the_same_turn_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sleeping(monkeypatch) as (sleeper, idle, nursery):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            nursery.start_soon(trio.lowlevel.wait_readable, ours)
            await trio.testing.wait_all_tasks_blocked()
            theirs.send(b"x")
            await sleeper.wake()
            assert not idle.alone(wait=False)


async def test_what_comes_from_a_thread_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sleeping(monkeypatch) as (sleeper, idle, _):
        await sleeper.wake()
        assert idle.alone(wait=False)
        trio.lowlevel.current_trio_token().run_sync_soon(lambda: None)
        assert not idle.alone(wait=True)


async def test_a_signal_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sleeping(monkeypatch) as (sleeper, idle, _):
        with trio.open_signal_receiver(signal.SIGUSR1) as received:
            await sleeper.wake()
            signal.raise_signal(signal.SIGUSR1)
            assert not idle.alone(wait=True)
            assert await anext(received) == signal.SIGUSR1


async def test_what_is_due_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sleeping(monkeypatch) as (sleeper, idle, nursery):
        nursery.start_soon(trio.sleep, 0.01)
        await settled(sleeper)
        assert not idle.alone(wait=True)


async def test_trio_has_a_turn_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sleeping(monkeypatch) as (sleeper, idle, _):
        monkeypatch.setattr(trio_idle, "LONGEST", 0.002)
        await sleeper.wake()
        assert not idle.alone(wait=True)


async def test_where_trio_has_not_waited_for_the_epoll_it_is_never_idle() -> None:
    sleeper = Sleeper()
    os.eventfd_write(sleeper.bell, 1)
    idle = TrioIdle(sleeper.epoll.fileno())
    assert (idle.found, idle.alone(wait=True), idle.alone(wait=False)) == (False, False, False)
    sleeper.close()


async def test_nor_where_the_kernel_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = Sleeper()
    await sleeper.wake()
    monkeypatch.setattr(os, "readlink", lambda path: "")
    assert not TrioIdle(sleeper.epoll.fileno()).found
    sleeper.close()
