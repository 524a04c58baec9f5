"""A test wants its own error back, not the wrapping of the nurseries that it passed through."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unwrapped() -> Iterator[None]:
    """Around ``async with trio.open_nursery()``: an exception group of one leaves as that one."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
