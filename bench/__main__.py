"""``make bench``: measures, prints a table with ratios, keeps the figures with the machine's description.

COMPARE=FILE prints the change against an earlier run; ONLY=commands,events,scale leaves parts out, and
ONLY=instructions (with valgrind) counts what no busy machine can change. The figures of one run belong together: ways
alternate, so that a busy machine is busy for all of them.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import trio

from bench import commands, events, instructions, machine, opensips, scale
from bench.bed import Janus, running
from tests.support.ports import free_port

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Measure what ONLY names, or everything."""
    only = set(os.environ.get("ONLY", "commands,events,scale").split(","))
    figures: dict[str, Any] = {"machine": machine.describe(), "at": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    print(json.dumps(figures["machine"], indent=2))
    with tempfile.TemporaryDirectory(prefix="bench-") as name, Janus() as janus:
        folder = Path(name)
        if "commands" in only:
            figures["commands"] = _commands(janus, folder)
        if "events" in only:
            figures["events"] = _events(janus, folder)
        if "instructions" in only:
            figures["instructions"] = instructions.of_a_command(janus, folder)
            _print("instructions of one command, in user space", figures["instructions"])
        if "scale" in only:
            figures["scale"] = {count: scale.many_gateways(janus, folder, count) for count in (1, 100, 1000)}
            _print("gateways", figures["scale"])
    figures["machine"]["load_after"] = f"{os.getloadavg()[0]:.2f}"
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\nkept in bench/results/{path.name}")
    if "COMPARE" in os.environ:
        _compare(json.loads(Path(os.environ["COMPARE"]).read_text()), figures)
    return 0


def _commands(janus: Janus, folder: Path) -> dict[str, Any]:
    options = {"mi.datagram": ["udp:127.0.0.1:" + str(free_port()), f"unix:{folder}/mi.sock"]}
    with running(folder / "commands", {"gw": janus.url}, **options) as bridge:
        one = commands.one_caller(janus, bridge, folder)
        base = one["trio-websocket"]["p50_ms"]
        for row in one.values():
            row["to_trio_websocket"] = round(row["p50_ms"] / base, 2)
        _print("one caller, videoroom exists", one)
        added = one["bridge, http"]["p50_ms"] - base
        print(f"added by the bridge through HTTP, at the median: {added:.3f} ms")
        many: dict[str, Any] = {}
        for callers, handles in ((1, 1), (2, 16), (8, 1), (8, 16), (64, 1), (64, 16)):  # 2: about half load
            many[f"{callers} callers, {handles} handles"] = commands.many_callers(bridge, folder, callers, handles)
        many["trio-websocket, 64 pipelined"] = {"per_second": round(trio.run(commands.pipelined, janus))}
        _print("many callers over HTTP", many)
        figures: dict[str, Any] = {"one": one, "many": many, "added_ms": round(added, 4)}
        if opensips.available():
            figures["opensips"] = opensips.measure(janus, bridge, folder)
            _print("out of an OpenSIPS script", figures["opensips"])
        else:
            print("\nno OpenSIPS with the module janus: OPENSIPS_BIN and OPENSIPS_MODULES name one")
        return figures


def _events(janus: Janus, folder: Path) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for kind in ("udp", "mi:udp"):
        with events.subscriber(answers=kind == "mi:udp") as (port, reports):
            subscribers = [{"event": "E_JANUS_EVENT", "socket": f"{kind}:127.0.0.1:{port}"}]
            name = kind.replace(":", "-")
            with running(folder / name, {"gw": janus.url}, **{"events.subscribers": subscribers}) as bridge:
                figures[f"burst to {kind}"] = events.burst(bridge, reports)
    for kind in ("udp", "mi:udp"):
        port = free_port()
        subscribers = [{"event": "E_JANUS_EVENT", "socket": f"{kind}:127.0.0.1:{port}"}]
        name = "latency-" + kind.replace(":", "-")
        with running(folder / name, {"gw": janus.url}, **{"events.subscribers": subscribers}) as bridge:
            rows = trio.run(partial(events.latency, janus, bridge, port, answers=kind == "mi:udp"))
        figures |= {f"latency to {kind}, {way}": row for way, row in rows.items()}
    _print("events", figures)
    return figures


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
