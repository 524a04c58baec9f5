"""tools/debian says what the rest of the repository says: the lock's machines, the unit's folders, the sample."""

import os
import re
from email import message_from_string
from pathlib import Path

from tools import lock

ROOT = Path(__file__).parents[1]
DEBIAN = ROOT / "tools" / "debian"
UNIT = (ROOT / "opensips-examples/systemd/janus-bridge.service").read_text(encoding="utf-8")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def text(name: str) -> str:
    return (DEBIAN / name).read_text(encoding="utf-8")


def installed() -> dict[str, str]:
    """Each file of janus-bridge.install, and where it goes."""
    return dict(line.split() for line in text("janus-bridge.install").splitlines())


def unit(key: str) -> str:
    found = re.search(rf"^{key}=(.*)$", UNIT, re.MULTILINE)
    assert found, key
    return found[1]


def test_it_is_for_the_machines_that_the_lock_has_wheels_for() -> None:
    _, package = text("control").split("\n\n", 1)
    assert message_from_string(package)["Architecture"].split() == [ARCHITECTURES[name] for name in lock.MACHINES]


def test_every_file_that_it_installs_is_there() -> None:
    folders = [*installed(), *text("janus-bridge.docs").split()]
    assert [name for name in folders if not (ROOT / name).exists()] == []


def test_the_program_is_where_the_unit_starts_it() -> None:
    program, folder = next((name, folder) for name, folder in installed().items() if folder == "usr/bin")
    assert unit("ExecStart").split()[0] == f"/{folder}/{Path(program).name}"
    assert [name for name in (program, "tools/debian/rules") if not os.access(ROOT / name, os.X_OK)] == []


def test_the_configuration_is_the_sample_and_the_service_may_read_it() -> None:
    folder = installed()["opensips-examples/janus-bridge.toml"]
    assert f"/{folder}" == f"/etc/{unit('ConfigurationDirectory')}"
    assert f"chmod 0640 $(ROOT)/{folder}/janus-bridge.toml" in text("rules")
    assert f'chgrp {unit("SupplementaryGroups")} "$config"' in text("janus-bridge.postinst")


def test_a_purge_removes_what_the_unit_makes() -> None:
    removed = next(line.split() for line in text("janus-bridge.postrm").splitlines() if "rm -rf" in line)
    assert removed[2:] == [
        f"/var/lib/{unit('StateDirectory')}",
        f"/etc/{unit('ConfigurationDirectory')}",
        "/etc/systemd/system/janus-bridge.service.d",
    ]
    assert f"userdel {unit('User')}" in text("janus-bridge.postrm")


def test_no_maintainer_script_stops_the_service_over_an_upgrade() -> None:
    """What debhelper writes restarts it once, after the upgrade; systemd keeps the sockets. A removal ends it."""
    scripts = [file for file in DEBIAN.iterdir() if file.suffix in (".preinst", ".postinst", ".prerm", ".postrm")]
    removal = re.compile(r'^if \[ "\$1" = remove \]; then$.*?^fi$', re.M | re.S)
    assert [
        file.name
        for file in scripts
        if re.search(r"^\s*(systemctl|deb-systemd-invoke)", removal.sub("", file.read_text(encoding="utf-8")), re.M)
    ] == []
    assert "dh_installsystemd" not in text("rules")
