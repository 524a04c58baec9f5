"""What a reload may change (contract 3.4).

Owns the comparison of two configurations. Must not know how anything is applied.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

from bridge.config.row import Setting
from bridge.config.settings import NAMED, SECTIONS, TABLE, Config


class ChangedSettings(NamedTuple):
    """Changed keys as ``section.key``: those that SIGHUP applies, and those that need a restart."""

    reloadable: tuple[str, ...]
    restart: tuple[str, ...]


def difference(old: Config, new: Config) -> ChangedSettings:
    """Which keys changed. A gateway's or domain's whole section that came or went is one reloadable key."""
    new = _same_default_table(old, new)
    keys: dict[bool, list[str]] = {True: [], False: []}
    for name in SECTIONS:
        for setting in _changed(TABLE[name].values(), getattr(old, name), getattr(new, name)):
            keys[setting.reloadable].append(f"{name}.{setting.key}")
    for (section, key), (row, _) in NAMED.items():
        before, after = getattr(getattr(old, section), key), getattr(getattr(new, section), key)
        keys[True] += [f"{section}.{key}.{name}" for name in (*before, *after) if (name in before) != (name in after)]
        for name in before:
            if name in after:
                for setting in _changed(TABLE[row].values(), before[name], after[name]):
                    keys[setting.reloadable].append(f"{section}.{key}.{name}.{setting.key}")
    return ChangedSettings(tuple(keys[True]), tuple(keys[False]))


def reloaded(old: Config, new: Config) -> Config:
    """The configuration to go on with: ``new`` in what is reloadable, ``old`` in the rest."""
    new = _same_default_table(old, new)
    sections = {name: _merged(TABLE[name].values(), getattr(old, name), getattr(new, name)) for name in SECTIONS}
    for (section, key), (row, _) in NAMED.items():
        before = getattr(getattr(old, section), key)
        tables = {
            name: _merged(TABLE[row].values(), before[name], each) if name in before else each
            for name, each in getattr(getattr(new, section), key).items()
        }
        sections[section] = dataclasses.replace(sections[section], **{key: tables})
    return dataclasses.replace(new, **sections)


def _changed(rows: Iterable[Setting], old: Any, new: Any) -> list[Setting]:
    return [setting for setting in rows if getattr(old, setting.key) != getattr(new, setting.key)]


def _merged(rows: Iterable[Setting], old: Any, new: Any) -> Any:
    kept = {setting.key: getattr(old, setting.key) for setting in rows if not setting.reloadable}
    return dataclasses.replace(new, **kept)


def _same_default_table(old: Config, new: Config) -> Config:
    """The default table lies in the state directory, which needs a restart to change."""
    if not (old.uses_default_table and new.uses_default_table):
        return new
    return dataclasses.replace(new, janus=dataclasses.replace(new.janus, janus_db_url=old.janus.janus_db_url))
