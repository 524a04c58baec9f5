"""``make bench``: measures, prints tables with ratios, keeps the figures with the machine's description.

ONLY=commands,opensips,... measures these parts alone (PARTS); COMPARE=FILE prints the change against an earlier run.
The figures of one run belong together: ways alternate, so that a busy machine is busy for all of them.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import trio

from bench import bed, cluster, commands, events, instructions, janus_direct, lag, machine, opensips, scale
from bench.bed import Janus, running
from tests.support.ports import free_port

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Measure what ONLY names, or everything."""
    only = os.environ.get("ONLY", ",".join(PARTS)).split(",")
    if unknown := set(only) - set(PARTS):
        print(f"ONLY={','.join(unknown)}: the parts are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    figures: dict[str, Any] = {"machine": machine.describe(), "at": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    print(json.dumps(figures["machine"], indent=2))
    with tempfile.TemporaryDirectory(prefix="bench-") as name, Janus() as janus:
        for part in only:
            folder = Path(name, part)
            folder.mkdir()
            figures[part] = PARTS[part](janus, folder)
    figures["machine"]["load_after"] = f"{os.getloadavg()[0]:.2f}"
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\nkept in bench/results/{path.name}")
    if "COMPARE" in os.environ:
        _compare(json.loads(Path(os.environ["COMPARE"]).read_text()), figures)
    return 0


def _commands(janus: Janus, folder: Path) -> dict[str, Any]:
    with bed.programs(janus, folder) as programs:
        one = commands.one_caller(janus, programs, folder)
        _print("one caller, videoroom exists", one)
        many = commands.many_callers(programs, folder)
        many["trio-websocket, 64 pipelined"] = {"per_second": round(trio.run(janus_direct.pipelined, janus))}
        _print("many callers over HTTP", many)
    return {"one": one, "many": many}


def _opensips(janus: Janus, folder: Path) -> dict[str, Any]:
    if not opensips.available():
        print("\nno OpenSIPS with the module janus: OPENSIPS_BIN and OPENSIPS_MODULES name one")
        return {}
    with bed.programs(janus, folder) as programs:
        figures = opensips.measure(janus, programs, folder)
    _print("out of an OpenSIPS script", figures)
    return figures


def _events(janus: Janus, folder: Path) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for build, program in bed.builds().items():
        for kind in ("udp", "mi:udp"):
            name = f"{build}-{kind}".replace(":", "-")
            with events.subscriber(answers=kind == "mi:udp") as (port, reports):
                options = {"events.subscribers": [{"event": "E_JANUS_EVENT", "socket": f"{kind}:127.0.0.1:{port}"}]}
                with running(folder / name, {"gw": janus.url}, program, **options) as bridge:
                    figures[f"{build}: burst to {kind}"] = events.burst(bridge, reports)
            port = free_port()
            options = {"events.subscribers": [{"event": "E_JANUS_EVENT", "socket": f"{kind}:127.0.0.1:{port}"}]}
            with running(folder / f"latency-{name}", {"gw": janus.url}, program, **options) as bridge:
                rows = trio.run(partial(events.latency, janus, bridge, port, answers=kind == "mi:udp"))
            figures |= {f"{build}: latency to {kind}, {way}": row for way, row in rows.items()}
    _print("events", figures)
    return figures


def _kept(janus: Janus, folder: Path) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for build, program in bed.builds().items():
        for sync in ("off", "normal", "full"):
            state = folder / f"state-{build}-{sync}"
            store = {} if sync == "off" else {"events.store": True, "events.store_sync": sync}
            with events.subscriber(answers=False) as (port, reports):
                subscribers = [{"event": "E_JANUS_EVENT", "socket": f"udp:127.0.0.1:{port}"}]
                options = {"events.subscribers": subscribers, "state.dir": str(state), **store}
                with running(folder / f"{build}-{sync}", {"gw": janus.url}, program, **options) as bridge:
                    figures[f"{build}: store {sync}"] = events.kept(bridge, state, reports)
    _print("a burst to udp, kept on disk", figures)
    return figures


def _lag(_: Janus, folder: Path) -> dict[str, Any]:
    figures = lag.cases(folder)
    _print("a lone caller beside", figures)
    return figures


def _scale(janus: Janus, folder: Path) -> dict[str, Any]:
    figures = {str(count): scale.many_gateways(janus, folder, count) for count in (1, 100, 1000)}
    _print("gateways in one process", figures)
    return figures


def _processes(janus: Janus, folder: Path) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for build, program in bed.builds().items():
        (folder / build).mkdir()
        figures[build] = scale.many_processes(janus, program, folder / build)
        _print(f"{build}: {scale.CALLERS} callers on as many processes", figures[build])
    return figures


def _cluster(janus: Janus, folder: Path) -> dict[str, Any]:
    figures = {
        "hop": cluster.hop(janus, folder / "hop"),
        "hand_overs": cluster.hand_overs(janus, folder / "hand-overs"),
        "database": cluster.database(janus, folder / "database"),
        "take_overs": cluster.take_overs(folder),
    }
    for title, rows in figures.items():
        _print(title.replace("_", "-"), rows)
    return figures


def _instructions(janus: Janus, folder: Path) -> dict[str, Any]:
    figures = instructions.of_a_command(janus, folder)
    _print("instructions of one command, in user space", figures)
    return figures


PARTS: dict[str, Callable[[Janus, Path], dict[str, Any]]] = {
    "opensips": _opensips,
    "commands": _commands,
    "events": _events,
    "kept": _kept,
    "lag": _lag,
    "scale": _scale,
    "processes": _processes,
    "cluster": _cluster,
    "instructions": _instructions,
}


def _print(title: str, rows: dict[Any, dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [
        [title, *columns],
        *([str(name), *(str(row.get(column, "")) for column in columns)] for name, row in rows.items()),
    ]
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    print()
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), flush=True)


def _compare(before: Any, now: Any) -> None:
    print("\nchange against the earlier run (1.00: the same)")
    earlier = dict(_leaves(before))
    for path, value in _leaves(now):
        old = earlier.get(path)
        if isinstance(value, int | float) and isinstance(old, int | float) and old and path[0] != "machine":
            print(f"  {' / '.join(path):60} {old:>10} -> {value:>10}  {value / old:.2f}")


def _leaves(figures: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(figures, dict):
        for key, value in figures.items():
            yield from _leaves(value, (*path, str(key)))
    else:
        yield path, figures


if __name__ == "__main__":
    sys.exit(main())
