"""``janus-bridge events``: subscribe to a running bridge and print what comes, until interrupted.

Owns the subscription: made on a free loopback UDP port, renewed before it expires, ended at the end.
"""

import argparse
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from bridge.cli.mi import add_connection_arguments, connect, explained
from bridge.cli.output import complain, put
from bridge.cli.text import DIM, colour
from bridge.errors import MalformedMessage
from bridge.protocol import codec
from bridge.protocol.printable import printable
from bridge.transport.mi_client import MiClient, NothingAnswered

EXPIRE = 30  # seconds
RENEWAL = 10.0  # seconds: a bridge that was restarted knows of no subscription from before
DEFAULT_EVENTS = ("E_JANUS_EVENT", "E_JANUS_STATUS")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "events",
        help="subscribe to a running bridge and print its events",
        description="Subscribes to events of a bridge on this machine and prints them as they come, until Ctrl-C.",
        epilog=EPILOG,
    )
    parser.add_argument("events", metavar="EVENT", nargs="*", help=f"default: {' '.join(DEFAULT_EVENTS)}")
    add_connection_arguments(parser)
    parser.add_argument("--count", type=int, metavar="N", help="end after N events")
    parser.add_argument("--json", action="store_true", help="print each event as it came, a line each")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Subscribe and print. Raises NothingAnswered, RpcError, ConfigError."""
    client = connect(args)
    names = args.events or DEFAULT_EVENTS
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


def _subscribe(client: MiClient, names: Sequence[str], address: str, expire: int) -> None:
    for name in names:
        client.call("event_subscribe", [name, address, expire])


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
    params: dict[str, Any] = event.get("params") or {}
    words = [colour(time.strftime("%H:%M:%S"), DIM), str(event.get("method"))]
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
  janus-bridge events --json | jq -r '.params.janus_body'

Exit codes: 0 ended by Ctrl-C, SIGTERM or --count, 1 an MI error, 2 usage, 3 the bridge does not answer.
"""
