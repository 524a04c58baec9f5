"""``janus-bridge mi METHOD [PARAM ...]``: call a method of a running bridge (or of OpenSIPS) and print the result.

Owns the arguments, what is printed and the exit code: 0 a result, 1 an MI error, 2 usage, 3 nothing answered.
"""

import argparse
import http
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bridge.cli import service
from bridge.cli.output import complain, put, waiting
from bridge.config import MiSettings, load
from bridge.errors import ConfigError, MalformedMessage
from bridge.protocol import codec
from bridge.protocol.jsonrpc import RpcError
from bridge.transport.mi_client import DEFAULT_URL, MiClient, NothingAnswered, UnknownCa

TOKEN_VARIABLE = "JANUS_BRIDGE_MI__TOKEN"  # the one that sets [mi].token of the service
PATIENCE = 10.0  # s for an answer
_LONGEST = 3600  # s; a Janus command has at most 600

_NAMED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
# Methods whose one parameter is a list: their PARAMs are its items.
_OF_A_LIST = frozenset(
    spelling for verb in ("get", "list", "reset") for spelling in (f"{verb}_statistics", f"statistics:{verb}")
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options, and its ``run`` among the defaults."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument("method", metavar="METHOD", help="e.g. janus_list; `which` lists them")
    parser.add_argument("params", metavar="PARAM", nargs="*", default=[], help="by position, or all as NAME=VALUE")
    add_connection_arguments(parser)
    parser.add_argument("-j", dest="json_params", metavar="JSON", help="the parameters as a JSON array or object")
    parser.add_argument("--json", action="store_true", help="print the JSON-RPC answer as it came")
    parser.set_defaults(run=run)


def add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """--url, --token, --ca, --timeout: where the MI is; ``connect`` reads them."""
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        help="configuration with the bridge's address and token (default: that of "
        "the service on this machine, if it can be read)",
    )
    parser.add_argument(
        "--url", help=f"address of the MI: http(s)://HOST:PORT/mi, udp:HOST:PORT or unix:PATH (default: {DEFAULT_URL})"
    )
    parser.add_argument("--token", help=f"token of the MI; better in {TOKEN_VARIABLE}, which other users do not see")
    parser.add_argument("--ca", metavar="FILE", help="PEM file with the CA to trust for https")
    parser.add_argument(
        "--timeout", type=float, default=PATIENCE, metavar="SECONDS", help="wait for the answer (default: %(default)g)"
    )


def connect(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> MiClient:
    """The client that the connection arguments describe. Raises ConfigError."""
    if not 0 < args.timeout <= _LONGEST:
        raise ConfigError(f"--timeout {args.timeout:g}: must be above 0 and at most {_LONGEST} s")
    token = args.token if args.token is not None else environ.get(TOKEN_VARIABLE)
    if args.url is not None:
        return MiClient(args.url, token=token, ca=args.ca, timeout=args.timeout)
    mi = _configured(args, environ)
    if mi is None:
        return MiClient(DEFAULT_URL, token=token, ca=args.ca, timeout=args.timeout)
    return client_of(mi, token=token, ca=args.ca, timeout=args.timeout)


def client_of(
    mi: MiSettings, *, token: str | None = None, ca: str | None = None, timeout: float = PATIENCE
) -> MiClient:
    """The client for a bridge with these settings on this machine; ``token`` and ``ca`` instead of its own."""
    if token is None and mi.token is not None:
        token = mi.token[:]
    pinned = mi.http_tls_cert if ca is None else None
    return MiClient(_url(mi), token=token, ca=ca, pinned=pinned, timeout=timeout)


def _configured(args: argparse.Namespace, environ: Mapping[str, str]) -> MiSettings | None:
    """Of the configuration that is named, or else of the service; None where there is none, or not for our eyes."""
    if args.config is not None:
        return load(args.config, (), environ).mi
    try:
        found = service.find()
        return load(None, (), environ).mi if found is None else found.load().mi
    except ConfigError:
        return None  # the bridge may run nevertheless, and its default address is worth a try


def _url(mi: MiSettings) -> str:
    """The first of its addresses; datagrams only where it has no other, as they carry short answers only."""
    if not mi.http:
        return next(iter(mi.datagram), DEFAULT_URL)
    host, _, port = mi.http[0].rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    return f"{'http' if mi.http_tls_cert is None else 'https'}://{host}:{port}/{mi.http_root}"


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Around a call: says what is waited for, and what to do where the answer alone does not say it."""
    try:
        with waiting(lambda: url):
            yield
    except RpcError as exc:
        if exc.code == http.HTTPStatus.BAD_REQUEST and exc.data is None:
            raise RpcError(exc.code, exc.message, "the log of the bridge says why") from None
        if exc.code != http.HTTPStatus.UNAUTHORIZED:
            raise
        hint = f"{url} wants a token, or another one (--token, or better {TOKEN_VARIABLE})"
        raise RpcError(exc.code, exc.message, hint) from None
    except UnknownCa as exc:
        raise NothingAnswered(f"{exc}; --ca FILE names the one to trust") from None


def run(args: argparse.Namespace) -> int:
    """Call, print, and return the exit code (contract 2)."""
    try:
        params = parameters(args.method, args.params, args.json_params)
        client = connect(args)
        with explained(client.url):
            if args.json:
                answer = client.ask(args.method, params)
                put(_shown(answer))
                answered = codec.parse(answer)
                return 0 if isinstance(answered, dict) and "result" in answered else 1
            result = client.call(args.method, params)
    except ConfigError as exc:
        return _fail(2, str(exc))
    except NothingAnswered as exc:
        return _fail(3, str(exc))
    except RpcError as exc:
        return _fail(1, f"{exc.code} {exc.message}" + ("" if exc.data is None else f": {exc.data}"))
    except MalformedMessage as exc:
        return _fail(1, f"{client.url}: the answer is not JSON-RPC ({exc}): is this an MI?")
    put(_shown(result if isinstance(result, str) else json.dumps(result, indent=2, ensure_ascii=False)))
    return 0


def parameters(method: str, words: list[str], json_text: str | None) -> list[Any] | dict[str, Any] | None:
    """The call's ``params``. Raises ConfigError for what is no JSON array or object, or for both ways at once."""
    if json_text is None:
        named = [_NAMED.fullmatch(word) for word in words]
        if words and all(named):
            return {match[1]: match[2] for match in named if match is not None}
        return [words] if words and method in _OF_A_LIST else list(words)
    if words:
        raise ConfigError("give the parameters either by -j or as PARAMs")
    try:
        params = codec.parse(json_text)
    except MalformedMessage as exc:
        raise ConfigError(f"-j is not JSON: {exc}") from None
    if not isinstance(params, (list, dict)):
        raise ConfigError("-j: must be a JSON array or object")
    return params


def _fail(code: int, text: str) -> int:
    complain(f"janus-bridge mi: {_shown(text)}".replace("\n", " "))
    return code


def _shown(text: str) -> str:
    """Texts of Janus and its users end up in a terminal: no control character of theirs may. What is escaped stands
    inside a JSON string, where the escape means the same.
    """
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


DESCRIPTION = """
Calls an MI method of a running bridge, or of an OpenSIPS, and prints its result. PARAMs are given by position, or all
as NAME=VALUE.
"""
EPILOG = """
  janus-bridge mi which                         the methods
  janus-bridge mi which janus_send_request      the parameters of one
  janus-bridge mi janus_reload                  read the table again
  janus-bridge mi janus_send_request gw1 '{"janus": "info"}'
  janus-bridge mi event_subscribe event=E_JANUS_EVENT \\
    socket=udp:127.0.0.1:9999 expire=600
  janus-bridge mi get_statistics janus:
  janus-bridge mi --url unix:/run/janus-bridge/mi.sock uptime
  JANUS_BRIDGE_MI__TOKEN=secret janus-bridge mi janus_list \\
    --url https://sip1.example.org:8889/mi

Exit codes: 0 a result, 1 an MI error, 2 usage, 3 nothing answered.
"""
