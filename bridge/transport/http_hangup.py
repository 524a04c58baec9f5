"""Who has gone: notices that a peer closed its side while nobody reads from it.

Owns one epoll for all connections of a server. Must not know HTTP. Authority: epoll(7), EPOLLRDHUP.

A connection that waits for an answer from Janus does not read: what the client sends next may stay in the kernel. But
it has to notice the client's leaving, because then the command need not be sent any more (contract 5.4). Reading on in
a second task would tell, at the price of a change of tasks for each request. Instead each socket is registered once,
for its hang-up alone, with an epoll of our own, and trio watches that epoll: nothing is done per request, data that
was not read yet hides nothing, and the news comes at once.
"""

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio


class HangupWatch:
    """Calls back, once, for each watched socket whose peer shut down or reset the connection."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}

    @contextmanager
    def watching(self, fd: int, gone: Callable[[], None]) -> Iterator[None]:
        """``gone`` is called from ``run()``; it must not raise. The fd has to stay open until this ends."""
        self._callbacks[fd] = gone
        self._epoll.register(fd, select.EPOLLRDHUP | select.EPOLLONESHOT)
        try:
            yield
        finally:
            del self._callbacks[fd]
            self._epoll.unregister(fd)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll)
            for fd, _ in self._epoll.poll(0):
                self._callbacks[fd]()

    def close(self) -> None:
        """To be called when ``run`` has ended and nothing is watched."""
        trio.lowlevel.notify_closing(self._epoll)
        self._epoll.close()
