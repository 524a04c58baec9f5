"""The installed unit is restarted, upgraded, killed, and hangs; a handle at a Janus that reclaims nothing lives on."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.container import NEEDS_CONTAINER, PROGRAM
from tests.support.deadlines import HANG_SECONDS
from tests.support.janus import GEN
from tests.systemd.conftest import Service

pytestmark = [*NEEDS_CONTAINER, pytest.mark.xdist_group("systemd")]

PYTHON = "/opt/janus-bridge/bin/python"
HEARD = "/run/heard"
SUBSCRIBERS = """
[[events.subscribers]]
event = "E_JANUS_EVENT"
socket = "udp:127.0.0.1:7777"
[[events.subscribers]]
event = "E_JANUS_STATUS"
socket = "udp:127.0.0.1:7777"
"""
_POLL_SECONDS = 0.05


@pytest.fixture
def calls(service: Service) -> Iterator["Calls"]:
    """The service beside a Janus that sends 200 events a second to a handle."""
    debian = service.debian
    for name, *command in (("calls-janus", "janus_server", "8188"), ("calls-listener", "listener", "7777", HEARD)):
        module, *words = command
        words = [PYTHON, "-m", f"tests.systemd.{module}", *words]
        debian.succeed("systemd-run", f"--unit={name}", "--collect", "--working-directory=/opt/checkout", *words)
    assert service.start("[mi]\nhold_listeners = true\n" + SUBSCRIBERS), service.journal
    debian.succeed(PROGRAM, "db", "add", "gw1", "janusws://127.0.0.1:8188/janus")
    made = Calls(service)
    made.begin()
    yield made
    debian.run("systemctl", "stop", "janus-bridge", "calls-janus", "calls-listener")


class Calls:
    """One handle, and what was heard of it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._handle = ""

    def begin(self) -> None:
        self._service.debian.succeed(PROGRAM, "mi", "janus_reload")
        deadline = time.monotonic() + HANG_SECONDS
        while self._service.debian.run(PROGRAM, "mi", "janus_send_request", "gw1", '{"janus": "ping"}').returncode:
            assert time.monotonic() < deadline, self._service.journal
        self._handle = self._ask({"janus": "attach", "plugin": GEN})["data"]["id"]
        self._message({"do": "tick", "ms": 5, "k": 1, "n": 1_000_000, "size": 20})

    def live(self) -> bool:
        """Whether the handle answers."""
        return bool(self._message({"n": 1})["janus"] == "success")

    def heard(self) -> tuple[list[int], list[str]]:
        """The numbers of all events, and all statuses."""
        numbers, statuses = [], []
        for line in self._service.debian.succeed("cat", HEARD).splitlines():
            said = json.loads(line)
            if said["method"] == "E_JANUS_STATUS":
                statuses.append(said["params"]["status"])
            else:
                numbers.append(json.loads(said["params"]["janus_body"])["plugindata"]["data"]["i"])
        return numbers, statuses

    def more(self) -> None:
        """Wait until events come after what was heard."""
        before, deadline = len(self.heard()[0]), time.monotonic() + HANG_SECONDS
        while len(self.heard()[0]) <= before + 20:
            assert time.monotonic() < deadline, self._service.journal
            time.sleep(_POLL_SECONDS)

    def _message(self, body: dict[str, Any]) -> Any:
        return self._ask({"janus": "message", "handle_id": self._handle, "body": body})

    def _ask(self, command: dict[str, Any]) -> Any:
        said = self._service.debian.succeed(PROGRAM, "mi", "janus_send_request", "gw1", json.dumps(command))
        return json.loads(said)


def until_another_process(service: Service, before: str) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while service.show("MainPID") in (before, "0") or service.show("ActiveState") != "active":
        assert time.monotonic() < deadline, service.journal
        time.sleep(_POLL_SECONDS)


def test_calls_outlive_every_end_of_the_process(service: Service, calls: Calls) -> None:
    debian = service.debian
    debian.succeed("systemctl", "restart", "janus-bridge")
    assert calls.live(), service.journal
    pid = service.show("MainPID")
    debian.succeed("systemctl", "kill", "--signal=USR2", "janus-bridge")
    calls.more()
    assert calls.live(), service.journal
    assert (service.show("MainPID"), service.show("NRestarts")) == (pid, "0")
    numbers, _ = calls.heard()
    assert numbers == list(range(len(numbers)))  # none was lost

    debian.succeed("systemctl", "kill", "--signal=KILL", "janus-bridge")
    until_another_process(service, pid)
    assert calls.live(), service.journal

    debian.write("/etc/systemd/system/janus-bridge.service", debian.succeed(PROGRAM, "unit"))  # an upgrade
    service.drop_in("WatchdogSec=3")
    debian.succeed("systemctl", "restart", "janus-bridge")
    assert calls.live(), service.journal
    pid = service.show("MainPID")
    debian.succeed("systemctl", "kill", "--signal=STOP", "janus-bridge")
    until_another_process(service, pid)
    assert calls.live(), service.journal
    assert service.show("NFileDescriptorStore") == "2"  # one socket to Janus, one listener
    numbers, statuses = calls.heard()
    assert "session_lost" not in statuses
    assert numbers == sorted(set(numbers))  # none twice, none out of order

    debian.succeed("systemctl", "stop", "janus-bridge")  # systemd closes what it kept
    debian.succeed("systemctl", "start", "janus-bridge")
    deadline = time.monotonic() + HANG_SECONDS
    while "session_lost" not in calls.heard()[1]:
        assert time.monotonic() < deadline, service.journal
        time.sleep(_POLL_SECONDS)
