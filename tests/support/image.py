"""The container image, run by podman as docs/container.md says: not root, nothing to write to but its volumes.

Owns the container: of the image that ``make test-image`` makes, in this machine's network, so that it finds the servers
of the tests.
"""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.support.deadlines import HANG_SECONDS
from tests.support.ports import free_port

CHECKOUT = Path(__file__).parents[2]
MADE = CHECKOUT / ".image"
# As in docs/container.md, where a test reads them.
HARDENING = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--pids-limit=200", "--memory=512m")

_POLL_SECONDS = 0.02
_LISTENING = re.compile(r"listening on (https?://\S+)")


def _missing() -> str | None:
    if not (MADE / "id").exists():
        return "no .image: `make test-image` makes it, as root"
    return None if shutil.which("podman") and os.getuid() == 0 else "it takes podman, and root"


# ``pytestmark`` of what needs it.
NEEDS_IMAGE = [pytest.mark.image, pytest.mark.skipif(_missing() is not None, reason=str(_missing()))]


def podman(*words: str) -> subprocess.CompletedProcess[str]:
    """Run it, with the settings that the image was made with."""
    environ = {**os.environ, "CONTAINERS_CONF": str(MADE / "containers.conf")}
    return subprocess.run(["podman", *words], capture_output=True, text=True, env=environ, timeout=HANG_SECONDS)


def succeed(*words: str) -> str:
    """The same; what it printed. Fails where podman does."""
    done = podman(*words)
    assert done.returncode == 0, f"podman {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


class ImageContainer:
    """``with ImageContainer("name", {"mi.hold_listeners": "true"}) as bridge:``; settings by the environment.

    ``volumes``: ``{"NAME": "/path"}``; the name gets this container's in front, and they go with it.
    """

    def __init__(
        self, name: str, settings: Mapping[str, str] | None = None, volumes: Mapping[str, str] | None = None
    ) -> None:
        self.name = f"janus-bridge-test-{os.getpid()}-{name}"
        given = {"mi.http": f'["127.0.0.1:{free_port()}"]', **(settings or {})}
        self._environ = {"JANUS_BRIDGE_" + key.upper().replace(".", "__"): value for key, value in given.items()}
        self._volumes = {f"{self.name}-{volume}": path for volume, path in (volumes or {}).items()}
        self._image = (MADE / "id").read_text().strip()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def start(self) -> Self:
        """Run it; return when it listens."""
        words = ["run", "--detach", f"--name={self.name}", "--network=host", *HARDENING]
        words += [f"--env={name}={value}" for name, value in self._environ.items()]
        succeed(*words, *(f"--volume={name}:{path}" for name, path in self._volumes.items()), self._image)
        self._until_listening(1)
        return self

    def replace(self) -> None:
        """SIGUSR2; return when the new program listens."""
        before = len(_LISTENING.findall(self.log))
        succeed("kill", "--signal=USR2", self.name)
        self._until_listening(before + 1)

    def recreate(self) -> None:
        """Away with the container, and a new one on its volumes."""
        succeed("stop", self.name)
        assert self.inspect("{{.State.ExitCode}}") == "0", self.log
        succeed("rm", self.name)
        self.start()

    def beside(self, volume: str, path: str, script: str) -> None:
        """Run this as root in another container of the image, which has that volume of this one there."""
        words = ["run", "--rm", "--network=none", "--user=0", "--entrypoint=sh"]
        succeed(*words, f"--volume={self.name}-{volume}:{path}", self._image, "-c", script)

    def remove(self) -> None:
        podman("rm", "--force", "--time=0", self.name)
        podman("volume", "rm", "--force", *self._volumes)

    @property
    def log(self) -> str:
        done = podman("logs", self.name)
        return done.stdout + done.stderr

    def inspect(self, what: str) -> str:
        """A member of its state, as in ``{{.State.Pid}}``."""
        return succeed("inspect", f"--format={what}", self.name).strip()

    def exec(self, *words: str) -> str:
        return succeed("exec", self.name, *words)

    def mi(self, method: str, *params: str) -> Any:
        """As an operator asks who is let in: the program knows where the first process listens."""
        return json.loads(self.exec("janus-bridge", "mi", method, *params))

    def send(self, command: Mapping[str, Any]) -> Any:
        """A command to gw1: Janus's answer."""
        return self.mi("janus_send_request", "gw1", json.dumps(command))

    def until(self, state: str) -> None:
        """gw1 is in this state."""
        deadline = time.monotonic() + HANG_SECONDS
        while (found := self.mi("janus_list", "gw1")["Gateways"][0])["state"] != state:
            assert time.monotonic() < deadline, found
            time.sleep(_POLL_SECONDS)

    def _until_listening(self, times: int) -> None:
        deadline = time.monotonic() + HANG_SECONDS
        while len(_LISTENING.findall(self.log)) < times:
            assert self.inspect("{{.State.Running}}") == "true", self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(_POLL_SECONDS)
