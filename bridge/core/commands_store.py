"""The MI methods of the log of events: event_replay, event_store_list.

Owns their parameters, shapes and errors. Must not know files, or who delivers events. Authority: contract 12.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bridge.core.event_log_writer import LogWriter
from bridge.core.mi import Command, MiRequest
from bridge.protocol import codec
from bridge.protocol.caller import Role
from bridge.protocol.event_record import SEQ_FORM, EventRecord, StoreFailed, read_seq
from bridge.protocol.jsonrpc import RpcError
from bridge.protocol.recipe import Parameter, bad_type, invalid_params

MOST = 1000  # events in one answer
FEW = 100  # where nothing is said


def store_commands(writer: LogWriter | None) -> tuple[Command, ...]:
    """``writer`` of the log; None where there is none: they say so."""
    methods = _StoreMethods(writer)
    asked = Parameter("janus_id", "string"), Parameter("from_seq", "string")
    return (
        Command(
            "event_replay",
            "evi:replay",
            (asked, (*asked, Parameter("limit", "int"))),
            methods.replay,
            "Lists the kept events of a gateway from a janus_seq on, how many are missing among them, and the next seq "
            "to ask for. Parameters: janus_id; from_seq; limit, 100 unless given, at most 1000.",
            "evi",
            Role.COMMANDS,
        ),
        Command(
            "event_store_list",
            "evi:store",
            ((),),
            methods.list,
            "Lists what the log of events has: its size, each gateway's first and last janus_seq, and its subscribers.",
            "evi",
            Role.READ_ONLY,
        ),
    )


@dataclass(frozen=True, slots=True)
class _StoreMethods:
    writer: LogWriter | None

    async def replay(self, call: MiRequest) -> Any:
        janus_id = call.arguments["janus_id"]
        start = read_seq(call.arguments["from_seq"])
        if start is None:
            raise bad_type("from_seq", SEQ_FORM)
        limit = call.arguments.get("limit", FEW)
        if not 1 <= limit <= MOST:
            raise invalid_params(f"limit is from 1 to {MOST}")
        writer = self._kept()
        try:
            records = await writer.store.replay(janus_id, *start, limit)
        except StoreFailed as exc:
            raise RpcError(500, "Events cannot be read", str(exc)) from None
        lost, following = _missing(start, records)
        seq = f"{following[0]}-{following[1]}"
        return {"janus_id": janus_id, "Events": [_shown(one) for one in records], "lost": lost, "next": seq}

    async def list(self, call: MiRequest) -> Any:
        writer = self._kept()
        figures = writer.figures()
        try:
            gateways = await writer.store.gateways()
        except StoreFailed as exc:
            raise RpcError(500, "Events cannot be read", str(exc)) from None
        return {
            "Store": {
                "events": figures.events,
                "bytes": figures.bytes,
                "waiting": figures.waiting,
                "oldest_s": int(figures.oldest),
                "commit_ms": round(figures.commit * 1000, 1),
                "trouble": figures.trouble,
            },
            "Gateways": [
                {"janus_id": janus_id, "first": first.seq, "last": last.seq} for janus_id, first, last in gateways
            ],
            "Subscribers": [
                {"subscriber": one.name, "behind": one.events, "position": one.position}
                for one in writer.events.outlets.values()
            ],
        }

    def _kept(self) -> LogWriter:
        if self.writer is None:
            raise RpcError(503, "Events are not kept", "[events] store is false, or the log cannot be opened")
        return self.writer


def _missing(start: tuple[int, int], records: list[EventRecord]) -> tuple[int, tuple[int, int]]:
    """How many numbers are missing from ``start`` to the last of these, and the number behind that."""
    epoch, n = start
    lost = 0
    for record in records:
        if record.epoch != epoch:
            epoch, n = record.epoch, 1
        lost += max(0, record.n - max(n, 1))
        n = record.n + 1
    return lost, (epoch, n)


def _shown(record: EventRecord) -> codec.JsonObject:
    time = datetime.fromtimestamp(record.at, UTC).isoformat(timespec="milliseconds")
    return {"janus_seq": record.seq, "time": time, "name": record.name, "params": dict(record.params)}
