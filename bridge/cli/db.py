"""``janus-bridge db init | list | add ID URL | set ID URL | remove ID``: look after the ``janus`` table.

Owns the arguments, what is printed and the exit code: 0 done, 1 no such row or already there, 2 usage, configuration or
a database that refuses, 3 a database that does not answer; with --now also 1 where the gateway is not ready, 3 where no
bridge runs. Every answer names the table: there may be several.
"""

import argparse
import dataclasses
import json
import os
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.cli import text
from bridge.cli.common import add_config_arguments, chosen_config
from bridge.cli.output import complain, put, waiting
from bridge.cli.service import UNIT, as_owner
from bridge.config import Config
from bridge.errors import ConfigError, TableRefused, TableUnavailable
from bridge.protocol.db_url import SqliteUrl
from bridge.protocol.gateway import MAX_JANUS_ID, TableRow
from bridge.protocol.janus_url import JanusUrl, shown
from bridge.protocol.printable import printable

if TYPE_CHECKING:
    from bridge.transport.db import JanusTable

_HINT = "A running bridge learns of it by `janus-bridge mi janus_reload`; at once with --now."


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """``code`` is the exit code, ``lines`` for a person, ``value`` for ``--json``."""

    code: int
    lines: Sequence[str]
    value: Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its verbs; ``run`` and ``act`` stand in the parsed arguments."""
    parser.description = "Manages OpenSIPS's `janus` table, in the database that janus_db_url names."
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _verb(
        verbs,
        "init",
        _init,
        "create what is missing: the table and its row in OpenSIPS's version table; with [cluster], its two as well",
    )
    _verb(verbs, "list", _list, "show the rows")
    for name, act, words in (("add", _add, "add a Janus server"), ("set", _set, "change the URL of a Janus server")):
        verb = _verb(verbs, name, act, words)
        verb.add_argument("janus_id", metavar="ID", help="its name in scripts (janus_id)")
        verb.add_argument("janus_url", metavar="URL", help="janusws://HOST[:PORT][/PATH], or januswss:// for TLS")
        verb.add_argument(
            "--now", action="store_true", help="tell the running bridge, and wait until the gateway is ready"
        )
    verb = _verb(verbs, "remove", _remove, "remove a Janus server")
    verb.add_argument("janus_id", metavar="ID", help="its name in scripts (janus_id)")
    verb.add_argument("--now", action="store_true", help="tell the running bridge")


def run(args: argparse.Namespace) -> int:
    """Act on the table and print the outcome."""
    import trio  # with the databases most of a start, for this alone

    from bridge.daemon.database import database_of

    try:
        _check(args)
        config, found = chosen_config(args)
        if found is not None and config.uses_default_table:
            found.admit(config.state.dir)
        url = config.janus.janus_db_url
        if found is not None and isinstance(url, SqliteUrl) and os.geteuid() == 0:
            found.prepare(Path(url.path).parent)
        table = database_of(config)
        with as_owner(config), waiting(lambda: table.name):
            outcome = trio.run(_visit, args.act, table, args, config)
    except ConfigError as exc:
        return _fail(2, str(exc))
    except TableUnavailable as exc:
        return _fail(2 if isinstance(exc, TableRefused) else 3, str(exc))
    if args.json:
        put(json.dumps(outcome.value))
    elif outcome.code:
        return _fail(outcome.code, *outcome.lines)
    else:
        if found is not None and args.act is _list:
            complain(f"janus-bridge db: {table.name} is that of {UNIT}")
        put(*map(printable, outcome.lines))
    if outcome.code or "now" not in args:
        return outcome.code
    code, line = _tell(config, args) if args.now else (0, _HINT)
    if line is not None and not args.json:
        put(line)
    return code


def _tell(config: Config, args: argparse.Namespace) -> tuple[int, str | None]:
    from bridge.cli import db_now  # what speaks MI, for this alone

    return db_now.tell(config, None if args.act is _remove else args.janus_id)


async def _visit(
    act: Callable[["JanusTable", argparse.Namespace], Coroutine[Any, Any, Outcome]],
    table: "JanusTable",
    args: argparse.Namespace,
    config: Config,
) -> Outcome:
    if config.uses_default_table and act is not _init:
        await table.create()  # the bridge's own table needs no `init`
    outcome = await act(table, args)
    if act is _init and config.cluster.cluster_id is not None:
        return await _init_cluster(config, outcome)
    return outcome


async def _init(table: "JanusTable", args: argparse.Namespace) -> Outcome:
    created = await table.create()
    return Outcome(0, [f"{'created' if created else 'is there already'}: {table.name}"], {"created": created})


async def _init_cluster(config: Config, first: Outcome) -> Outcome:
    from bridge.daemon.database import cluster_database_of
    from bridge.transport.cluster_tables import ClusterTables

    database = cluster_database_of(config)
    created = await ClusterTables(config.janus.db_version_table).create(database)
    line = f"{'created' if created else 'is there already'}: {database.url} janus_node, janus_session"
    return Outcome(0, [*first.lines, line], {"created": first.value["created"] or created})


async def _list(table: "JanusTable", args: argparse.Namespace) -> Outcome:
    rows = [_shown(row) for row in await table.rows()]
    cells = [(str(row.id), row.janus_id, row.janus_url) for row in rows]
    lines = text.table(("ID", "JANUS_ID", "JANUS_URL"), cells) if rows else [f"no rows: {table.name}"]
    return Outcome(0, lines, [dataclasses.asdict(row) for row in rows])


async def _add(table: "JanusTable", args: argparse.Namespace) -> Outcome:
    key = await table.add(args.janus_id, args.janus_url)
    if key is None:
        return Outcome(1, [f"{args.janus_id!r} is there already in {table.name}; `db set` changes its URL"], None)
    row = _shown(TableRow(key, args.janus_id, args.janus_url))
    return Outcome(0, [f"added {args.janus_id} (id {key}): {table.name}"], dataclasses.asdict(row))


def _shown(row: TableRow) -> TableRow:
    """With its URL as it may be shown: without user, password and query."""
    return dataclasses.replace(row, janus_url=shown(row.janus_url))


async def _set(table: "JanusTable", args: argparse.Namespace) -> Outcome:
    return _done("changed", await table.change(args.janus_id, args.janus_url), table, args)


async def _remove(table: "JanusTable", args: argparse.Namespace) -> Outcome:
    return _done("removed", await table.remove(args.janus_id), table, args)


def _done(what: str, keys: Sequence[int], table: "JanusTable", args: argparse.Namespace) -> Outcome:
    value = {what: list(keys)}
    if not keys:
        return Outcome(1, [f"there is no {args.janus_id!r} in {table.name}; `db list` shows what there is"], value)
    shown = ", ".join(map(str, keys))
    return Outcome(0, [f"{what} {args.janus_id} (id {shown}): {table.name}"], value)


def _check(args: argparse.Namespace) -> None:
    """What the bridge would disable is not written in the first place. Raises ConfigError."""
    if "janus_id" in args and args.act is not _remove and not (args.janus_id and args.janus_id.isprintable()):
        raise ConfigError(f"ID {args.janus_id!r} must be printable, and not empty")
    if "janus_id" in args and args.act is not _remove and len(args.janus_id) > MAX_JANUS_ID:
        raise ConfigError(f"ID {args.janus_id[:40]!r}... must have at most {MAX_JANUS_ID} characters")
    if "janus_url" in args:
        try:
            JanusUrl.parse(args.janus_url)
        except ValueError as exc:
            raise ConfigError(f"URL: {exc}") from None


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, act: Any, words: str
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
    add_config_arguments(verb)
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.set_defaults(run=run, act=act)
    return verb


def _fail(code: int, line: str) -> int:
    complain(f"janus-bridge db: {line}")
    return code


EPILOG = """
  janus-bridge db init                       in a new database
  janus-bridge db add gw1 janusws://127.0.0.1:8188/janus
  janus-bridge db set --now gw1 januswss://janus1.example.org/janus
  janus-bridge db list --json
  janus-bridge db list -o janus.janus_db_url=mysql://db/opensips

A running bridge learns of a change by --now, `janus-bridge mi janus_reload` or SIGHUP.

Exit codes: 0 done; 1 no such row, or it exists already; 2 usage or configuration, or the database refuses; 3 the
database does not answer. With --now also: 1 the gateway is not ready, 3 no bridge runs.
"""
