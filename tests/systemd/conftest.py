"""A booted Debian with the program installed, and what a test does with its service."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.support.deadlines import HANG_SECONDS
from tests.systemd.debians import CHECKOUTS, PACKAGES, Debian, debian_of

CONFIG = "/etc/janus-bridge/janus-bridge.toml"
STATE = "/var/lib/janus-bridge"


class Service:
    """The unit, and what its journal says since the last start."""

    def __init__(self, debian: Debian) -> None:
        self.debian = debian
        self.program = debian.program
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

    def logged(self, text: str) -> bool:
        """Whether the journal has it, or gets it: a thread of the service writes it, maybe behind an answer."""
        deadline = time.monotonic() + HANG_SECONDS
        while text not in self.journal:
            if time.monotonic() > deadline:
                return False
        return True

    def entries(self) -> list[dict[str, str]]:
        """What the journal has of the unit's processes since the last start, with all fields."""
        self.debian.succeed("journalctl", "--sync")
        words = ("journalctl", "-o", "json", f"--after-cursor={self._cursor}", "_SYSTEMD_UNIT=janus-bridge.service")
        return [json.loads(line) for line in self.debian.succeed(*words).splitlines()]

    def stat(self, path: str) -> str:
        """Mode, user and group."""
        return self.debian.succeed("stat", "-c", "%a %U:%G", path).strip()


@pytest.fixture(scope="session", params=[*CHECKOUTS, *PACKAGES])
def debian(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian]:
    """One for each way in which the program gets into one; installed, not started."""
    with debian_of(request.param, tmp_path_factory.mktemp("container")) as booted:
        booted.install()
        yield booted


@pytest.fixture
def service(debian: Debian) -> Iterator[Service]:
    debian.succeed("install", "-d", "-m", "0700", "-o", "janus-bridge", STATE)  # as it is from the first start on
    yield Service(debian)
    debian.run("systemctl", "stop", "janus-bridge")
    debian.run("rm", "-rf", CONFIG, "/etc/systemd/system/janus-bridge.service.d", STATE)
    debian.succeed("systemctl", "daemon-reload")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests measured, which is not asserted."""
    for report in terminalreporter.getreports("passed"):
        for name, told in report.user_properties:
            if name == "told" and report.when == "call":
                terminalreporter.write_line(f"{report.nodeid}: {told}")
