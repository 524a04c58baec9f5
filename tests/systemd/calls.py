"""A handle at a Janus that sends it 200 events a second: both are beside the container, in its network."""

import json
import time
from pathlib import Path
from typing import Any

from tests.support.deadlines import HANG_SECONDS
from tests.support.janus import GEN
from tests.systemd.conftest import Service

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


class Calls:
    """One handle, and what was heard of it."""

    def __init__(self, service: Service, folder: Path) -> None:
        """Start everything. ``folder``: for what is heard."""
        self._service = service
        debian = service.debian
        self._heard = folder / "heard"
        self._processes = (
            debian.beside("tests.systemd.janus_server", "8188"),
            debian.beside("tests.systemd.listener", "7777", str(self._heard)),
        )
        assert service.start(MI + SUBSCRIBERS), service.journal
        debian.succeed(service.program, "db", "add", "gw1", "janusws://127.0.0.1:8188/janus")
        debian.succeed(service.program, "mi", "janus_reload")
        deadline = time.monotonic() + HANG_SECONDS
        while not self._heard.exists():
            assert time.monotonic() < deadline, self._processes[1].output
            time.sleep(POLL_SECONDS)
        while debian.run(service.program, "mi", "janus_send_request", "gw1", '{"janus": "ping"}').returncode:
            assert time.monotonic() < deadline, self._service.journal
        self._handle = self._ask({"janus": "attach", "plugin": GEN})["data"]["id"]
        self._message({"do": "tick", "ms": 5, "k": 1, "n": 1_000_000, "size": 20})

    def close(self) -> None:
        """Stop the service, then what is beside it."""
        self._service.debian.run("systemctl", "stop", "janus-bridge")
        for process in self._processes:
            process.stop(HANG_SECONDS)

    def live(self) -> bool:
        """Whether the handle answers."""
        return bool(self._message({"n": 1})["janus"] == "success")

    def heard(self) -> tuple[list[int], list[str]]:
        """The numbers of all events, and all statuses."""
        numbers: list[int] = []
        statuses: list[str] = []
        for line in self._heard.read_text().split("\n")[:-1]:  # the last may not be whole yet
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
        said = self._service.debian.succeed(
            self._service.program, "mi", "janus_send_request", "gw1", json.dumps(command)
        )
        return json.loads(said)


def until_another_process(service: Service, before: str) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while service.show("MainPID") in (before, "0") or service.show("ActiveState") != "active":
        assert time.monotonic() < deadline, service.journal
        time.sleep(POLL_SECONDS)
