"""The files that travel with the program: ``schemas/`` and ``sql/``.

Installed from a wheel they lie in ``bridge/_data`` (pyproject.toml, force-include); in a checkout beside the package.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

_SCHEMA = ".schema.json"
_PACKAGE = Path(__file__).resolve().parent


def path(name: str) -> Path:
    """Where a shipped file lies, e.g. ``sql/janus-create.sqlite.sql``; FileNotFoundError if it was not shipped."""
    for root in (_PACKAGE / "_data", _PACKAGE.parent):
        candidate = root / name
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"{name} was not shipped with this installation of janus-bridge")


def schemas() -> list[str]:
    """The short names of all JSON Schemas."""
    folder = path("schemas/config.schema.json").parent
    return sorted(file.name.removesuffix(_SCHEMA) for file in folder.glob(f"*{_SCHEMA}"))


@cache
def schema(name: str) -> dict[str, Any]:
    """A JSON Schema by its short name, e.g. ``config`` for ``schemas/config.schema.json``."""
    loaded: dict[str, Any] = json.loads(path(f"schemas/{name}{_SCHEMA}").read_text(encoding="utf-8"))
    return loaded
