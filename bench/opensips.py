"""The same command out of an OpenSIPS script: by the C module janus, and by rest_client through the bridge.

Owns the two scripts and the SIP caller. Only where OPENSIPS_BIN and OPENSIPS_MODULES name an OpenSIPS with the module.
A SIP request is one command: OPTIONS arrives, the script asks Janus whether a room exists, and replies. ``no command``
is the same without asking: what SIP itself takes.
"""

import os
import select
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.bed import Janus, attach
from bench.commands import percentiles
from bridge import resources
from tests.support.bridge import Bridge
from tests.support.ports import free_port
from tests.support.process import ChildProcess

BINARY, MODULES = os.environ.get("OPENSIPS_BIN", ""), os.environ.get("OPENSIPS_MODULES", "")
WORKERS = 8
CALLS, SECONDS = 500, 3.0

_HEAD = """
stderror_enabled = yes
syslog_enabled = no
log_level = 1
mpath = "{modules}/"
socket = udp:127.0.0.1:{port}
udp_workers = {workers}
loadmodule "proto_udp.so"
loadmodule "sl.so"
loadmodule "signaling.so"
loadmodule "json.so"
loadmodule "cfgutils.so"
modparam("json", "enable_long_quoting", 1)
"""
_MODULE = """
loadmodule "db_sqlite.so"
loadmodule "janus.so"
modparam("janus", "janus_db_url", "sqlite://{database}")
{polling}
route {{
  if ($rU == "nothing") {{ send_reply(200, "OK"); exit; }}
  if ($rU == "attach") {{
    janus_send_request("gw", "{{\\"janus\\": \\"attach\\", \\"plugin\\": \\"janus.plugin.videoroom\\"}}", $var(answer));
    $json(a) := $var(answer);
    $shv(handle) = $json(a/data/id);
    send_reply(200, "OK");
    exit;
  }}
  $var(command) = "{{\\"janus\\": \\"message\\", \\"handle_id\\": " + $shv(handle) + ", \\"body\\": {body}}}";
  if (janus_send_request("gw", $var(command), $var(answer))) send_reply(200, "OK");
  else send_reply(503, "No Answer");
}}
"""
_BRIDGE = """
loadmodule "rest_client.so"
route {{
  if ($rU == "nothing") {{ send_reply(200, "OK"); exit; }}
  $var(request) = "{{\\"jsonrpc\\": \\"2.0\\", \\"id\\": \\"1\\", \\"method\\": \\"janus_send_request\\", \\"params\\":
    [\\"gw\\", {{\\"janus\\": \\"message\\", \\"handle_id\\": \\"{handle}\\", \\"body\\": {body}}}]}}";
  if (rest_post("{url}", $var(request), "application/json", $var(answer)) && $var(answer) != NULL)
    send_reply(200, "OK");
  else send_reply(503, "No Answer");
}}
"""
_BODY = '{\\"request\\": \\"exists\\", \\"room\\": 1234}'


def available() -> bool:
    """Whether there is an OpenSIPS with the module."""
    return bool(BINARY) and all(
        (Path(MODULES) / f"{name}.so").exists() for name in ("janus", "db_sqlite", "rest_client")
    )


def measure(janus: Janus, bridge: Bridge, folder: Path) -> dict[str, dict[str, float]]:
    """Latency of one caller, and commands/s of as many callers as there are workers, by way."""
    database = folder / "opensips.db"
    connection = sqlite3.connect(database)
    connection.executescript(resources.path("sql/janus-create.sqlite.sql").read_text(encoding="utf-8"))
    connection.execute("INSERT INTO janus (janus_id, janus_url) VALUES ('gw', ?)", (janus.url,))
    connection.commit()
    connection.close()
    [handle] = attach(bridge, 1)
    quick = 'modparam("janus", "janus_cmd_polling_itv", 100)'
    scripts = {
        "module janus, default": _MODULE.format(database=database, polling="", body=_BODY),
        "module janus, polling every 100 us": _MODULE.format(database=database, polling=quick, body=_BODY),
        "rest_client through the bridge": _BRIDGE.format(url=bridge.mi_url, handle=handle, body=_BODY),
    }
    figures: dict[str, dict[str, float]] = {}
    for name, script in scripts.items():
        with _opensips(folder, script) as port:
            if "janus.so" in script:
                _until_attached(port)
            if not figures:
                figures["no command"] = _one(port, "nothing")
            many = _many(port, WORKERS)
            figures[name] = {**_one(port, "ask"), "per_second_8_callers": many}
    return figures


@contextmanager
def _opensips(folder: Path, script: str) -> Iterator[int]:
    port = free_port()
    config = folder / "opensips.cfg"
    config.write_text(_HEAD.format(modules=MODULES, port=port, workers=WORKERS) + script)
    process = ChildProcess([BINARY, "-F", "-m", "64", "-M", "8", "-f", str(config)], folder / "opensips.log")
    try:
        _await_reply(port, process)
        yield port
    finally:
        process.stop(5.0)


def _await_reply(port: int, process: ChildProcess) -> None:
    with _caller(port) as sock:
        for _ in range(200):
            sock.settimeout(0.1)
            try:
                _ask(sock, port, "nothing")
            except OSError:
                if process.exit_code is not None:
                    break
                time.sleep(0.05)
            else:
                return
    raise RuntimeError(f"OpenSIPS did not start:\n{process.output[-2000:]}")


def _until_attached(port: int) -> None:
    """The module connects some time after the start."""
    with _caller(port) as sock:
        sock.settimeout(20)
        for _ in range(20):
            if _ask(sock, port, "attach").startswith(b"SIP/2.0 200") and _ask(sock, port, "ask").startswith(
                b"SIP/2.0 200"
            ):
                return
            time.sleep(0.5)
    raise RuntimeError("the module janus gave no handle")


@contextmanager
def _caller(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(("127.0.0.1", port))
        sock.settimeout(10)
        yield sock


def _options(sock: socket.socket, port: int, user: str) -> bytes:
    """One OPTIONS; its branch makes it unlike the one before."""
    host, own = sock.getsockname()
    mark = f"{own}-{time.perf_counter_ns()}"
    return (
        f"OPTIONS sip:{user}@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{own};branch=z9hG4bK{mark}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:a@{host}>;tag={mark}\r\nTo: <sip:{user}@127.0.0.1>\r\nCall-ID: {mark}\r\n"
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def _ask(sock: socket.socket, port: int, user: str) -> bytes:
    sock.send(_options(sock, port, user))
    return sock.recv(65_535)


def _one(port: int, user: str) -> dict[str, float]:
    with _caller(port) as sock:
        times = []
        for _ in range(CALLS):
            begun = time.perf_counter()
            answer = _ask(sock, port, user)
            times.append(time.perf_counter() - begun)
            assert answer.startswith(b"SIP/2.0 200"), answer
    return percentiles(times)


def _many(port: int, callers: int) -> float:
    """Each caller sends its next request when it has its reply."""
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(callers)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
        sock.connect(("127.0.0.1", port))
        sock.send(_options(sock, port, "ask"))
    replies, end = 0, time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        for sock in select.select(socks, [], [], 1.0)[0]:
            assert sock.recv(65_535).startswith(b"SIP/2.0 200")
            replies += 1
            sock.send(_options(sock, port, "ask"))
    for sock in socks:
        sock.close()
    return round(replies / SECONDS)
