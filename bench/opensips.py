"""The same command out of an OpenSIPS script: by rest_client through each program, and by the C module janus.

Owns the scripts and the rounds. A SIP request is one command: OPTIONS arrives, the script asks Janus whether a room
exists on the handle that the request's user part names, and replies. ``nothing`` is the same without asking: what SIP
itself takes. All ways alternate, round by round, so that a busy machine is busy for all of them; ratios are made within
a round.
"""

import sqlite3
import statistics
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench import sip
from bench.bed import FLOOR, Janus, Program, attach
from bridge import resources

ROUNDS, CALLS, SECONDS = 7, 150, 1.0

_ROUTE = """
route {{
  if ($rU == "nothing") {{ send_reply(200, "OK"); exit; }}
  {ask}
}}
"""
_MODULE = (
    """
loadmodule "db_sqlite.so"
loadmodule "janus.so"
modparam("janus", "janus_db_url", "sqlite://{database}")
{polling}
"""
    + _ROUTE
)
_ASK_MODULE = """
  if ($rU == "attach") {
    janus_send_request("gw", "{\\"janus\\": \\"attach\\", \\"plugin\\": \\"janus.plugin.videoroom\\"}", $var(answer));
    $json(a) := $var(answer);
    if ($json(a/data/id) == NULL) send_reply(503, "No Answer"); else send_reply(200, "$json(a/data/id)");
    exit;
  }
  $var(command) = "{\\"janus\\": \\"message\\", \\"handle_id\\": " + $rU + ", \\"body\\": BODY}";
  if (janus_send_request("gw", $var(command), $var(answer))) send_reply(200, "OK");
  else send_reply(503, "No Answer");
"""
_REST = (
    """
loadmodule "rest_client.so"
"""
    + _ROUTE
)
_ASK_REST = """
  $var(request) = "{\\"jsonrpc\\": \\"2.0\\", \\"id\\": \\"1\\", \\"method\\": \\"janus_send_request\\", \\"params\\":
    [\\"gw\\", {\\"janus\\": \\"message\\", \\"handle_id\\": \\"" + $rU + "\\", \\"body\\": BODY}]}";
  if (rest_post("URL", $var(request), "application/json", $var(answer)) && $var(answer) != NULL)
    send_reply(200, "OK");
  else send_reply(503, "No Answer");
"""
_BODY = '{\\"request\\": \\"exists\\", \\"room\\": 1234}'
_QUICK = 'modparam("janus", "janus_cmd_polling_itv", 100)'


def available() -> bool:
    """Whether there is an OpenSIPS with what both scripts need."""
    return sip.has_modules("janus", "db_sqlite", "rest_client")


def measure(janus: Janus, programs: Mapping[str, Program], folder: Path) -> dict[str, dict[str, float]]:
    """By way: milliseconds of one caller; commands/s of a caller a worker, on a handle each and all on one; ratios."""
    database = folder / "opensips.db"
    with sqlite3.connect(database) as connection:
        connection.executescript(resources.path("sql/janus-create.sqlite.sql").read_text(encoding="utf-8"))
        connection.execute("INSERT INTO janus (janus_id, janus_url) VALUES ('gw', ?)", (janus.url,))
    connection.close()
    ask = _ASK_MODULE.replace("BODY", _BODY)
    scripts = {
        name: _REST.format(ask=_ASK_REST.replace("BODY", _BODY).replace("URL", program.mi_url))
        for name, program in programs.items()
    }
    for name, polling in {"module janus, default": "", "module janus, polling every 100 us": _QUICK}.items():
        scripts[name] = _MODULE.format(database=database, polling=polling, ask=ask)
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(sip.SipServer(folder, f"opensips-{number}", script))
            for number, (name, script) in enumerate(scripts.items())
        }
        handles = {
            name: attach(programs[name], sip.WORKERS) if name in programs else server.attach(sip.WORKERS)
            for name, server in servers.items()
        }
        rounds = [
            {name: _round(server, handles[name], programs.get(name)) for name, server in servers.items()}
            for _ in range(ROUNDS)
        ]
        nothing = statistics.median(next(iter(servers.values())).one("nothing", CALLS))
    return {"no command": {"p50_ms": round(nothing * 1000, 4)}} | {name: _summary(rounds, name) for name in servers}


def _round(server: sip.SipServer, handles: list[str], program: Program | None) -> dict[str, float]:
    used = 0.0 if program is None else program.cpu_seconds()
    each = server.many(handles, SECONDS)
    used = 0.0 if program is None else program.cpu_seconds() - used
    return {
        "p50_ms": statistics.median(server.one(handles[0], CALLS)) * 1000,
        "per_second": each,
        "one_handle_per_second": server.many([handles[0]] * len(handles), SECONDS),
        "cpu_us": used / (each * SECONDS) * 1e6,
    }


def _summary(rounds: list[dict[str, dict[str, float]]], name: str) -> dict[str, float]:
    """Medians of all rounds; ``to_*``: the median of the ratios that each round gives."""

    def median(figure: str) -> float:
        return statistics.median(one[name][figure] for one in rounds)

    def ratio(figure: str, other: str) -> float:
        return round(statistics.median(one[name][figure] / one[other][figure] for one in rounds), 2)

    row = {"p50_ms": round(median("p50_ms"), 3), "to_floor": ratio("p50_ms", FLOOR)}
    row |= {"8_workers_per_second": round(median("per_second")), "8_to_floor": ratio("per_second", FLOOR)}
    row |= {"one_handle_per_second": round(median("one_handle_per_second"))}
    row |= {"one_handle_to_floor": ratio("one_handle_per_second", FLOOR)}
    if cpu := median("cpu_us"):
        row["cpu_us"] = round(cpu)
    return row
