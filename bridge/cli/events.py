"""``janus-bridge events``: subscribe to a running bridge and print what comes, until interrupted.

Owns the subscription: made on a free loopback UDP port, renewed before it expires, ended at the end. With ``--from``,
what is kept of the past is printed instead (MI ``event_replay``).
"""

import argparse
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any

from bridge.cli.mi import add_connection_arguments, connect, explained
from bridge.cli.output import complain, put
from bridge.cli.text import DIM, colour
from bridge.errors import ConfigError, MalformedMessage
from bridge.protocol import codec
from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS
from bridge.protocol.humanize import plural
from bridge.protocol.jsonrpc import RpcError
from bridge.protocol.printable import printable
from bridge.transport.mi_client import MiClient, NothingAnswered

EXPIRE = 30  # seconds
PAGE = 200  # kept events that are asked for at a time
RENEWAL = 10.0  # seconds: a bridge that was restarted knows of no subscription from before
DEFAULT_EVENTS = (E_JANUS_EVENT, E_JANUS_STATUS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options, and its ``run`` among the defaults."""
    parser.description = (
        "Subscribes to the events of a bridge on this machine, and prints them as they come, until Ctrl-C. "
        "With --from, prints those that the bridge has kept."
    )
    parser.epilog = EPILOG
    parser.add_argument("events", metavar="EVENT", nargs="*", help=f"default: {' '.join(DEFAULT_EVENTS)}")
    add_connection_arguments(parser)
    parser.add_argument(
        "--from", dest="start", metavar="SEQ", help="print kept events from this janus_seq on (0-0: all), then end"
    )
    parser.add_argument("--gateway", metavar="ID", help="with --from: only of this gateway")
    parser.add_argument("--count", type=int, metavar="N", help="end after N events")
    parser.add_argument("--json", action="store_true", help="print each event as it came, one line each")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Subscribe and print. Raises NothingAnswered, RpcError, ConfigError."""
    if args.count is not None and args.count < 1:
        raise ConfigError(f"--count {args.count}: must be 1 or more")
    if args.gateway is not None and args.start is None:
        raise ConfigError("--gateway is for --from")
    client = connect(args)
    names = args.events or DEFAULT_EVENTS
    if args.start is not None:
        with explained(client.url):
            return _replay(client, names, args)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver, _sigterm_as_interrupt():
        receiver.bind(("127.0.0.1", 0))
        address = f"udp:127.0.0.1:{receiver.getsockname()[1]}"
        with explained(client.url):
            _subscribe(client, names, address, EXPIRE)
        try:
            with suppress(KeyboardInterrupt):
                complain(f"subscribed to {', '.join(names)} as {address}; Ctrl-C ends")
                _print_events(receiver, client, names, address, args)
        finally:
            with suppress(NothingAnswered):  # then it expires by itself
                _subscribe(client, names, address, 0)
    return 0


def _replay(client: MiClient, names: Sequence[str], args: argparse.Namespace) -> int:
    """Print what is kept, a gateway after the other, and say what is missing."""
    left, lost, printed = args.count, 0, 0
    gateways = [args.gateway]
    if args.gateway is None:
        gateways = [row["janus_id"] for row in client.call("event_store_list", [])["Gateways"]]
    for janus_id in gateways:
        page = {"Events": [], "next": args.start}
        while left is None or left > 0:
            page = client.call("event_replay", [janus_id, page["next"], PAGE])
            lost += page["lost"]
            for event in page["Events"]:
                if event["name"] in names and left != 0:
                    _print_kept(event, as_json=args.json)
                    printed += 1
                    left = None if left is None else left - 1
            if not page["Events"]:
                break
    if not printed:
        complain("no such event is kept; `janus-bridge mi event_store_list` shows what is")
    if lost:
        complain(f"missing: {plural(lost, 'event')}, cut off or never kept")
    return 0


def _print_kept(event: Any, *, as_json: bool) -> None:
    params = {**event["params"], "janus_seq": event["janus_seq"]}
    if as_json:
        put(printable(codec.render({"time": event["time"], "method": event["name"], "params": params})))
    else:
        put(_words(event["time"], event["name"], params))


def _subscribe(client: MiClient, names: Sequence[str], address: str, expire: int) -> None:
    for name in names:
        try:
            client.call("event_subscribe", [name, address, expire])
        except RpcError as exc:
            if exc.code != HTTPStatus.BAD_REQUEST:
                raise
            hint = (
                f"{name} is no event (`janus-bridge mi events_list` lists them), or [events] allow is without {address}"
            )
            raise RpcError(exc.code, exc.message, hint) from None


def _print_events(
    receiver: socket.socket, client: MiClient, names: Sequence[str], address: str, args: argparse.Namespace
) -> None:
    left = args.count
    renew_at = time.monotonic() + RENEWAL
    while left is None or left > 0:
        rest = renew_at - time.monotonic()
        if rest <= 0:
            _subscribe(client, names, address, EXPIRE)
            renew_at = time.monotonic() + RENEWAL
            continue
        receiver.settimeout(rest)
        try:
            payload = receiver.recv(65_535)
        except TimeoutError:
            continue
        text = payload.decode("utf-8", "backslashreplace")
        put(printable(text) if args.json else _shown(text))
        left = None if left is None else left - 1


def _shown(text: str) -> str:
    """An event for a person: time, name, parameters, and the body unpacked."""
    try:
        event = codec.parse(text)
    except MalformedMessage:
        return printable(text)
    return _words(time.strftime("%H:%M:%S"), str(event.get("method")), event.get("params") or {})


def _words(when: str, name: str, params: dict[str, Any]) -> str:
    words = [colour(when, DIM), name]
    words += [f"{name}={value}" for name, value in params.items() if name not in ("janus_body", "detail")]
    for name in ("janus_body", "detail"):
        if name in params:
            words.append(str(params[name]))
    return " ".join(printable(word) if "\x1b" not in word[:1] else word for word in words)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


EPILOG = """
  janus-bridge events
  janus-bridge events E_JANUS_STATUS --count 1
  janus-bridge events --from 1795663200000-1200 --gateway gw1
  janus-bridge events --json | jq -r '.params.janus_body'

Exit codes: 0 ended by Ctrl-C, SIGTERM or --count, 1 an MI error, 2 usage, 3 the bridge does not answer.
"""
