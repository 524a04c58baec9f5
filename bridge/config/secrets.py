"""The secrets of a configuration, for whoever has to keep them out of what is shown.

Owns the list: every setting of a kind that is secret, whatever it is called. Must not know where they are looked for.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from bridge.config.kinds import DB_URL, GRANTS, HEADERS, SECRETS, SUBSCRIBERS
from bridge.config.row import Setting
from bridge.config.settings import NAMED, SECTIONS, TABLE, Config
from bridge.protocol.db_url import DbUrl

_PUBLIC = frozenset({"host", "user-agent"})  # headers whose values stand in many a text that is to be read


def secrets_of(config: Config) -> Iterator[str]:
    """Their texts, in no order."""
    for name in SECTIONS:
        yield from _of_section(TABLE[name], getattr(config, name))
    for (section, key), (row, _) in NAMED.items():
        for each in getattr(getattr(config, section), key).values():
            yield from _of_section(TABLE[row], each)


def _of_section(rows: Mapping[str, Setting], section: Any) -> Iterator[str]:
    for key, setting in rows.items():
        value = getattr(section, key)
        if value is not None:
            yield from _of_value(setting, value)


def _of_value(setting: Setting, value: Any) -> Iterator[str]:
    if setting.kind is DB_URL:
        yield from of_database(value)
    elif setting.kind is GRANTS:
        yield from (grant.token for grant in value if grant.token is not None)
    elif setting.kind is SUBSCRIBERS:
        yield from (one.password for one in value if one.password is not None)
    elif setting.kind is HEADERS:
        for name, header in value:
            if name.lower() in _PUBLIC:
                continue
            text = str.__str__(header)
            yield from (text, text.rpartition(" ")[2])  # "Bearer TOKEN", and the token
    elif setting.kind in SECRETS:
        yield value


def of_database(url: DbUrl) -> Iterator[str]:
    """What of its URL may not be shown, whichever kind it is."""
    if url.password:
        yield url.password
