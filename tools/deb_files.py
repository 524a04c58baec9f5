"""What of ``debian/`` is made: ``python -m tools.deb_files changelog SUITE REVISION`` and ``copyright FOLDER``.

Owns how the version, CHANGELOG.md and the licences of the bundled libraries are said in Debian's formats. It prints;
all else of ``debian/`` is tools/debian. Authority: deb-changelog(5), deb-version(7), Debian's "Machine-readable
debian/copyright file" 1.0, PEP 639 (where a wheel has its licences).
"""

import os
import re
import sys
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path

from bridge import __version__

ROOT = Path(__file__).parents[1]
CONTROL = ROOT / "tools" / "debian" / "control"
OWN_NAME = "opensips-janus-bridge"
HEAD = f"""\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: {OWN_NAME}
Comment: Made from what each library in /usr/lib/janus-bridge says of itself; paths are those in the package.
"""
OWN = """\
Files: *
Copyright: the authors of janus-bridge
License: none-stated
 Its repository states no licence yet: ask its authors before you pass it on.
"""
_LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")
_HOLDER = re.compile(r"^\W*(copyright\b.*\b(?:19|20)\d\d\b.*)", re.IGNORECASE | re.MULTILINE)
_LICENCE_FILE = re.compile(r"\.dist-info/(licenses/.*|(licen[cs]e|copying|notice|authors)[^/]*)", re.IGNORECASE)
# How a licence begins that every Debian has in /usr/share/common-licenses, and its name there.
_COMMON = {"Apache License": "Apache-2.0", "Mozilla Public License Version 2.0": "MPL-2.0"}


def version(upstream: str, revision: str) -> str:
    """Of the package: what comes before a release sorts before it, ``1.0rc1`` as ``1.0~rc1-1``."""
    before = re.sub(r"[.-]?(a|b|rc|dev)(?=\d)", r"~\1", upstream)
    return f"{before}-{revision}"


def changelog(text: str, upstream: str, suite: str, revision: str, epoch: int) -> str:
    """The one entry of the package: CHANGELOG.md's section of this release, or of what is not released yet."""
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    named = {section.split(maxsplit=1)[0]: section for section in sections}
    section = named.get(upstream) or named["Unreleased"]
    items = re.findall(r"^- (.+\n(?:  .+\n)*)", section, re.MULTILINE)
    lines = [textwrap.fill(_plain(item), 78, initial_indent="  * ", subsequent_indent="    ") for item in items]
    maintainer = CONTROL.read_text(encoding="utf-8").partition("Maintainer: ")[2].partition("\n")[0]
    head = f"janus-bridge ({version(upstream, revision)}) {suite}; urgency=medium"
    foot = f" -- {maintainer}  {format_datetime(datetime.fromtimestamp(epoch, UTC))}"
    return "\n\n".join([head, "\n".join(lines), foot]) + "\n"


def _plain(markdown: str) -> str:
    return " ".join(_LINK.sub(r"\1", markdown).split())


def licences(folder: Path) -> str:
    """DEP-5, of the bridge and of each library that is installed there. Raises SystemExit where one brings none."""
    found = sorted(distributions(path=[str(folder)]), key=lambda one: one.name.lower())
    return "\n".join([HEAD, OWN, *(_stanza(one) for one in found if one.name != OWN_NAME)])


def _stanza(library: Distribution) -> str:
    files = library.files or []
    texts = [file.read_text(encoding="utf-8").strip() for file in files if _LICENCE_FILE.search(str(file))]
    if not texts:
        raise SystemExit(f"{library.name} {library.version} brings no licence: it cannot be packaged")
    tops = dict.fromkeys(file.parts[0] + ("/*" if len(file.parts) > 1 else "") for file in files)
    holders = dict.fromkeys(holder.strip() for text in texts for holder in _HOLDER.findall(text))
    return "".join(
        [
            _field("Files", [f"usr/lib/janus-bridge/{top}" for top in tops if top[0] != "."]),
            _field("Copyright", list(holders) or [f"the authors of {library.name}"]),
            _field("License", [_licence(library), *"\n\n".join(map(_common, texts)).splitlines()]),
            _field("Comment", [f"{library.name} {library.version}"]),
        ]
    )


def _licence(library: Distribution) -> str:
    """Its name, as the library gives it."""
    said = library.metadata
    classes = (line.rpartition(" :: ")[2] for line in said.get_all("Classifier") or () if line.startswith("License"))
    name: str = said["License-Expression"] or said["License"] or " or ".join(classes)
    return name.replace(" OR ", " or ").replace(" AND ", " and ")


def _common(text: str) -> str:
    return next((f"/usr/share/common-licenses/{name}" for head, name in _COMMON.items() if text.startswith(head)), text)


def _field(name: str, lines: Sequence[str]) -> str:
    rest = "".join(f" {line.rstrip() or '.'}\n" for line in lines[1:])
    return f"{name}: {lines[0]}\n{rest}"


def main(argv: Sequence[str]) -> None:
    """Print one of them."""
    if argv[0] == "changelog":
        text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        print(changelog(text, __version__, argv[1], argv[2], int(os.environ["SOURCE_DATE_EPOCH"])), end="")
    else:
        print(licences(Path(argv[1])), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
