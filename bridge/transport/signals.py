"""The signals that this program obeys, and which thread takes them.

Owns that none is lost on the way from one program to the next: one thread takes them, and no other, so that whatever
comes once it is gone waits, also for the program that this process becomes. Else it would meet a program without a
handler, which it ends; as the first process of a container, where the kernel drops it, not even that. Must not know
what they mean. Authority: signal(7), pthread_sigmask(3), execve(2), pid_namespaces(7).
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

OBEYED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)


@contextmanager
def waiting() -> Iterator[None]:
    """In the block, and in every thread that is started there, they wait for somebody who takes them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OBEYED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def taken() -> Iterator[None]:
    """In the block somebody takes them: the handlers of Python run, in its first thread."""
    over = threading.Event()

    def take() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OBEYED)
        over.wait()
        signal.pthread_sigmask(signal.SIG_BLOCK, OBEYED)  # it is there for a moment after it was joined

    thread = threading.Thread(target=take, name="signals", daemon=True)
    thread.start()
    # What a program could not handle any more before it became this one, it left to its first thread, and so to this.
    for number in signal.sigpending():
        if number in OBEYED and signal.sigtimedwait([number], 0) is not None:
            os.kill(os.getpid(), number)
    try:
        yield
    finally:
        over.set()
        thread.join()
