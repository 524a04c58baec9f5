"""What ``janus-bridge check`` finds, one line a finding.

Owns the findings. Reads configuration and table as ``run`` does, creates nothing, and with --connect asks every Janus
for its ``info`` and for a session. Exit code 0 nothing found, 1 a finding, 2 configuration or table cannot be used, 3
the database or every Janus did not answer.
"""

import argparse
import dataclasses
import json
import os
from functools import partial
from pathlib import Path

import trio

from bridge.cli import check_cluster, check_paths
from bridge.cli.check_cluster import Level
from bridge.cli.common import chosen_config
from bridge.cli.output import put, waiting
from bridge.cli.probe import JanusProbe
from bridge.cli.text import GREEN, RED, YELLOW, colour
from bridge.config import Config, secrets_of
from bridge.config.settings import TABLE_FILE
from bridge.daemon.database import database_of, secrets_of_rows
from bridge.errors import ConfigError, TableRefused, TableUnavailable
from bridge.protocol.gateway import Gateway, TableRow, doubts, read_rows
from bridge.protocol.humanize import plural
from bridge.protocol.printable import printable
from bridge.protocol.redaction import Redaction

_COLOURS = {"ok": GREEN, "warning": YELLOW, "error": RED}


def run(args: argparse.Namespace) -> int:
    """Raises ConfigError, TableRefused; with --json these are findings too, for whoever reads them."""
    report = Report(as_json=args.json)
    try:
        return _run(args, report)
    except (ConfigError, TableRefused) as exc:
        if not args.json:
            raise
        report.add("error", *(_placed(str(exc)) if isinstance(exc, ConfigError) else ("table", str(exc))))
        return 2


def _run(args: argparse.Namespace, report: "Report") -> int:
    config, found = chosen_config(args)
    if found is not None and config.uses_default_table:
        found.admit(config.state.dir)
    report.redaction.know("configuration", secrets_of(config))
    source = str(config.source) if config.source is not None else "configuration"
    for warning in config.warnings:
        report.add("warning", *_placed(warning))
    report.add("ok", source, "is valid" if config.source is not None else "defaults and options are valid")
    for fault in check_paths.faults(config):
        report.add("error", source, fault)
    if found is not None and os.geteuid() == 0:
        for name, path in check_paths.files(config):
            if os.path.exists(path) and not found.may_read(path):
                report.add("error", source, f"{name}: {found.user}, the user of the service, may not read it")
    for doubt in check_paths.doubts(config.mi):
        report.add("warning", source, doubt)
    code: int = trio.run(partial(_check, config, report, connect=args.connect))
    return code


class Report:
    """Prints findings as they come, a line each. ``where``: the source of a setting, the table, or a janus_id."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.redaction = Redaction()
        self.found = False

    def add(self, level: Level, where: str, text: str) -> None:
        self.found = self.found or level != "ok"
        text = self.redaction(text)
        if self._as_json:
            put(json.dumps({"level": level, "where": where, "text": text}))
        else:
            put(f"{colour(f'{level:7}', _COLOURS[level])} {printable(where)}: {printable(text)}")


def _placed(text: str) -> tuple[str, str]:
    """A line of the configuration's: the source at its beginning, and the rest."""
    where, _, what = text.partition(": ")
    return where, what


async def _check(config: Config, report: Report, *, connect: bool) -> int:
    table = database_of(config)
    try:
        with waiting(lambda: table.name):
            rows = await table.rows()
    except TableRefused:
        if config.uses_default_table and _is_missing(config.state.dir / TABLE_FILE):
            report.add("ok", table.name, "does not exist yet; `run` makes it, empty")
            rows = []
        else:
            raise
    except TableUnavailable as exc:
        report.add("error", "table", str(exc))
        return 3
    else:
        report.add("ok", table.name, f"version 1, {plural(len(rows), 'row')}")
        await _every_host(config, report)
    if config.cluster.cluster_id is not None:
        for level, text in await check_cluster.of_database(config, connect=connect):
            report.add(level, "[cluster]", text)
    report.redaction.know("table", secrets_of_rows(rows))
    gateways = _rows(config, rows, report)
    if connect:
        answered: set[str] = set()
        silent = {gateway.janus_id for gateway in gateways}
        with waiting(lambda: ", ".join(sorted(silent))):
            async with trio.open_nursery() as nursery:
                for gateway in gateways:
                    nursery.start_soon(_visit, config, gateway, report, answered, silent)
        if gateways and not answered:
            return 3
    return 1 if report.found else 0


async def _every_host(config: Config, report: Report) -> None:
    """Where there are several, the one that is away is not missed before the next one is."""
    hosts = config.janus.janus_db_url.each
    for url in hosts if len(hosts) > 1 else ():
        alone = database_of(dataclasses.replace(config, janus=dataclasses.replace(config.janus, janus_db_url=url)))
        try:
            await alone.rows()
        except TableUnavailable as exc:
            report.add("warning", url.place, f"{exc}; the others serve")


def _is_missing(path: Path) -> bool:
    """Surely: a file in a folder that we may not look into is not."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False


def _rows(config: Config, rows: list[TableRow], report: Report) -> list[Gateway]:
    gateways, faults = read_rows(rows)
    for fault in faults:
        report.add("error" if "disabled" in fault else "warning", config.janus.janus_db_table, fault)
    for gateway in gateways.values():
        for doubt in doubts(gateway):
            report.add("warning", config.janus.janus_db_table, f"row id={gateway.id}: {gateway.janus_id!r}: {doubt}")
    if not rows:
        report.add("warning", config.janus.janus_db_table, "the table has no rows: add one with `janus-bridge db add`")
    for janus_id in config.janus.gateways.keys() - gateways.keys():
        report.add("warning", f"[janus.gateways.{janus_id}]", "no row of the table has this janus_id")
    return [gateway for gateway in gateways.values() if gateway.fault is None]


async def _visit(config: Config, gateway: Gateway, report: Report, answered: set[str], silent: set[str]) -> None:
    findings = await JanusProbe(config, gateway).findings()
    silent.discard(gateway.janus_id)
    if any(level != "error" for level, _ in findings):
        answered.add(gateway.janus_id)
    for level, text in findings:
        report.add(level, gateway.janus_id, text)
