"""The Debian packages in bare Debians: from `apt install` to `apt purge`, and what each step leaves."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.packages import OLDER
from tests.systemd.conftest import CONFIG, Service
from tests.systemd.debians import APT_SECONDS, PACKAGES, PackageDebian

DATABASE = "/var/lib/janus-bridge/janus.db"
_NOT_OURS = ("/var/cache", "/var/lib/apt", "/var/lib/dpkg", "/var/log", "/tmp", "/var/tmp", "/run", "/root")
# Backups of the tools that make users; and netbase, which Python wants, makes a file that it leaves.
_OTHERS = {f"/etc/{name}-" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")} | {"/etc/hosts"}


@pytest.fixture(params=PACKAGES)
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PackageDebian]:
    """A Debian without the package."""
    with PackageDebian(tmp_path, request.param) as booted:
        yield booted


def traces(debian: PackageDebian) -> set[str]:
    """Every file and folder, user and group."""
    pruned = " -o ".join(f"-path {folder}" for folder in _NOT_OURS)
    files = debian.succeed("sh", "-c", f"find / -xdev \\( {pruned} \\) -prune -o -print").splitlines()
    return {*files, *debian.succeed("getent", "passwd").split(), *debian.succeed("getent", "group").split()} - _OTHERS


def packages(debian: PackageDebian) -> set[str]:
    """Every one that is installed."""
    return set(debian.succeed("dpkg-query", "-W", "-f", "${binary:Package}\\n").split())


def test_three_commands_from_nothing_to_an_answer_and_back_to_nothing(
    bare: PackageDebian, record_property: Callable[[str, object], None]
) -> None:
    bare.beside("tests.systemd.janus_server", "8188")
    before, packages_before = traces(bare), packages(bare)
    bare.succeed("cp", bare.package, "/root/janus-bridge_1.deb")
    commands = {
        "apt install": "apt install -y ./janus-bridge_*.deb",
        "db add": "janus-bridge db add --now gw1 janusws://127.0.0.1:8188/janus",
        "mi": """janus-bridge mi janus_send_request gw1 '{"janus": "info"}'""",
    }
    said, began = "", time.monotonic()
    took: dict[str, float] = {}
    for name, command in commands.items():
        said = bare.succeed("sh", "-c", f"cd /root && DEBIAN_FRONTEND=noninteractive {command}", timeout=APT_SECONDS)
        took[name] = time.monotonic() - began - sum(took.values())
    assert json.loads(said)["janus"] == "server_info"
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
    record_property("told", f"{sum(took.values()):.1f} s from apt install to the first answer ({parts})")
    assert bare.succeed("systemctl", "is-enabled", "janus-bridge") == "enabled\n"
    warnings = bare.succeed("journalctl", "-u", "janus-bridge", "-p", "warning", "-o", "cat").splitlines()
    assert [line for line in warnings if "it is empty: add a row" not in line] == []
    assert "(compiled)" in bare.succeed("janus-bridge", "--version")
    assert bare.succeed("janus-bridge", "unit") == bare.succeed("cat", "/usr/lib/systemd/system/janus-bridge.service")
    installed = bare.succeed("dpkg-query", "--listfiles", "janus-bridge")
    assert bare.run("xargs", "-d", "\n", "stat", "-c", "", text=installed).stderr == ""

    bare.apt("remove", "janus-bridge")
    assert bare.run("systemctl", "is-active", "janus-bridge").stdout == "inactive\n"
    assert bare.run("find", "/proc", "-maxdepth", "1", "-user", "janus-bridge").stdout == ""
    bare.succeed("test", "-s", DATABASE, "-a", "-e", CONFIG)  # state and configuration are there, should it come back
    bare.apt("install", bare.package)
    assert "gw1" in bare.succeed("janus-bridge", "db", "list")

    bare.apt("purge", "janus-bridge")
    bare.apt("purge", *(packages(bare) - packages_before))  # what it had brought along
    assert traces(bare) ^ before == set()
    assert bare.run("systemctl", "cat", "janus-bridge").returncode != 0


def test_an_upgrade_keeps_what_was_edited_and_replaces_what_was_not(bare: PackageDebian) -> None:
    service = Service(bare)
    bare.apt("install", bare.package_before)
    assert OLDER in bare.succeed("cat", CONFIG)
    assert service.stat(CONFIG) == "640 root:janus-bridge"
    pid = service.show("MainPID")
    bare.apt("install", bare.package)
    shipped = bare.succeed("cat", CONFIG)
    assert OLDER not in shipped
    assert service.stat(CONFIG) == "640 root:janus-bridge"
    assert (service.show("ActiveState"), service.show("MainPID") != pid) == ("active", True)

    edited = shipped.replace("\n[log]\n", "\n[log]\nlevel = 4\n")
    assert edited != shipped
    bare.write(CONFIG, edited, "0600", "janus-bridge")
    bare.apt("install", "--allow-downgrades", bare.package_before)
    assert bare.succeed("cat", CONFIG) == edited
    assert OLDER in bare.succeed("cat", f"{CONFIG}.dpkg-dist")
    assert service.stat(CONFIG) == "600 janus-bridge:root"
    assert service.show("ActiveState") == "active"

    bare.run(
        "dpkg", "--unpack", bare.package
    )  # an upgrade that is broken off before it is configured, and then given up
    bare.apt("purge", "janus-bridge")
    assert service.show("ActiveState") == "inactive"
    assert bare.run("sh", "-c", "ls -d /usr/lib/janus-bridge; getent passwd janus-bridge").stdout == ""
