"""``janus-bridge status``: the gateways of a running bridge, as a table.

Exit code 0 if every gateway is ready, 1 if one is not, 3 if no bridge answers.
"""

import argparse
import json
from typing import Any

from bridge.cli.mi import add_connection_arguments, connect, explained
from bridge.cli.output import put
from bridge.cli.text import GREEN, RED, YELLOW, clean, colour, table

_COLOURS = {"ready": GREEN, "connecting": YELLOW, "backoff": RED, "disabled": RED}
_HEADER = ("JANUS_ID", "STATE", "SINCE", "SESSIONS", "HANDLES", "IN FLIGHT", "RTT", "RECONNECTS", "URL")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "status",
        help="show the gateways of a running bridge",
        description="Shows the gateways of a running bridge, and what is wrong with those that are not ready.",
        epilog=EPILOG,
    )
    add_connection_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print what janus_list answers")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask and print. Raises NothingAnswered, RpcError, ConfigError."""
    client = connect(args)
    with explained(client.url):
        answer = client.call("janus_list")
    gateways: list[dict[str, Any]] = answer["Gateways"]
    if args.json:
        put(json.dumps(answer, indent=2))
    else:
        _print(gateways)
    return 0 if all(gateway["state"] == "ready" for gateway in gateways) else 1


def _print(gateways: list[dict[str, Any]]) -> None:
    if not gateways:
        put("no gateways: the janus table is empty (janus-bridge db add ID URL, then janus-bridge mi janus_reload)")
        return
    header, *lines = table(_HEADER, [_row(gateway) for gateway in gateways])
    put(header)
    for gateway, line in zip(gateways, lines, strict=True):
        put(colour(line, _COLOURS.get(gateway["state"], RED)))
    for gateway in gateways:
        if gateway["state"] != "ready" and gateway["last_error"]:
            put(clean(f"{gateway['janus_id']}: {gateway['last_error']}"))


def _row(gateway: dict[str, Any]) -> tuple[str, ...]:
    sessions = gateway["sessions"]
    rtt = gateway["rtt_ms"]
    return (
        str(gateway["janus_id"]),
        str(gateway["state"]),
        str(gateway["since"]),
        str(len(sessions)),
        str(sum(len(session["handles"]) for session in sessions)),
        str(gateway["in_flight"]),
        "-" if rtt is None else f"{rtt:.2f} ms",
        str(gateway["reconnects"]),
        str(gateway["janus_url"]),
    )


EPILOG = """
  janus-bridge status
  janus-bridge status --url https://sip1.example.org:8889/mi --ca /etc/janus-bridge/ca.pem
  janus-bridge status --json | jq -r '.Gateways[] | select(.state != "ready") | .janus_id'
  watch -n 1 janus-bridge status

Exit codes: 0 every gateway is ready, 1 one is not, or an MI error, 2 usage, 3 no bridge answers.
"""
