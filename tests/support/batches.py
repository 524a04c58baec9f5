"""A batch that runs, and MI over HTTP in one."""

import errno
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from bridge.protocol.jsonrpc import Dispatch
from bridge.transport.batch import Batch
from bridge.transport.http_access import Access
from bridge.transport.http_listener import Listener
from bridge.transport.http_server import HttpServer
from bridge.transport.mi_http import serve_mi_http


@asynccontextmanager
async def running_batch() -> AsyncIterator[Batch]:
    """It runs until the block ends."""
    batch = Batch()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(batch.run)
            yield batch
            nursery.cancel_scope.cancel()
    finally:
        batch.close()


async def serve_http(
    listeners: Sequence[Listener],
    dispatch: Dispatch,
    access: Access,
    *,
    task_status: trio.TaskStatus[HttpServer] = trio.TASK_STATUS_IGNORED,
    **more: Any,
) -> None:
    """``serve_mi_http`` in a batch of its own."""
    async with running_batch() as batch:
        await serve_mi_http(listeners, dispatch, access, batch, task_status=task_status, **more)


class FullBatch:
    """A batch in front of a kernel that can watch no more sockets, ``times`` times."""

    def __init__(self, batch: Batch, times: int) -> None:
        self._batch = batch
        self.times = times

    def add(self, *arguments: Any) -> None:
        if self.times > 0:
            self.times -= 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._batch.add(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)
