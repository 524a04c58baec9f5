"""The program that this process becomes: the same command, by the files as they are now (execve(2)).

Owns the look before the leap, and the leap. The process stays the same to whoever started it: its number, its
environment, its standard streams. Must not know what is handed on.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

import trio

from bridge.errors import ConfigError
from bridge.transport.orphans import own_child

ONLY_CHECK = "--check"  # the option of ``run`` that ends before anything is opened
LOOK = 30.0  # seconds that it may take


def command() -> list[str]:
    """As it was given, with the Python that runs this: a virtual environment is found by its path."""
    return [sys.executable, *sys.orig_argv[1:]]


async def fault(words: Sequence[str]) -> str | None:
    """Why the program with these words would not start, as far as that can be told from beside this one; else None."""
    try:
        with trio.fail_after(LOOK), own_child():
            done = await trio.run_process(
                [*words, ONLY_CHECK],
                stdin=subprocess.DEVNULL,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                deliver_cancel=_kill,
            )
    except trio.TooSlowError:
        return f"{ONLY_CHECK} does not end"
    except OSError as exc:
        return f"{words[0]}: {exc.strerror}"
    if done.returncode == 0:
        return None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[-1] if said else f"{ONLY_CHECK} ends with code {done.returncode}"


async def _kill(process: trio.Process) -> None:
    """It leaves nothing behind; SIGTERM would wait for it, blocked in it as it is in every thread of this process."""
    process.kill()


def become(words: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Be that program from now on. Raises ConfigError where that fails all the same: then nothing is left to go on."""
    try:
        os.execve(words[0], list(words), dict(environ))
    except OSError as exc:
        raise ConfigError(f"the new program cannot be started, {words[0]}: {exc.strerror}") from None
