"""An Event Interface whose sockets are in memory."""

import json
from typing import Any

import trio

from bridge.core.event_sender import QueueLimits
from bridge.core.evi import EventInterface
from bridge.core.stats import Stats
from bridge.protocol.event_delivery import NotSent, Parcel
from bridge.protocol.reply_socket import ReplySocket

START = 1_800_000_000
EPOCH = 7
URL = "janusws://h:8188/janus"


class MemorySender:
    """Keeps what it gets; ``up`` False: nobody is there."""

    def __init__(self) -> None:
        self.up = True
        self.closed = False
        self.payloads: list[bytes] = []

    def try_send(self, parcel: Parcel) -> bool:
        if self.up:
            self.payloads.append(parcel.payload)
        return self.up

    async def send(self, parcel: Parcel, patience: float) -> None:
        await trio.lowlevel.checkpoint()
        if not self.try_send(parcel):
            raise NotSent("cannot be reached")

    def close(self) -> None:
        self.closed = True

    def params(self) -> list[Any]:
        """The events' parameters, whatever their envelope."""
        found = [json.loads(payload)["params"] for payload in self.payloads]
        return [json.loads(item[1]) if isinstance(item, list) and item[0].startswith("E_") else item for item in found]

    def bodies(self) -> list[Any]:
        return [json.loads(item["janus_body"])["n"] for item in self.params() if "janus_body" in item]


class EviBed:
    """An EventInterface whose sockets are in memory and whose wall clock is the loop's."""

    def __init__(self, pending_bytes: int = 2**28, *, numbered: bool = False, **limits: Any) -> None:
        self.senders: dict[ReplySocket, list[MemorySender]] = {}
        self.stats = Stats()
        self.evi = EventInterface(
            self.open, self.stats, QueueLimits(**limits), self.now, pending_bytes, EPOCH, numbered
        )

    def now(self) -> float:
        try:
            return START + trio.current_time()
        except RuntimeError:
            return START

    def open(self, socket: ReplySocket) -> MemorySender:
        self.senders.setdefault(socket, []).append(MemorySender())
        return self.senders[socket][-1]

    def __getitem__(self, socket: ReplySocket) -> MemorySender:
        (only,) = self.senders[socket]
        return only

    def janus(self, *numbers: int, janus_id: str = "g1") -> None:
        for number in numbers:
            self.evi.gateway_event(janus_id, URL, f'{{"n":{number}}}')

    async def settled(self) -> None:
        await self.evi.drain(trio.current_time() + 10)


async def running(nursery: trio.Nursery, **limits: Any) -> EviBed:
    bed = EviBed(**limits)
    await nursery.start(bed.evi.run)
    return bed
