"""Where settings come from: options, environment, file, defaults (contract 3.1).

Owns the sources, their precedence, and that every error is one line that begins with its source. Must not know single
settings but for the rules that bind two of them. Never creates anything.
"""

import dataclasses
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from bridge.config import toml, variables
from bridge.config.check import complaint, find, first_error
from bridge.config.kinds import DB_URL, GRANTS, SECRETS, SUBSCRIBERS
from bridge.config.rules import conflicts, doubts
from bridge.config.secrets import of_database
from bridge.config.settings import NAMED, SECTIONS, SETTINGS, Config, default_table
from bridge.errors import ConfigError
from bridge.files import read_file

DEFAULT_PATH = Path("/etc/janus-bridge/janus-bridge.toml")
_FILE_MAX = 1 << 20  # bytes; a configuration with a thousand gateways has 200 KB

# A key, whose parts may stand in quotes; an equals sign; a value.
_ASSIGNMENT = re.compile(r"((?:\"(?:[^\"\\]|\\.)*+\"|'[^']*+'|[^='\"])*+|[^=]*)(?:(=)(.*))?", re.DOTALL)

_Path: TypeAlias = tuple[str, ...]


class _Source(NamedTuple):
    name: str
    values: dict[str, Any]


def load(
    path: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """The settings as they stand. Raises ConfigError with one line that names source, section, key and value.

    ``path``: a file that has to be there; None takes DEFAULT_PATH if it is. ``overrides``: ``section.key=TOML-VALUE``.
    """
    file = _read_file(path)
    warnings = [*_strays(environ)]
    sources = [*([file] if file else []), *_from_environment(environ), *map(_from_option, overrides)]
    values: dict[str, Any] = {}
    origins: dict[_Path, str] = {}
    for source in sources:
        error = first_error(source.values)
        if error is not None:
            raise ConfigError(f"{source.name}: {error}")
        _lay_over(values, source, origins)
    # What is computed is written as in TOML, below everything that was configured.
    for section in SECTIONS:
        values.setdefault(section, {})
    values["state"].setdefault("dir", _state_dir(environ))
    state_dir = _section(("state",), values["state"], origins).dir
    values["janus"].setdefault("janus_db_url", str(default_table(state_dir)))
    config = _build(values, origins, None if file is None else Path(file.name))
    warnings += doubts(config)
    if file is not None:
        warnings += _exposed(file)
    return dataclasses.replace(config, warnings=tuple(warnings))


def _read_file(path: str | os.PathLike[str] | None) -> _Source | None:
    name = os.fspath(DEFAULT_PATH if path is None else path)
    try:
        return _Source(name, toml.parse(read_file(name, _FILE_MAX)))
    except FileNotFoundError:
        if path is None:
            return None
        raise ConfigError(f"{name}: no such file") from None
    except PermissionError:
        raise ConfigError(f"{name}: Permission denied; run this as root, or as the owner of the file") from None
    except OSError as exc:
        raise ConfigError(f"{name}: {exc.strerror}") from None
    except ValueError as exc:
        raise ConfigError(f"{name}: {exc}") from None


def _from_environment(environ: Mapping[str, str]) -> Iterator[_Source]:
    for name in sorted(environ):
        steps = variables.path_of(name)
        if steps is not None:
            yield _single(f"environment {name}", steps, environ[name])


def _strays(environ: Mapping[str, str]) -> Iterator[str]:
    """A warning of variables that set nothing. Raises ConfigError for one that was meant to: a token, perhaps."""
    strays = variables.strays(environ)
    for name in strays:
        meant = variables.meant(name)
        if meant is not None:
            raise ConfigError(f"environment {name}: unknown setting, did you mean {meant}?")
    if strays:
        yield f"environment: {', '.join(strays)}: ignored, as settings have the form {variables.FORM}"


def _from_option(text: str) -> _Source:
    key, equals, value = _ASSIGNMENT.fullmatch(text).groups("")  # type: ignore[union-attr]  # it matches any text
    name = f"option -o {key.strip() if key.isprintable() else repr(key)}"
    try:
        steps = list(_steps(tomllib.loads(f"{key} = 0"))) if "\n" not in key else []
    except ValueError:
        steps = []
    if not equals or not steps:
        if equals:
            raise ConfigError(f"{name}: is not of the form section.key=VALUE")
        # Of which nothing is said that is not known: it may be a value.
        keys = (f"{row.section}.{row.key}" for row in SETTINGS)
        known = next((f" {key}" for key in keys if re.match(rf"\s*{re.escape(key)}\b", text)), "")
        raise ConfigError(f"option -o{known}: is not of the form section.key=VALUE")
    return _single(name, steps, value)


def _steps(nested: Any) -> Iterator[str]:
    while isinstance(nested, dict):
        [(step, nested)] = nested.items()
        yield step


def _single(name: str, steps: Sequence[str], text: str) -> _Source:
    _, setting = find(steps)
    bare = setting is not None and setting.kind.bare and not text.lstrip().startswith(('"', "'"))
    try:
        value: Any = text if bare else toml.value(text)
    except ValueError:
        value = text  # not TOML: the schema will say what is wanted instead
    *outer, last = steps
    values = {last: value}
    for step in reversed(outer):
        values = {step: values}
    return _Source(name, values)


def _lay_over(values: dict[str, Any], source: _Source, origins: dict[_Path, str], path: _Path = ()) -> None:
    for key, value in source.values.items():
        if isinstance(value, dict):
            _lay_over(values.setdefault(key, {}), _Source(source.name, value), origins, (*path, key))
        else:
            values[key] = value
            origins[*path, key] = source.name


def _build(values: dict[str, Any], origins: dict[_Path, str], source: Path | None) -> Config:
    named: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for section, key in NAMED:
        tables = values[section].get(key, {})
        named[section][key] = MappingProxyType(
            {name: _section((section, key, name), each, origins) for name, each in tables.items()}
        )
    sections = {
        name: _section((name,), {key: values[name][key] for key in values[name] if key not in more}, origins, **more)
        for name, more in named.items()
    }
    config = Config(**sections, source=source)
    for path, reason in conflicts(config):
        raise ConfigError(_blame(path, _at(values, path), reason, origins))
    return config


def _section(path: _Path, values: Mapping[str, Any], origins: Mapping[_Path, str], **more: Any) -> Any:
    """The dataclass of a section, of the values that were given for it."""
    made = {}
    for key, value in values.items():
        _, setting = find((*path, key))
        assert setting is not None, "the schema lets no unknown key pass"
        try:
            made[key] = setting.kind.read(value)
        except ValueError as exc:
            raise ConfigError(_blame((*path, key), value, str(exc), origins)) from None
    settings = NAMED[path[0], path[1]][1] if len(path) > 1 else SECTIONS[path[0]]
    return settings(**made, **more)


def _blame(path: _Path, value: Any, reason: str, origins: Mapping[_Path, str]) -> str:
    section, setting = find(path)
    assert setting is not None
    origin = next((name for leaf, name in origins.items() if leaf[: len(path)] == path), "default")
    return f"{origin}: {complaint(section, setting, value, reason)}"


def _at(values: Any, path: _Path) -> Any:
    for step in path:
        values = values[step]
    return values


def _state_dir(environ: Mapping[str, str]) -> str:
    """systemd may name several folders, of which ours is the first."""
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return given
    home = environ.get("HOME") or os.path.expanduser("~")
    return os.path.join(home, ".local", "state", "janus-bridge")


def _exposed(file: _Source) -> Iterator[str]:
    """A warning where others may read a file with secrets (contract 8.4)."""
    secrets = [".".join(path) for path in _leaves(file.values) if _is_secret(path, _at(file.values, path))]
    if secrets and os.stat(file.name).st_mode & stat.S_IROTH:
        yield f"{file.name}: every user of this machine can read {', '.join(secrets)} in it (chmod o-r)"


def _leaves(values: Mapping[str, Any], path: _Path = ()) -> Iterator[_Path]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key)


def _is_secret(path: _Path, value: Any) -> bool:
    _, setting = find(path)
    assert setting is not None
    if setting.kind is DB_URL:
        return any(of_database(setting.kind.read(value)))
    if setting.kind is SUBSCRIBERS:
        return any(one.password is not None for one in setting.kind.read(value))
    return any("token" in grant for grant in value) if setting.kind is GRANTS else setting.kind in SECRETS
