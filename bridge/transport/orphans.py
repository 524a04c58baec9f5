"""The children of others that the first process of a container inherits: nobody else lets them go.

Owns that none stays as a zombie. SIGCHLD is ignored, so that the kernel keeps nothing of a child that ends; who starts
one and wants to know how it ended does so in ``own_child``. Authority: pid_namespaces(7), wait(2).
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

FIRST = 1  # the process that the orphans of a container are given to


def let_go() -> None:
    """For the first process of a container; nothing happens in another. From the main thread."""
    if os.getpid() == FIRST:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)


@contextmanager
def own_child() -> Iterator[None]:
    """In the block a child that ends can be waited for; at its end there are only those of others. From the main
    thread, one block at a time.
    """
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)
        if before is signal.SIG_IGN:
            with suppress(ChildProcessError):  # none is left
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
