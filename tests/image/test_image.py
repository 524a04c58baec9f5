"""The container image as podman runs it: what it may do, what it keeps, and that calls outlive what replaces it."""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge import __version__
from tests.support.image import HARDENING, NEEDS_IMAGE, ImageContainer, podman
from tests.support.janus import GEN, Janus
from tests.support.process import freeze

pytestmark = NEEDS_IMAGE

DOCS = Path(__file__).parents[2] / "docs" / "container.md"
VERSION = "bridge/__init__.py"


@pytest.fixture(scope="module")
def gateway(janus: Janus) -> Iterator[ImageContainer]:
    """One with a gateway, added as docs/container.md says."""
    volumes = {"state": "/var/lib/janus-bridge", "program": "/opt/janus-bridge"}
    with ImageContainer("main", {"log.format": "json"}, volumes) as container:
        container.exec("janus-bridge", "db", "add", "--now", "gw1", janus.url)
        container.until("ready")
        yield container


@contextmanager
def living(container: ImageContainer) -> Iterator[None]:
    """A handle, at a Janus that reclaims nothing, lives on through the block; so does the process."""
    handle = str(container.send({"janus": "attach", "plugin": GEN})["data"]["id"])
    pid = container.inspect("{{.State.Pid}}")
    yield
    assert container.send({"janus": "message", "handle_id": handle, "body": {"n": 1}})["janus"] == "success"
    assert container.inspect("{{.State.Pid}}") == pid
    container.send({"janus": "detach", "handle_id": handle})


def test_it_has_no_rights(gateway: ImageContainer) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in Path("/proc", gateway.inspect("{{.State.Pid}}"), "status").read_text().splitlines()
    )
    assert status["Uid"].split() == ["8889"] * 4
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert gateway.exec("janus-bridge", "--version") == f"janus-bridge {__version__} (compiled)\n"
    for place in ("/", "/opt/janus-bridge", "/etc/janus-bridge"):
        assert podman("exec", gateway.name, "touch", f"{place}/x").returncode != 0


def test_its_log_is_json_where_that_is_set(gateway: ImageContainer) -> None:
    assert any("listening on" in json.loads(line)["message"] for line in gateway.log.splitlines())


def test_the_first_process_is_replaced_in_place(gateway: ImageContainer) -> None:
    """SIGUSR2, twice: also the program that has become the first process can."""
    with living(gateway):
        gateway.replace()
        gateway.replace()


def test_a_new_program_takes_over_from_its_volume(gateway: ImageContainer) -> None:
    """By the lines of docs/container.md; here the new one differs in what it says of itself."""
    lines = re.search(r"--entrypoint sh .* -c '(.*?)'", DOCS.read_text(), re.S)
    assert lines is not None
    new = "9.9.9"
    with living(gateway):
        gateway.beside("program", "/program", lines[1])
        gateway.beside("program", "/program", f"sed -i s/{__version__}/{new}/ /program/lib/*/site-packages/{VERSION}")
        gateway.replace()
        assert gateway.mi("version")["Server"] == f"janus-bridge ({new})"


def test_orphans_do_not_stay(gateway: ImageContainer) -> None:
    """What a shell leaves behind becomes a child of the first process."""
    orphan = gateway.exec("sh", "-c", "sleep 0.1 >/dev/null 2>&1 & echo $!").strip()
    gateway.exec("sh", "-c", f"while [ -d /proc/{orphan} ]; do sleep 0.02; done")


def test_health(gateway: ImageContainer) -> None:
    """Well is who answers."""
    assert podman("healthcheck", "run", gateway.name).returncode == 0
    pid = int(gateway.inspect("{{.State.Pid}}"))
    freeze(pid)
    try:
        assert podman("healthcheck", "run", gateway.name).returncode == 1
    finally:
        os.kill(pid, signal.SIGCONT)


def test_state_outlives_the_container(gateway: ImageContainer) -> None:
    """``podman stop`` is an orderly end, and the table is in the volume. The last test of the module's container."""
    gateway.recreate()
    gateway.until("ready")


def test_the_documented_limits_are_the_tested_ones() -> None:
    text = DOCS.read_text()
    assert [word for word in HARDENING if word not in text] == []
