"""What a subcommand says: results on stdout, complaints on stderr, and what it waits for.

Owns the two streams and their faults: closed, full, left by their reader, or without a letter in their encoding. Must
not know what is said.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from bridge.errors import BridgeError
from bridge.protocol.printable import printable

PATIENCE = 1.0  # seconds until somebody at a terminal is told what takes so long
REMINDER = 5.0  # seconds until he is told again


class OutputLost(BridgeError):
    """Standard output takes no more. ``data`` says why; None where its reader has left (``| head``) and nobody asks."""


def put(*lines: str) -> None:
    """Each as a line on stdout, at once. Raises OutputLost. Whoever closed stdout does not want it."""
    draw("".join(f"{line}\n" for line in lines))


def draw(text: str) -> None:
    """As ``put``, of a text that has its line ends, or commands of a terminal."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(_writable(text, sys.stdout))
        sys.stdout.flush()
    except OSError as exc:
        _discard(sys.stdout)
        raise OutputLost(None if isinstance(exc, BrokenPipeError) else f"standard output: {exc.strerror}") from None


def complain(line: str) -> None:
    """One line on stderr. There is nobody left to tell if that fails."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(_writable(printable(line), sys.stderr) + "\n")
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def settle() -> None:
    """Before the end: what stderr did not take until now will not be tried again, with an exit code of its own."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


@contextmanager
def waiting(what: Callable[[], str]) -> Iterator[None]:
    """Says on a terminal what is waited for while the block runs, if that takes its time. ``what`` is then asked."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    done = threading.Event()

    def tell() -> None:
        pause = PATIENCE
        while not done.wait(pause):
            complain(f"... waiting for {what()}")
            pause = REMINDER

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _writable(text: str, stream: TextIO) -> str:
    """Letters that the stream's encoding lacks, and lone surrogates, as escapes."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _discard(stream: TextIO) -> None:
    """Or what is left in its buffer would fail once more when the interpreter ends, with words of its own."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
