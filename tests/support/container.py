"""A Debian 12 with a systemd of its own, booted by systemd-nspawn: there one sees what systemd does with the unit.

Owns the container: a tree that ``make test-systemd`` makes once, with a throw-away layer over it, this checkout at
/opt/checkout, and no network but its own loopback.
"""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.deadlines import HANG_SECONDS
from tests.support.process import ChildProcess

CHECKOUT = Path(__file__).parents[2]
TREE = CHECKOUT / ".systemd-tree"
PROGRAM = "/opt/janus-bridge/bin/janus-bridge"

_CGROUPS = Path("/sys/fs/cgroup")
_POLL_SECONDS = 0.02


def _missing() -> str | None:
    if not (TREE / PROGRAM.lstrip("/")).exists():
        return "no .systemd-tree: `make test-systemd` makes it, as root"
    if os.getuid() != 0:
        return "only root starts a container"
    return None if shutil.which("systemd-nspawn") else "systemd-nspawn is not installed"


# ``pytestmark`` of what needs it.
NEEDS_CONTAINER = [pytest.mark.systemd, pytest.mark.skipif(_missing() is not None, reason=str(_missing()))]


class Container:
    """``with Container(tmp_path) as debian: debian.run("systemctl", ...)``. One at a time."""

    def __init__(self, folder: Path) -> None:
        name = f"janus-bridge-{os.getpid()}"
        command = ["systemd-nspawn", f"--directory={TREE}", "--volatile=overlay", f"--machine={name}", "--boot"]
        command += ["--register=no", "--private-network", "--console=pipe", f"--bind-ro={CHECKOUT}:/opt/checkout"]
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

    def run(self, *command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command as its root, with ``text`` as standard input."""
        entry = ["nsenter", f"--target={self._leader}", "--all", "env", "-i", f"PATH={os.defpath}:/usr/sbin:/sbin"]
        words = [*entry, *command]
        return subprocess.run(words, input=text or "", capture_output=True, text=True, timeout=HANG_SECONDS)

    def succeed(self, *command: str, text: str | None = None) -> str:
        """Run it; what it said. Fails where it fails."""
        done = self.run(*command, text=text)
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def write(self, path: str, content: str, mode: str = "0644", owner: str = "root") -> None:
        """A file, and the folders on the way to it."""
        self.succeed("install", "-D", "-m", mode, "-o", owner, "/dev/stdin", path, text=content)

    def stop(self) -> None:
        """At once: nothing in it is worth an orderly end. Its init takes all of it along, and nspawn would leave it."""
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
