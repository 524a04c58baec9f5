"""``janus-bridge check [--connect]``: is everything as it should be? One line a finding.

Owns the findings. Reads configuration and table as ``run`` does, creates nothing, and with --connect asks every Janus
for its ``info``. Exit code 0 nothing found, 1 a finding, 2 configuration or table cannot be used, 3 the database or
every Janus did not answer.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import trio

from bridge.cli.common import add_config_arguments, load_config
from bridge.cli.text import GREEN, RED, YELLOW, clean, colour
from bridge.config import Config
from bridge.core.connection import WebSocket
from bridge.daemon.gateways import Gateways
from bridge.daemon.parts import database_of
from bridge.errors import ConnectFailed, MalformedMessage, TableRefused, TableUnavailable
from bridge.protocol import codec
from bridge.protocol.codec import JsonObject
from bridge.protocol.gateway import Gateway, TableRow, read_rows

Level: TypeAlias = Literal["ok", "warning", "error"]
_COLOURS = {"ok": GREEN, "warning": YELLOW, "error": RED}
ANSWER_DEADLINE = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. ``where``: the file, the table, or a janus_id."""

    level: Level
    where: str
    text: str


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "check",
        help="validate configuration and table, and with --connect every Janus",
        description="Validates configuration, table version and every row; with --connect also every Janus: that it "
        "answers, and whether its sessions can be reclaimed after a failure or a restart of the bridge.",
    )
    add_config_arguments(parser)
    parser.add_argument("--connect", action="store_true", help="connect to every Janus")
    parser.add_argument("--json", action="store_true", help="print a JSON object a line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Raises ConfigError, TableRefused."""
    config = load_config(args)
    report = Report(as_json=args.json)
    source = str(config.source) if config.source is not None else "configuration"
    for warning in config.warnings:
        report.add("warning", source, warning)
    report.add("ok", source, "is valid" if config.source is not None else "defaults and options are valid")
    code: int = trio.run(partial(_check, config, report, connect=args.connect))
    return code


class Report:
    """Prints findings as they come."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.found = False

    def add(self, level: Level, where: str, text: str) -> None:
        self.found = self.found or level != "ok"
        if self._as_json:
            print(json.dumps({"level": level, "where": where, "text": text}), flush=True)
        else:
            print(f"{colour(f'{level:7}', _COLOURS[level])} {clean(where)}: {clean(text)}", flush=True)


async def _check(config: Config, report: Report, *, connect: bool) -> int:
    table = database_of(config)
    try:
        rows = await table.rows()
    except TableRefused:
        if config.uses_default_table and not config.state.dir.joinpath("janus.db").exists():
            report.add("ok", table.name, "does not exist yet; `run` makes it, empty")
            rows = []
        else:
            raise
    except TableUnavailable as exc:
        report.add("error", "table", str(exc))
        return 3
    else:
        report.add("ok", table.name, f"version 1, {len(rows)} rows")
    gateways = _rows(config, rows, report)
    if connect:
        answered = [False] * len(gateways)
        async with trio.open_nursery() as nursery:
            for number, gateway in enumerate(gateways):
                nursery.start_soon(_visit, config, gateway, report, answered, number)
        if gateways and not any(answered):
            return 3
    return 1 if report.found else 0


def _rows(config: Config, rows: list[TableRow], report: Report) -> list[Gateway]:
    gateways, faults = read_rows(rows)
    for fault in faults:
        report.add("error" if "disabled" in fault else "warning", config.janus.janus_db_table, fault)
    if not rows:
        report.add("warning", config.janus.janus_db_table, "the table has no rows: there is no gateway")
    for janus_id in config.janus.gateways.keys() - gateways.keys():
        report.add("warning", f"[janus.gateways.{janus_id}]", "no row of the table has this janus_id")
    return [gateway for gateway in gateways.values() if gateway.fault is None]


class _Visit:
    """Hears one answer. core.connection.Reports."""

    def __init__(self) -> None:
        self.answer: JsonObject | None = None
        self.answered = trio.Event()

    def on_text(self, text: str) -> None:
        try:
            message = codec.parse(text)
        except MalformedMessage:
            return
        if isinstance(message, dict):
            self.answer = message
            self.answered.set()

    def on_frames(self) -> None: ...

    def on_refused(self, reason: str, head: str, *, too_large: bool) -> None: ...

    def on_stalled(self) -> None: ...


async def _visit(config: Config, gateway: Gateway, report: Report, answered: list[bool], number: int) -> None:
    visit = _Visit()

    def opened(websocket: WebSocket) -> None:
        websocket.send_text(codec.render({"janus": "info", "transaction": "check"}))

    async with trio.open_nursery() as nursery:

        async def converse() -> None:
            try:
                reason = await Gateways(config).connect(gateway, visit, opened)
            except ConnectFailed as exc:
                reason = exc.reason
            if visit.answer is None:
                report.add("error", gateway.janus_id, reason)
            nursery.cancel_scope.cancel()

        nursery.start_soon(converse)
        with trio.move_on_after(ANSWER_DEADLINE + 8):  # the connect has its own deadlines: 3 s and 5 s
            await visit.answered.wait()
        nursery.cancel_scope.cancel()
    if visit.answer is not None:
        answered[number] = True
        for level, text in _judge(config, visit.answer):
            report.add(level, gateway.janus_id, text)


def _judge(config: Config, info: JsonObject) -> Iterator[tuple[Level, str]]:
    """What Janus's ``info`` means for the bridge."""
    if info.get("janus") != "server_info":
        yield "error", "answered info with something else: is this a Janus?"
        return
    version: Any = info.get("version_string", "?")
    timeout, reclaim = info.get("session-timeout"), info.get("reclaim-session-timeout")
    yield "ok", f"Janus {version} answers; session-timeout {timeout} s, reclaim-session-timeout {reclaim} s"
    if info.get("accepting-new-sessions") is False:
        yield "warning", "does not accept new sessions"
    if not isinstance(reclaim, int) or reclaim <= 0:
        yield (
            "warning",
            "reclaim-session-timeout is 0: a lost connection, and a restart of the bridge, ends every call on it",
        )
        return
    # Janus counts from the session's last request, which is up to one keepalive interval ago.
    interval = min(float(config.janus.janus_ping_interval), reclaim / 3)
    yield "ok", f"sessions survive a lost connection or a restart of the bridge of up to {reclaim - interval:.0f} s"
