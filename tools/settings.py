"""``python -m tools.settings``: what follows from a row of the table of settings (bridge/config/settings.py).

Owns schemas/config.schema.json, which is made whole from the table, and gives the sample file a paragraph for each key
that it lacks: below the last one of its section, to be moved and put into better words. docs/names.md is written, too.
tests/config/test_settings.py fails where a file and the table differ.
"""

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.config.row import Setting
from bridge.config.settings import DOMAIN_SECTION, GATEWAY_SECTION, NAMED, SECTIONS, TABLE
from tools import names

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "schemas" / "config.schema.json"
SAMPLE = ROOT / "opensips-examples" / "janus-bridge.toml"
WIDTH = 120
DEFINITIONS = {  # of tables of tables: what each is called in the schema, and what they are together
    GATEWAY_SECTION: ("gateway", "one table a gateway, by janus_id"),
    DOMAIN_SECTION: ("tls_domain", "one table a domain, by the name that rabbitmq: sockets give it"),
}


def schema() -> str:
    """The whole schema of the configuration file."""
    sections = {name: _section(name, kind) for name, kind in SECTIONS.items()}
    for (section, key), (row, _) in NAMED.items():
        name, words = DEFINITIONS[row]
        sections[section]["properties"][key] = {
            "description": words,
            "type": "object",
            "additionalProperties": {"$ref": f"#/$defs/{name}"},
        }
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA.name,
        "title": "janus-bridge configuration",
        "description": "What janus-bridge.toml may hold. Every key may be left out.",
        "type": "object",
        "additionalProperties": False,
        "properties": sections,
        "$defs": {DEFINITIONS[row][0]: _section(row, settings) for row, settings in NAMED.values()},
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def sample(text: str) -> str:
    """The sample, ``text``, with all keys."""
    for section, rows in TABLE.items():
        for setting in rows.values():
            if not re.search(rf"^#{setting.key} = ", _part(text, section), re.MULTILINE):
                part = _part(text, section)
                text = text.replace(part, f"{part.rstrip()}\n\n{_paragraph(setting)}\n", 1)
    return text.rstrip() + "\n"


def _section(name: str, settings: type[Any]) -> dict[str, Any]:
    words = " ".join((settings.__doc__ or "").replace("``", "").split())
    return {
        "description": words,
        "type": "object",
        "additionalProperties": False,
        "properties": {setting.key: _key(setting) for setting in TABLE[name].values()},
    }


def _key(setting: Setting) -> Mapping[str, Any]:
    described = {
        "description": setting.help
        + (f" ({setting.unit})" if setting.unit else "")
        + (f"; default {setting.computed}" if setting.computed else ""),
        "type": setting.kind.json_type,
        "default": setting.default,
        "minimum": setting.low,
        "maximum": setting.high,
        "enum": list(setting.choices) or None,
        **setting.kind.schema,
    }
    return {name: value for name, value in described.items() if value is not None}


def _part(text: str, section: str) -> str:
    """From the head of a section to that of the next, which begins with the prose above it."""
    heads = list(re.finditer(r"^(?:# .*\n)*#?\[([\w.]+)\]\n", text, re.MULTILINE))
    found = next(index for index, head in enumerate(heads) if head[1] == section)
    end = heads[found + 1].start() if found + 1 < len(heads) else len(text)
    return text[heads[found].end() : end]


def _paragraph(setting: Setting) -> str:
    prose = setting.help[0].upper() + setting.help[1:] + (f" ({setting.unit})" if setting.unit else "") + "."
    prose += f" {setting.low} to {setting.high}." if setting.low is not None else ""
    prose += f" Default: {setting.computed}." if setting.computed else " Unset." if setting.default is None else ""
    prose += " [reload]" if setting.reloadable else ""
    value = "..." if setting.default is None else setting.default
    lines = textwrap.wrap(prose, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    return "\n".join([*lines, f"#{setting.key} = {_toml(value)}"]) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(item)}" for name, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)  # the other values of the table look the same in both


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
    SAMPLE.write_text(sample(SAMPLE.read_text(encoding="utf-8")), encoding="utf-8")
    names.FILE.write_text(names.render(), encoding="utf-8")
    for file in (SCHEMA, SAMPLE, names.FILE):
        print(f"{file.relative_to(ROOT)} has every setting")
