"""``janus-bridge import OPENSIPS_CFG``: a configuration made from the janus module's modparams.

Owns what becomes of each parameter and of the event's subscribers. Prints TOML; everything else stands in its comments,
so that the output can be used as it is.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from typing import TypeVar

from bridge.cli.cfg_files import CfgFiles
from bridge.cli.cfg_script import script_lines
from bridge.cli.output import complain, put
from bridge.config import SETTINGS, load
from bridge.errors import ConfigError
from bridge.protocol.event_payload import E_JANUS_EVENT as EVENT
from bridge.protocol.opensips_cfg import JanusUse, ModuleParameter, read
from bridge.protocol.printable import printable
from bridge.protocol.reply_socket import ReplySocket

# What is not carried over, and why.
_LEFT_OUT = {
    "janus_max_msg_chunks": "left out on purpose: Janus cuts its messages at 2,800 bytes, so a limit of N chunks drops "
    "every answer over N times that; unset means no limit but max_message_size",
    "janus_cmd_polling_itv": "has no effect here: answers are delivered when they arrive",
}
_PARAMETERS = {setting.key for setting in SETTINGS if setting.section == "janus" and setting.key.startswith("janus_")}
_T = TypeVar("_T", int, str)
_MI_ADDRESS = "udp:127.0.0.1:8080"  # for a script without mi_datagram


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options, and its ``run`` among the defaults."""
    parser.description = (
        'Reads an opensips.cfg and all that it includes. From the modparam("janus", ...) lines, db_default_url and '
        "the event subscriptions it prints a configuration. It names what cannot be carried over, and shows each line "
        "of the script that changes."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "opensips_cfg", metavar="OPENSIPS_CFG", help="the file that OpenSIPS is started with; - reads stdin"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 1 if something could not be carried over. Raises ConfigError for a file that cannot be read."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as TOML is, whatever the terminal's
    files = CfgFiles(args.opensips_cfg)
    made = Made(files.name, read(files.script), files.problems)
    put(*made.lines())
    if made.foreign:
        complain(f"janus-bridge import: {made.foreign}")
    return 1 if made.problems else 0


class Made:
    """The configuration that is made of a script. ``problems``: what found no place, a line each."""

    def __init__(self, name: str, use: JanusUse, problems: list[str]) -> None:
        self.problems = [*problems]
        self.foreign = ""
        self._name = name
        self._use = use
        if use.foreign:
            words, place = next(iter(use.foreign.items()))
            self.foreign = (
                f"{place}: {words}: OpenSIPS cannot read this file as it stands, so nothing was carried over; where "
                "it is started with a preprocessor (opensips -p, m4, envsubst), import what that makes of it: "
                f"m4 {name} | janus-bridge import -"
            )
            self.problems.append(self.foreign)
        self._body = [*self._janus(), *self._events()]
        self.problems += [f"{place}: {words}" for place, words in use.remainders]

    def lines(self) -> list[str]:
        """Of the TOML file."""
        remarks = [*self.problems, *script_lines(self._use)]
        return [
            *_comments([f"Made by `janus-bridge import {self._name}`."]),
            "",
            *self._body,
            "",
            *_comments(remarks),
        ]

    def _janus(self) -> Iterator[str]:
        yield "[janus]"
        for parameter in self._use.parameters.values():
            yield self._carried(parameter, parameter.name)
        default = self._use.globals.get("db_default_url")
        if "janus_db_url" not in self._use.parameters:
            if default is None:
                self.problems.append(
                    f"{self._name} has neither janus_db_url nor db_default_url: the default table is used"
                )
            else:
                yield "# From db_default_url:"
                yield self._carried(default, "janus_db_url")
        if (version_table := self._use.globals.get("db_version_table")) is not None:
            yield self._carried(version_table, "db_version_table")

    def _carried(self, parameter: ModuleParameter, key: str) -> str:
        where = parameter.place
        if parameter.value is None:
            self.problems.append(f"{where}: {parameter.fault}; it is not carried over")
            return _comment(f"{key} could not be read")
        value = _toml(parameter.value)
        if key in _LEFT_OUT:
            return _comment(f"{key} = {value}: {_LEFT_OUT[key]}")
        if key not in _PARAMETERS and key != "db_version_table":
            self.problems.append(f"{where}: {key} is not carried over")
            return _comment(f"{key} is not a setting of the bridge")
        return self._live(f"{key} = {value}", f"janus.{key}={value}", f"{where}: ")

    def _live(self, line: str, option: str, where: str) -> str:
        """The line, or a comment where the bridge would not take it."""
        problem = _refused(option)
        if problem is not None:
            self.problems.append(f"{where}{problem}")
        return line if problem is None and not self.foreign else _comment(line)

    def _events(self) -> Iterator[str]:
        """A table for each subscriber; its event as OpenSIPS's own route, or the sockets that the script names."""
        sockets: dict[str, tuple[str, bool]] = {}
        if self._use.event_routes:
            name = self._other("mi_datagram.socket_name", _MI_ADDRESS)
            name = name.replace("udp:0.0.0.0:", "udp:127.0.0.1:")
            sockets[f"mi:{name}" if name.startswith("udp:") else f"mi:unix:{name}"] = (
                f"{self._use.event_routes[0]}: event_route[{EVENT}]",
                False,
            )
        reliable = self._other("event_stream.reliable_mode", 0)
        for call in self._use.subscriptions:
            socket = call.arguments[1] if call.arguments is not None and len(call.arguments) > 1 else None
            value = socket.value if socket is not None and isinstance(socket.value, bytes) else b"$"
            try:
                texts = [] if b"$" in value else _each(value.decode())
            except UnicodeDecodeError:
                texts = []
            if not texts:
                self.problems.append(f"{call.place}: the socket of subscribe_event() cannot be read")
            for text in texts:
                awaits = text.startswith("tcp:") and reliable != 0
                sockets.setdefault(text, (f"{call.place}: subscribe_event()", awaits))
        for text, (origin, awaits) in sockets.items():
            live = not self.foreign
            try:
                ReplySocket.parse(text, reliable=awaits)
            except ValueError as exc:
                self.problems.append(f"{origin}: {exc}")
                live = False
            rows = [f'event = "{EVENT}"', f"socket = {_toml(text)}", *(["reliable = true"] if awaits else [])]
            yield ""
            yield _comment(f"From {origin}")
            yield from (row if live else _comment(row) for row in ("[[events.subscribers]]", *rows))

    def _other(self, name: str, default: _T) -> _T:
        """What another module is set to; one that cannot be read is named, and is as if it were not set."""
        parameter = self._use.others.get(name)
        if parameter is None:
            return default
        if not isinstance(parameter.value, type(default)):
            fault = parameter.fault or f"{parameter.name} has the wrong type"
            self.problems.append(f"{parameter.place}: {fault}; {default} is assumed")
            return default
        return parameter.value


def _each(socket: str) -> list[str]:
    """The sockets in one of event_virtual's that sends to all of them at once; any other stays what it is."""
    match = re.fullmatch(r"virtual:[ \t]*PARALLEL[ \t]+(.+)", socket, re.DOTALL)
    return [socket] if match is None else match[1].split()


def _toml(value: str | int) -> str:
    """A TOML value in one line, whatever the text."""
    if isinstance(value, int):
        return str(value)
    return '"' + "".join(map(_toml_character, value)) + '"'


def _toml_character(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _comment(text: str) -> str:
    return f"# {printable(text)}"


def _comments(texts: list[str]) -> list[str]:
    return [_comment(text) for text in texts]


def _refused(option: str) -> str | None:
    """Why the bridge would not take this setting, None if it does."""
    try:
        load(os.devnull, [option], {})
    except ConfigError as exc:
        return str(exc).partition(": ")[2]
    return None


EPILOG = """
  janus-bridge import /etc/opensips/opensips.cfg > janus-bridge.toml
  m4 opensips.cfg.m4 | janus-bridge import - > janus-bridge.toml
  janus-bridge check -c janus-bridge.toml --connect

Everything but settings is in comments. The script itself is not changed. Exit codes: 0 everything was carried over, 1
something was not, 2 the file cannot be read.
"""
