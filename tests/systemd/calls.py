"""A handle at a Janus that sends it 200 events a second, beside the service in the container."""

import json
import time
from typing import Any

from tests.support.container import PROGRAM, Container
from tests.support.deadlines import HANG_SECONDS
from tests.support.janus import GEN
from tests.systemd.conftest import Service

PYTHON = "/opt/janus-bridge/bin/python"
HEARD = "/run/heard"
SOCKET, FIFO = "/run/janus-bridge/mi.sock", "/run/janus-bridge/fifo"
MI = f'[mi]\nhold_listeners = true\ndatagram = ["unix:{SOCKET}"]\nfifo = "{FIFO}"\n'
SUBSCRIBERS = """
[[events.subscribers]]
event = "E_JANUS_EVENT"
socket = "udp:127.0.0.1:7777"
[[events.subscribers]]
event = "E_JANUS_STATUS"
socket = "udp:127.0.0.1:7777"
"""
POLL_SECONDS = 0.05


def background(debian: Container, name: str, module: str, *words: str) -> None:
    """Run a module of this folder in the container, until the unit of that name is stopped."""
    words = (PYTHON, "-m", f"tests.systemd.{module}", *words)
    debian.succeed("systemd-run", f"--unit={name}", "--collect", "--working-directory=/opt/checkout", *words)


class Calls:
    """One handle, and what was heard of it."""

    def __init__(self, service: Service) -> None:
        """Start everything."""
        self._service = service
        debian = service.debian
        background(debian, "calls-janus", "janus_server", "8188")
        background(debian, "calls-listener", "listener", "7777", HEARD)
        assert service.start(MI + SUBSCRIBERS), service.journal
        debian.succeed(PROGRAM, "db", "add", "gw1", "janusws://127.0.0.1:8188/janus")
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
        numbers: list[int] = []
        statuses: list[str] = []
        for line in self._service.debian.succeed("cat", HEARD).splitlines():
            said = json.loads(line)
            if said["method"] == "E_JANUS_STATUS":
                statuses.append(said["params"]["status"])
            else:
                data = json.loads(said["params"]["janus_body"]).get("plugindata", {}).get("data", {})
                numbers += [data["i"]] if "i" in data else []  # else the late answer to a call that was cut off
        return numbers, statuses

    def more(self) -> None:
        """Wait until events come after what was heard."""
        before, deadline = len(self.heard()[0]), time.monotonic() + HANG_SECONDS
        while len(self.heard()[0]) <= before + 20:
            assert time.monotonic() < deadline, self._service.journal
            time.sleep(POLL_SECONDS)

    def _message(self, body: dict[str, Any]) -> Any:
        return self._ask({"janus": "message", "handle_id": self._handle, "body": body})

    def _ask(self, command: dict[str, Any]) -> Any:
        said = self._service.debian.succeed(PROGRAM, "mi", "janus_send_request", "gw1", json.dumps(command))
        return json.loads(said)


def until_another_process(service: Service, before: str) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while service.show("MainPID") in (before, "0") or service.show("ActiveState") != "active":
        assert time.monotonic() < deadline, service.journal
        time.sleep(POLL_SECONDS)
