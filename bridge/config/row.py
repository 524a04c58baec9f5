"""One row of the table of settings: what there is to know of a key.

Owns its shape alone; the rows themselves stand in ``settings``.
"""

from dataclasses import dataclass, field
from typing import Any

from bridge.config.kinds import ValueKind


@dataclass(frozen=True, slots=True)
class Setting:
    """A row. ``low`` and ``high`` are the range, both included; ``computed`` says in words what an unset key gets."""

    section: str
    key: str
    kind: ValueKind
    help: str
    default: Any
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    reloadable: bool
    computed: str


def row(
    kind: ValueKind,
    help: str,
    default: Any = None,
    unit: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    reloadable: bool = False,
    computed: str = "",
) -> Any:
    setting = Setting("", "", kind, help, default, unit, low, high, choices, reloadable, computed)
    if computed:
        return field(metadata={"setting": setting})
    return field(default=None if default is None else kind.read(default), metadata={"setting": setting})
