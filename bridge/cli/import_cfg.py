"""``janus-bridge import OPENSIPS_CFG``: a configuration made from the janus module's modparams.

Owns what becomes of each parameter, and what is said about the script. Prints TOML; everything else stands in its
comments, so that the output can be used as it is.
"""

import argparse
import json
import os
from collections.abc import Iterator

from bridge.cli.output import put
from bridge.config import SETTINGS, load
from bridge.errors import ConfigError
from bridge.files import read_file
from bridge.protocol.opensips_cfg import JanusUse, Modparam, read

_FILE_MAX = 4 << 20  # bytes
# What is not carried over, and why.
_LEFT_OUT = {
    "janus_max_msg_chunks": "left out on purpose: Janus cuts its messages at 2,800 bytes, so a limit of N chunks drops "
    "every answer over N times that; unset means no limit but max_message_size",
    "janus_cmd_polling_itv": "has no effect here: answers are delivered when they arrive",
}
_PARAMETERS = {setting.key for setting in SETTINGS if setting.section == "janus" and setting.key.startswith("janus_")}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "import",
        help="make a configuration from an opensips.cfg that uses the janus module",
        description='Prints a configuration made from the modparam("janus", ...) lines and db_default_url of an '
        "opensips.cfg, names what cannot be carried over, and lists the script lines to change.",
        epilog=EPILOG,
    )
    parser.add_argument("opensips_cfg", metavar="OPENSIPS_CFG")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 1 if something could not be carried over. Raises ConfigError for a file that cannot be read."""
    try:
        use = read(read_file(args.opensips_cfg, _FILE_MAX).decode(errors="replace"))
    except OSError as exc:
        raise ConfigError(f"{args.opensips_cfg}: {exc.strerror}") from None
    lines, complete = convert(args.opensips_cfg, use)
    put(*lines)
    return 0 if complete else 1


def convert(name: str, use: JanusUse) -> tuple[list[str], bool]:
    """The lines of a configuration, and whether everything found its place."""
    carried = [f"# Made by `janus-bridge import {name}`.", "", "[janus]"]
    problems: list[str] = []
    given = {parameter.name: parameter for parameter in use.modparams}  # the last one wins, as in OpenSIPS
    for parameter in given.values():
        line, problem = _carry(name, parameter)
        carried.append(line)
        if problem:
            problems.append(problem)
    if "janus_db_url" not in given:
        if use.db_default_url is not None:
            line, problem = _carry(name, use.db_default_url)
            carried += ["# From db_default_url:", line]
            if problem:
                problems.append(problem)
        else:
            problems.append(f"{name} has neither janus_db_url nor db_default_url: the default table is used")
    problems += [f"{included} is included by {name}, but was not read: import it, too" for included in use.includes]
    return [*carried, "", *(f"# {line}" for line in [*problems, *_script(name, use)])], not problems


def _carry(name: str, parameter: Modparam) -> tuple[str, str | None]:
    where = f"{name}:{parameter.line}"
    if parameter.name in _LEFT_OUT:
        return f"# {parameter.name} = {parameter.value}: {_LEFT_OUT[parameter.name]}", None
    if parameter.name not in _PARAMETERS:
        return f"# {parameter.name} is no setting of the bridge", f"{where}: {parameter.name} is not carried over"
    value = json.dumps(parameter.value, ensure_ascii=False)  # strings and integers are written alike in TOML
    line = f"{parameter.name} = {value}"
    problem = _refused(line)
    if problem is not None:
        return f"# {line}", f"{where}: {problem}"
    return line, None


def _refused(line: str) -> str | None:
    """Why the bridge would not take this line, None if it does."""
    try:
        load(os.devnull, [f"janus.{line}"], {})
    except ConfigError as exc:
        return str(exc).partition(": ")[2]
    return None


def _script(name: str, use: JanusUse) -> Iterator[str]:
    for line in use.loads:
        yield f'{name}:{line}: remove loadmodule "janus.so" (and its modparams)'
    if use.calls:
        yield 'Add: loadmodule "json.so", loadmodule "rest_client.so", include_file "janus-bridge.inc"'
        yield "(from opensips-examples/; its head explains the details), and replace each call"
        yield '    janus_send_request("ID", "COMMAND", $var(response))'
        yield "by the line (without the second half where nobody reads the response)"
        yield '    route(JANUS_SEND_REQUEST, "ID", "COMMAND", "response"); $var(response) = $avp(response);'
    for line in use.calls:
        yield f"{name}:{line}: a call of janus_send_request"
    if use.event_routes:
        yield 'Add: loadmodule "mi_datagram.so", modparam("mi_datagram", "socket_name", "udp:127.0.0.1:8080")'
        yield "and to the bridge's configuration, with that address:"
        yield '    [events]  subscribers = [{event = "E_JANUS_EVENT", socket = "mi:udp:127.0.0.1:8080"}]'
    for line in use.event_routes:
        yield f"{name}:{line}: event_route[E_JANUS_EVENT] stays as it is; wide integers in janus_body are strings now"


EPILOG = """
  janus-bridge import /etc/opensips/opensips.cfg > janus-bridge.toml
  janus-bridge check -c janus-bridge.toml --connect

Everything but settings stands in comments. The script itself is not changed. Exit codes: 0 everything found its place,
1 something could not be carried over, 2 the file cannot be read.
"""
