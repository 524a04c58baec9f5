"""A Debian with a systemd of its own, booted by systemd-nspawn: there one sees what systemd does with the unit.

Owns the container: a tree that ``make test-systemd`` or ``make test-system`` makes once, with a throw-away layer over
it, and no network but its own loopback; and what a test runs beside it, with this machine's files on that loopback.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.deadlines import HANG_SECONDS
from tests.support.process import ChildProcess

CHECKOUT = Path(__file__).parents[2]
TREES = CHECKOUT / ".debian"

_CGROUPS = Path("/sys/fs/cgroup")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # root's, in Debian
_POLL_SECONDS = 0.02


def missing(tree: Path, needed: str = "sbin/init") -> str | None:
    """Why it cannot be booted here. ``needed``: what it has when it is whole, from its root."""
    if os.getuid() != 0:
        return "only root starts a container"
    if not (tree / needed).is_file():
        return f"no {tree.relative_to(CHECKOUT)}"
    return None if shutil.which("systemd-nspawn") else "systemd-nspawn is not installed"


class Container:
    """``with Container(tmp_path, tree) as debian: debian.run("systemctl", ...)``."""

    def __init__(self, folder: Path, tree: Path, binds: Mapping[Path, str] | None = None) -> None:
        """``folder`` is for logs; ``binds``: folders of this machine, and where it reads them."""
        name = f"janus-bridge-{os.urandom(4).hex()}"
        command = ["systemd-nspawn", f"--directory={tree}", "--volatile=overlay", f"--machine={name}", "--boot"]
        command += ["--register=no", "--private-network", "--console=pipe"]
        command += [f"--bind-ro={there}:{here}" for there, here in (binds or {}).items()]
        self._folder = folder
        self._beside: list[ChildProcess] = []
        self._groups: list[Path] = []
        if not Path("/run/systemd/system").exists():  # there is nobody to ask for a cgroup: one of our own
            command += ["--keep-unit"]
            self._groups = [found / name for found in _CGROUPS.iterdir() if (found / "cgroup.procs").exists()]
            self._groups = self._groups or [_CGROUPS / name]
            enter = "".join(f"mkdir -p {group}; echo $$ > {group}/cgroup.procs; " for group in self._groups)
            command = ["sh", "-c", f'{enter}exec "$@"', "sh", *command]
        self._nspawn = ChildProcess(command, folder / "nspawn.log")
        self._leader = 0

    def __enter__(self) -> Self:
        try:
            self._boot()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _boot(self) -> None:
        deadline = time.monotonic() + HANG_SECONDS
        while time.monotonic() < deadline and self._nspawn.exit_code is None:
            children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
            self._leader = int(children[0]) if children else 0
            if self._leader and self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"):
                return
            time.sleep(_POLL_SECONDS)
        pytest.fail(f"the container did not boot:\n{self._nspawn.output[-3000:]}")

    def run(
        self, *command: str, text: str | None = None, timeout: float = HANG_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as its root, with ``text`` as standard input."""
        entry = ["nsenter", f"--target={self._leader}", "--all", "env", "-i", f"PATH={_PATH}"]
        words = [*entry, *command]
        return subprocess.run(words, input=text or "", capture_output=True, text=True, timeout=timeout)

    def succeed(self, *command: str, text: str | None = None, timeout: float = HANG_SECONDS) -> str:
        """Run it; what it said. Fails where it fails."""
        done = self.run(*command, text=text, timeout=timeout)
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def write(self, path: str, content: str, mode: str = "0644", owner: str = "root") -> None:
        """A file, and the folders on the way to it."""
        self.succeed("install", "-D", "-m", mode, "-o", owner, "/dev/stdin", path, text=content)

    def beside(self, module: str, *words: str) -> ChildProcess:
        """Start a module with this Python, on this machine's files and in the container's network, as ours."""
        log = self._folder / f"{module}.log"
        command = ["nsenter", f"--net=/proc/{self._leader}/ns/net", sys.executable, "-m", module, *words]
        self._beside.append(ChildProcess(command, log, cwd=CHECKOUT))
        return self._beside[-1]

    def stop(self) -> None:
        """At once: nothing in it is worth an orderly end. Its init takes all of it along, and nspawn would leave it."""
        for process in self._beside:
            process.stop(HANG_SECONDS)
        if self._leader:
            with suppress(ProcessLookupError):
                os.kill(self._leader, signal.SIGKILL)
        self._nspawn.kill()
        deadline = time.monotonic() + HANG_SECONDS
        while self._groups and time.monotonic() < deadline:  # a cgroup stays until the last process in it has ended
            self._groups = [group for group in self._groups if not _remove(group)]
            time.sleep(_POLL_SECONDS)


def _remove(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            os.rmdir(folder)
    return not group.exists()
