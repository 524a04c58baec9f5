"""Keep a task of the program going whatever happens in it.

Owns one of the few places where ``except Exception`` stands (docs/architecture.md names them). What ends up here is a
fault of ours: it is logged with its traceback, and the task starts anew after a pause, while everything else runs.
"""

import logging
from collections.abc import Awaitable, Callable

import trio

PAUSE = 1.0  # seconds before a task that failed starts anew


async def supervise(run: Callable[[], Awaitable[None]], name: str, log: logging.Logger) -> None:
    """Run until it returns. An exception is logged, and it is run again after a pause."""
    while True:
        try:
            await run()
            return
        except* Exception:  # a fault that shows while the task is cancelled, too: it comes grouped with the Cancelled
            log.exception("%s failed; restarting in %g s", name, PAUSE)
        await trio.sleep(PAUSE)
