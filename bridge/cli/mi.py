"""``janus-bridge mi METHOD [PARAM ...]``: call a method of a running bridge (or of OpenSIPS) and print the result.

Owns the arguments, what is printed and the exit code: 0 a result, 1 an MI error, 2 usage, 3 nothing answered.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from bridge.errors import ConfigError, MalformedMessage
from bridge.protocol import codec
from bridge.protocol.jsonrpc import RpcError
from bridge.transport.mi_client import DEFAULT_URL, MiClient, NothingAnswered

TOKEN_VARIABLE = "JANUS_BRIDGE_MI__TOKEN"  # the one that sets [mi].token of the service
_LONGEST = 3600  # s; a Janus command has at most 600

_NAMED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
# Methods whose one parameter is a list: their PARAMs are its items.
_OF_A_LIST = frozenset(
    spelling for verb in ("get", "list", "reset") for spelling in (f"{verb}_statistics", f"statistics:{verb}")
)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand ``mi``; its ``run`` stands in the parsed arguments."""
    parser = subparsers.add_parser(
        "mi",
        help="call an MI method of a running bridge",
        description="Call an MI method. PARAMs are given by position, or all as NAME=VALUE.",
    )
    parser.add_argument("method", metavar="METHOD", help="e.g. janus_list; `which` lists them")
    parser.add_argument("params", metavar="PARAM", nargs="*")
    add_connection_arguments(parser)
    parser.add_argument("-j", dest="json_params", metavar="JSON", help="the parameters as a JSON array or object")
    parser.add_argument("--json", action="store_true", help="print the JSON-RPC answer as it came")
    parser.set_defaults(run=run)


def add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """--url, --token, --ca, --timeout: where the MI is; ``connect`` reads them."""
    parser.add_argument(
        "--url", default=DEFAULT_URL, help="http(s)://HOST:PORT/mi, udp:HOST:PORT or unix:PATH (default: %(default)s)"
    )
    parser.add_argument("--token", help=f"for an MI that wants one; better in {TOKEN_VARIABLE}, which nobody else sees")
    parser.add_argument("--ca", metavar="FILE", help="PEM file with the CA to trust, for https")
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="SECONDS", help="for the answer (default: %(default)g)"
    )


def connect(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> MiClient:
    """The client that the connection arguments describe. Raises ConfigError."""
    if not 0 < args.timeout <= _LONGEST:
        raise ConfigError(f"--timeout {args.timeout:g}: not above 0 and up to {_LONGEST}")
    token = args.token if args.token is not None else environ.get(TOKEN_VARIABLE)
    return MiClient(args.url, token=token, ca=args.ca, timeout=args.timeout)


def run(args: argparse.Namespace) -> int:
    """Call, print, and return the exit code (contract 2)."""
    try:
        params = parameters(args.method, args.params, args.json_params)
        client = connect(args)
        if args.json:
            answer = client.ask(args.method, params)
            _print(answer)
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
        return _fail(1, f"{args.url} answered with something else than JSON-RPC: {exc}")
    _print(result if isinstance(result, str) else json.dumps(result, indent=2, ensure_ascii=False))
    return 0


def parameters(method: str, words: list[str], json_text: str | None) -> list[Any] | dict[str, Any] | None:
    """The call's ``params``. Raises ConfigError for what is no JSON array or object, or for both ways at once."""
    if json_text is None:
        named = [_NAMED.fullmatch(word) for word in words]
        if words and all(named):
            return {match[1]: match[2] for match in named if match is not None}
        return [words] if words and method in _OF_A_LIST else list(words)
    if words:
        raise ConfigError("-j and PARAMs exclude each other")
    try:
        params = codec.parse(json_text)
    except MalformedMessage as exc:
        raise ConfigError(f"-j: {exc}") from None
    if not isinstance(params, (list, dict)):
        raise ConfigError("-j: neither a JSON array nor an object")
    return params


def _fail(code: int, text: str) -> int:
    _print(f"janus-bridge mi: {text}".replace("\n", " "), sys.stderr)
    return code


def _print(text: str, stream: TextIO | None = None) -> None:
    # Texts of Janus and its users end up in a terminal: no control character of theirs may. What is escaped stands
    # inside a JSON string, where the escape means the same.
    stream = stream or sys.stdout
    shown = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    encoding = stream.encoding or "utf-8"
    stream.write(shown.encode(encoding, "backslashreplace").decode(encoding) + "\n")
