"""A booted Debian for each way in which the program gets into one: as the README says, and by the packages."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import pytest
from _pytest.mark import ParameterSet

from tests.support.container import CHECKOUT, TREES, Container, missing
from tests.support.packages import RELEASES, before, built

APT_SECONDS = 900.0  # for hangs: a busy machine needs minutes to compile a Python


class Debian(Container, ABC):
    """``program``: where it is once it is installed."""

    program: ClassVar[str]

    @abstractmethod
    def install(self) -> None:
        """Leave it installed, and not running."""

    @abstractmethod
    def upgrade(self) -> None:
        """To what is installed in the end, from what a user had before, while it runs."""


class CheckoutDebian(Debian):
    """A Debian 12 that runs this checkout, as the README says."""

    program = "/opt/janus-bridge/bin/janus-bridge"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, TREES / "checkout", {CHECKOUT: "/opt/checkout"})

    def install(self) -> None:
        users = self.succeed(self.program, "unit", "--sysusers")
        self.succeed("systemd-sysusers", "-", text=users)
        self._put_unit()

    def upgrade(self) -> None:
        self._put_unit()
        self.succeed("systemctl", "restart", "janus-bridge")

    def _put_unit(self) -> None:
        self.write("/etc/systemd/system/janus-bridge.service", self.succeed(self.program, "unit"))
        self.succeed("systemctl", "daemon-reload")


class PackageDebian(Debian):
    """A bare one of that suite, and the package for it at /opt/packages."""

    program = "/usr/bin/janus-bridge"

    def __init__(self, folder: Path, suite: str) -> None:
        package = built(suite)
        assert package is not None
        packages = folder / "packages"
        packages.mkdir()
        self.package, self.package_before = (f"/opt/packages/{name}" for name in ("janus-bridge.deb", "before.deb"))
        (packages / "janus-bridge.deb").hardlink_to(package)
        before(package, folder).rename(packages / "before.deb")
        super().__init__(folder, TREES / suite, {packages: "/opt/packages"})

    def install(self) -> None:
        self.apt("install", self.package)
        self.succeed("systemctl", "stop", "janus-bridge")

    def upgrade(self) -> None:
        self.apt("install", "--allow-downgrades", self.package_before)
        self.apt("install", self.package)

    def apt(self, *words: str) -> str:
        """Without a network: what it needs was downloaded. A file that was edited stays, without a question."""
        options = ("-y", "-o", "Dpkg::Options::=--force-confold")
        return self.succeed("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *options, *words, timeout=APT_SECONDS)


def _why_no_package(suite: str) -> str | None:
    return missing(TREES / suite) or (None if built(suite) else f"no package for Debian {RELEASES[suite]} in dist/")


def _way(name: str, mark: pytest.MarkDecorator, why_not: str | None, hint: str) -> ParameterSet:
    skip = pytest.mark.skipif(why_not is not None, reason=f"{why_not}: `make {hint}` makes it, as root")
    return pytest.param(name, id=name, marks=[mark, skip, pytest.mark.xdist_group(name)])


_NO_CHECKOUT = missing(TREES / "checkout", CheckoutDebian.program.lstrip("/"))
CHECKOUTS = [_way("checkout", pytest.mark.systemd, _NO_CHECKOUT, "test-systemd")]
PACKAGES = [_way(suite, pytest.mark.package, _why_no_package(suite), "deb test-system") for suite in RELEASES]


def debian_of(name: str, folder: Path) -> Debian:
    """By the name of a way."""
    return CheckoutDebian(folder) if name == "checkout" else PackageDebian(folder, name)
