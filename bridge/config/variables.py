"""Which setting a variable of the environment names (contract 3.1).

Owns the form of the names, JANUS_BRIDGE_<SECTION>__<KEY>, and what may be meant by one that has our prefix and not this
form. Must not know values, nor whether a section or key exists: the schema says that of every source alike.
"""

import difflib
import re
from collections.abc import Iterable

from bridge.config.settings import NAMED, SECTIONS, TABLE

PREFIX = "JANUS_BRIDGE_"
FORM = f"{PREFIX}<SECTION>__<KEY>"
_OF_A_GATEWAY = f"{PREFIX}JANUS__GATEWAYS__<ID>__<KEY>"
_ALIKE = 0.85  # difflib's ratio: one underscore or letter in seven, and no more


def path_of(name: str) -> list[str] | None:
    """``JANUS_BRIDGE_LOG__LEVEL`` to ``["log", "level"]``; None for a name that is not of this form."""
    words = name.removeprefix(PREFIX).split("__")
    if not name.startswith(PREFIX) or len(words) < 2:
        return None
    section, key = words[0].lower(), words[1].lower()
    if (section, key) in NAMED and len(words) > 3:
        return [section, key, "__".join(words[2:-1]), words[-1].lower()]  # the name has its own case
    return [section, "__".join(words[1:]).lower()]


def strays(environ: Iterable[str]) -> list[str]:
    """The names that have our prefix and are not of the form."""
    return sorted(name for name in environ if name.startswith(PREFIX) and path_of(name) is None)


def meant(stray: str) -> str | None:
    """What somebody who set it will have meant; None if it resembles no setting, and so may be anybody's: Kubernetes
    itself sets JANUS_BRIDGE_PORT and the like where a service is called janus-bridge.
    """
    rest = stray.removeprefix(PREFIX).upper()
    if re.match(r"(JANUS_)?GATEWAYS_(?!SERVICE_|PORT(_|$))", rest):
        return _OF_A_GATEWAY
    known = {f"{section}__{key}".upper(): key.upper() for section in SECTIONS for key in TABLE[section]}
    found = [name for name, key in known.items() if key == rest] or difflib.get_close_matches(rest, known, 1, _ALIKE)
    return " or ".join(PREFIX + name for name in found) or None
