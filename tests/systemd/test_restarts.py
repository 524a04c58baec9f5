"""The installed unit is restarted, upgraded, killed, and hangs; a handle at a Janus that reclaims nothing lives on."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deadlines import HANG_SECONDS
from tests.systemd.calls import FIFO, POLL_SECONDS, SOCKET, Calls, until_another_process
from tests.systemd.conftest import Service


@pytest.fixture
def calls(service: Service, tmp_path: Path) -> Iterator[Calls]:
    calls = Calls(service, tmp_path)
    yield calls
    calls.close()


def test_calls_outlive_every_end_of_the_process(service: Service, calls: Calls) -> None:
    debian = service.debian
    doors = debian.succeed("stat", "-c", "%i", SOCKET, FIFO)
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

    debian.upgrade()
    assert calls.live(), service.journal
    service.drop_in("WatchdogSec=3")
    debian.succeed("systemctl", "restart", "janus-bridge")
    assert calls.live(), service.journal
    pid = service.show("MainPID")
    debian.succeed("systemctl", "kill", "--signal=STOP", "janus-bridge")
    until_another_process(service, pid)
    assert calls.live(), service.journal
    assert service.show("NFileDescriptorStore") == "4"  # one socket to Janus, one of each door
    assert debian.succeed("stat", "-c", "%i", SOCKET, FIFO) == doors  # who has them open writes to them still
    numbers, statuses = calls.heard()
    assert "session_lost" not in statuses
    assert numbers == sorted(set(numbers))  # none twice, none out of order

    debian.succeed("systemctl", "stop", "janus-bridge")  # systemd closes what it kept
    debian.succeed("systemctl", "start", "janus-bridge")
    deadline = time.monotonic() + HANG_SECONDS
    while "session_lost" not in calls.heard()[1]:
        assert time.monotonic() < deadline, service.journal
        time.sleep(POLL_SECONDS)
