"""The Debian packages that ``make deb`` left in dist/, and one that is older, made of the same files.

Authority: deb-version(7), dpkg-deb(1).
"""

import re
import subprocess
from pathlib import Path

from tests.support.container import CHECKOUT

RELEASES = {"bookworm": "12", "trixie": "13"}
CONFFILE = "etc/janus-bridge/janus-bridge.toml"
OLDER = "# of the package before\n"


def built(suite: str) -> Path | None:
    """The package for that Debian, on a machine of this architecture; None if there is none."""
    found = (CHECKOUT / "dist").glob(f"janus-bridge_*deb{RELEASES[suite]}*.deb")
    return max(found, key=lambda package: package.stat().st_mtime, default=None)


def before(package: Path, folder: Path) -> Path:
    """A package with a lower version, in that folder. Its configuration file has a line more."""
    content = folder / "content"
    subprocess.run(["dpkg-deb", "--raw-extract", package, content], check=True)
    control = content / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*", r"\g<0>~before", control.read_text(), flags=re.M))
    with (content / CONFFILE).open("a") as conffile:
        conffile.write(OLDER)
    older = folder / package.name.replace("_", "-before_", 1)
    subprocess.run(
        ["dpkg-deb", "-Znone", "--root-owner-group", "--build", content, older], check=True, stdout=subprocess.DEVNULL
    )
    return older
