"""A booted Debian with the unit installed as the README says, and what a test does with it."""

from collections.abc import Iterator

import pytest

from tests.support.container import PROGRAM, Container

CONFIG = "/etc/janus-bridge/janus-bridge.toml"


class Service:
    """The unit, and what its journal says since the last start."""

    def __init__(self, debian: Container) -> None:
        self.debian = debian
        self._cursor = ""

    def configure(self, text: str) -> None:
        self.debian.write(CONFIG, text, "0600", "janus-bridge")

    def drop_in(self, text: str) -> None:
        """As ``systemctl edit`` would."""
        self.debian.write("/etc/systemd/system/janus-bridge.service.d/override.conf", f"[Service]\n{text}\n")
        self.debian.succeed("systemctl", "daemon-reload")

    def start(self, text: str) -> bool:
        """With this configuration; whether it is up."""
        self.configure(text)
        shown = self.debian.succeed("journalctl", "-n0", "--show-cursor")
        self._cursor = shown.rpartition("-- cursor: ")[2].strip()
        return self.debian.run("systemctl", "start", "janus-bridge").returncode == 0

    def reload(self) -> bool:
        return self.debian.run("systemctl", "reload", "janus-bridge").returncode == 0

    def show(self, name: str) -> str:
        return self.debian.succeed("systemctl", "show", "--value", "-p", name, "janus-bridge").strip()

    @property
    def journal(self) -> str:
        self.debian.succeed("journalctl", "--sync")
        since = [f"--after-cursor={self._cursor}"] if self._cursor else []
        return self.debian.succeed("journalctl", "-u", "janus-bridge", "-o", "cat", *since)

    def stat(self, path: str) -> str:
        """Mode, user and group."""
        return self.debian.succeed("stat", "-c", "%a %U:%G", path).strip()


def install(debian: Container) -> None:
    """As the README says."""
    users = debian.succeed(PROGRAM, "unit", "--sysusers")
    debian.succeed("systemd-sysusers", "-", text=users)
    debian.write("/etc/systemd/system/janus-bridge.service", debian.succeed(PROGRAM, "unit"))
    debian.succeed("systemctl", "daemon-reload")


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """Installed by the README's lines, not started."""
    with Container(tmp_path_factory.mktemp("container")) as booted:
        install(booted)
        yield booted


@pytest.fixture
def service(debian: Container) -> Iterator[Service]:
    yield Service(debian)
    debian.run("systemctl", "stop", "janus-bridge")
    debian.run("rm", "-rf", CONFIG, "/etc/systemd/system/janus-bridge.service.d", "/var/lib/janus-bridge/janus.db")
    debian.succeed("systemctl", "daemon-reload")
