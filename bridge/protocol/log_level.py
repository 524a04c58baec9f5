"""OpenSIPS's log levels and those of Python's logging.

Owns the two scales and nothing else. Authority: OpenSIPS dprint.h; ``log_level`` of OpenSIPS takes any number, so does
this.
"""

from typing import Final

ALERT, CRITICAL, ERROR, WARNING, NOTICE, INFO, DEBUG = -3, -2, -1, 1, 2, 3, 4

# OpenSIPS -> Python. 0 has no name there; as a threshold it lets pass what -1 does.
_PYTHON: Final = {ALERT: 60, CRITICAL: 50, ERROR: 40, 0: 40, WARNING: 30, NOTICE: 25, INFO: 20, DEBUG: 10}
# Names of the two levels that Python's logging lacks, for logging.addLevelName.
EXTRA_NAMES: Final = {60: "ALERT", 25: "NOTICE"}


def to_python(level: int) -> int:
    """The threshold for ``Logger.setLevel``. Beyond the scale's ends its ends hold."""
    return _PYTHON[max(ALERT, min(DEBUG, level))]


def from_python(threshold: int) -> int:
    """The OpenSIPS level with that threshold, or else the next one that lets less pass."""
    for level in (DEBUG, INFO, NOTICE, WARNING, ERROR, CRITICAL):
        if threshold <= _PYTHON[level]:
            return level
    return ALERT
