"""Programs that have file systems of their own: full, small or read-only ones, which nobody else sees.

Authority: unshare(1), mount(8).
"""

import subprocess
import sys
from pathlib import Path

import pytest

_REFUSED = 77


def run_with_own_mounts(program: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """A program that ``mount``s over ``folder``, its first argument; the test is skipped where it may not."""
    words = ["unshare", "-rm", sys.executable, "-c", program, str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode == _REFUSED or "unshare" in done.stderr:
        pytest.skip("no file system can be mounted here")
    return done


def mount(*words: str) -> None:
    """As mount(8), in such a program."""
    if subprocess.run(["mount", *words], capture_output=True, check=False).returncode:
        sys.exit(_REFUSED)
