"""``janus-bridge status``: the gateways of a running bridge, its table and its subscribers, once or live.

Exit code 0 if every gateway is ready, the table fresh and no subscriber in trouble, 1 if not, 3 if no bridge answers.
"""

import argparse
import json
from typing import Any

from bridge.cli.mi import add_connection_arguments, connect, explained
from bridge.cli.output import put
from bridge.cli.text import GREEN, RED, YELLOW, colour, coloured_table
from bridge.errors import ConfigError
from bridge.protocol.printable import printable

_COLOURS = {"ready": GREEN, "connecting": YELLOW, "backoff": RED, "disabled": RED}
_HEADER = ("JANUS_ID", "STATE", "SINCE", "SESSIONS", "HANDLES", "IN FLIGHT", "RTT", "RECONNECTS", "URL")
_SUBSCRIBERS = ("SUBSCRIBER", "EVENTS", "QUEUED", "SENT", "DROPPED")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options, and its ``run`` among the defaults."""
    parser.description = "Shows gateways, table and subscribers of a running bridge, and what is wrong with them."
    parser.epilog = EPILOG
    add_connection_arguments(parser)
    once = parser.add_mutually_exclusive_group()
    once.add_argument("--json", action="store_true", help="print the answers of janus_list and janus_status")
    once.add_argument("--watch", action="store_true", help="show them live until Ctrl-C, with the last ten minutes")
    parser.add_argument("--filter", metavar="WORDS", default="", help="with --watch: gateways with all these words")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask and print. Raises NothingAnswered, RpcError, ConfigError."""
    client = connect(args)
    if args.watch:
        from bridge.cli.watch import watch  # a moment of a start, for this alone

        return watch(client, args.filter)
    if args.filter:
        raise ConfigError("--filter is for --watch")
    with explained(client.url):
        answer = {**client.call("janus_list"), **client.call("janus_status")}
    gateways: list[dict[str, Any]] = answer["Gateways"]
    if args.json:
        put(json.dumps(answer, indent=2))
    else:
        _print(gateways)
        _print_table(answer["Table"])
        _print_subscribers(answer["Subscribers"])
    well = (
        all(gateway["state"] == "ready" and "serving_url" not in gateway for gateway in gateways)
        and answer["Table"]["state"] == "fresh"
        and not any(one["trouble"] for one in answer["Subscribers"])
    )
    return 0 if well else 1


def _print(gateways: list[dict[str, Any]]) -> None:
    if not gateways:
        put("no gateways: the janus table is empty (janus-bridge db add ID URL, then janus-bridge mi janus_reload)")
        return
    colours = [_COLOURS.get(gateway["state"], RED) for gateway in gateways]
    put(*coloured_table(_HEADER, [_row(gateway) for gateway in gateways], colours))
    for gateway in gateways:
        serving = gateway.get("serving_url")
        if serving is not None:
            put(printable(f"{gateway['janus_id']}: {gateway['janus_url']} is wanted, {serving} serves"))
        if (gateway["state"] != "ready" or serving is not None) and gateway["last_error"]:
            put(printable(f"{gateway['janus_id']}: {gateway['last_error']}"))


def _print_table(found: dict[str, Any]) -> None:
    age = "never read" if found["age_s"] is None else f"read {found['age_s']} s ago"
    trouble = f": {found['error']}" if found["error"] else ""
    line = printable(f"table: {found['state']}, {age}{trouble}")
    put(line if found["state"] == "fresh" else colour(line, RED))


def _print_subscribers(subscribers: list[dict[str, Any]]) -> None:
    if not subscribers:
        return
    rows = [
        (one["subscriber"], " ".join(one["events"]) or "-", str(one["queued"]), str(one["sent"]), str(one["dropped"]))
        for one in subscribers
    ]
    put(*coloured_table(_SUBSCRIBERS, rows, [RED if one["trouble"] else GREEN for one in subscribers]))
    for one in subscribers:
        if one["trouble"]:
            put(printable(f"{one['subscriber']}: {one['trouble']}"))


def _row(gateway: dict[str, Any]) -> tuple[str, ...]:
    sessions = gateway["sessions"]
    rtt = gateway["rtt_ms"]
    return (
        str(gateway["janus_id"]),
        str(gateway["state"]) + (", draining" if gateway.get("draining") else ""),
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
  janus-bridge status --url https://sip1:8889/mi --ca ca.pem
  janus-bridge status --json |
    jq -r '.Gateways[] | select(.state != "ready") | .janus_id'
  janus-bridge status --watch
  janus-bridge status --watch --filter "backoff sip1"

--watch puts trouble first. Type to narrow the gateways down by name, state, URL or error. If one to three are left, it
draws their last ten minutes. On a dumb terminal, or none, it prints one line for each answer.

Exit codes: 0 all is well; 1 a gateway is not ready or not at its URL, the table is not fresh, a subscriber is in
trouble, or an MI error; 2 usage; 3 no bridge answers. --watch: 0 when Ctrl-C ends it.
"""
