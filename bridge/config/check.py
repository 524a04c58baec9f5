"""One source of settings against schemas/config.schema.json: the first error, in words.

Owns the texts of these errors: section, key, value, and what was expected. Must not know where the source is.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from bridge import resources
from bridge.config.kinds import DB_URL, SECRETS, SUBSCRIBERS
from bridge.config.row import Setting
from bridge.config.settings import NAMED, SECTIONS, TABLE
from bridge.protocol.db_url import redact
from bridge.protocol.redaction import HIDDEN
from bridge.protocol.reply_socket import shown as shown_socket

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

_SHOWN = 80  # characters of a value
_TYPES = {"string": "text in quotes", "array": "a list", "object": "a table", "boolean": "true or false"}


# Types of JSON; True is no number.
_JSON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_ASKS = {"type", "enum", "pattern", "minimum", "maximum", "required", "properties", "additionalProperties", "items"}
_TELLS = {"title", "description", "default", "$id", "$schema", "$defs"}


@cache
def _validator() -> "Draft202012Validator":
    from jsonschema import Draft202012Validator  # a sixth of a start: for whoever has made a mistake

    return Draft202012Validator(_schema())


@cache
def _schema() -> Any:
    return resources.schema("config")


def holds(value: Any, schema: Any) -> bool:
    """Whether a value surely is what this part of the schema asks for; False also where that asks what is unknown."""
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema:
        schema = _schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    if not schema.keys() <= _ASKS | _TELLS or type(value) not in _JSON.get(schema.get("type", ""), ()):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, str):
        return re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, list):
        return all(holds(item, schema.get("items", True)) for item in value)
    if isinstance(value, dict):
        known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
        inside = all(holds(item, known.get(key, other)) for key, item in value.items())
        return inside and value.keys() >= set(schema.get("required", ()))
    return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))


def first_error(values: Mapping[str, Any]) -> str | None:
    """What is wrong with these sections, as one line; None if nothing is."""
    if holds(values, _schema()):
        return None
    try:
        errors = sorted(_validator().iter_errors(values), key=lambda error: [str(step) for step in error.absolute_path])
        return _words(errors[0]) if errors else None
    except ValueError:  # of Python's printing: hexadecimal ones are read at any length
        return "a number has thousands of digits"


def find(path: Sequence[str | int]) -> tuple[str, Setting | None]:
    """The section as written and the row of ``("mi", "http")`` or ``("janus", "gateways", ID, "token")``."""
    steps = [str(step) for step in path]
    named = NAMED.get((steps[0], steps[1])) if len(steps) > 1 else None
    if named is not None:
        key = steps[3] if len(steps) > 3 else ""
        return ".".join(map(_key, steps[:3])), TABLE[named[0]].get(key)
    return _key(steps[0]), TABLE.get(steps[0], {}).get(steps[1] if len(steps) > 1 else "")


def shown(setting: Setting, value: Any) -> str:
    """A value for an error or a log: in one line, not endless, no secret."""
    if setting.kind in SECRETS:
        return HIDDEN
    if setting.kind is DB_URL and isinstance(value, str):
        value = redact(value)
    if setting.kind is SUBSCRIBERS:
        value = _without_passwords(value)
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _without_passwords(value: Any) -> Any:
    """A value that may hold sockets, however wrong it is."""
    if isinstance(value, str):
        return shown_socket(value)
    if isinstance(value, list):
        return [_without_passwords(one) for one in value]
    return {name: _without_passwords(one) for name, one in value.items()} if isinstance(value, dict) else value


def complaint(section: str, setting: Setting, value: Any, reason: str) -> str:
    """``[section] key = value: reason``."""
    return f"[{section}] {setting.key} = {shown(setting, value)}: {reason}"


def _key(text: str) -> str:
    """A key as TOML wants it: in quotes unless it is a plain word."""
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else json.dumps(text)


def _words(error: "ValidationError") -> str:
    path = list(error.absolute_path)
    section, setting = find(path) if path else ("", None)
    if setting is None:
        if error.validator == "additionalProperties":
            schema: Any = error.schema
            known, given = schema["properties"], cast("dict[str, Any]", error.instance)
            return _unknown(section, next(key for key in given if key not in known), list(known))
        return f"[{section or path[0]}] must be a table of settings"
    depth = 4 if (path[0], path[1]) in NAMED else 2
    value, inner = error.instance, path[depth:]
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in inner)
    return f"[{section}] {setting.key}{place} = {shown(setting, value)}: {_expected(error, setting, bool(inner))}"


def _expected(error: "ValidationError", setting: Setting, inside: bool) -> str:
    unit = f" {setting.unit}" if setting.unit else ""
    match error.validator:
        case "enum":
            return f"must be one of {', '.join(map(json.dumps, cast('list[str]', error.validator_value)))}"
        case "minimum" | "maximum":
            return f"must be from {setting.low:.15g} to {setting.high:.15g}{unit}"
        case "required" | "additionalProperties":
            return f"{error.message}; {setting.key} is {setting.kind.words}"
        case "type" if inside:
            return f"must be {_TYPES[cast('str', error.validator_value)]}; {setting.key} is {setting.kind.words}"
        case _:
            return f"must be {setting.kind.words}{'' if inside or not unit else f' ({setting.unit})'}"


def _unknown(section: str, key: str, known: Iterable[str]) -> str:
    """The value stays unsaid: it may be a secret under a misspelled key."""
    if not section:
        home = [name for name in SECTIONS if key in TABLE[name]]
        close = difflib.get_close_matches(key, known, 1)
        hint = f", {key} belongs in [{home[0]}]" if home else f", did you mean [{close[0]}]?" if close else ""
        return f"unknown section [{_key(key)}]{hint}"
    close = difflib.get_close_matches(key, known, 1)
    homes = " or ".join(f"[{name}]" for name, rows in TABLE.items() if key in rows)
    hint = f", did you mean {close[0]}?" if close else f", it belongs in {homes}" if homes else ""
    return f"[{section}] {_key(key)}: unknown key{hint}"
