"""Random runs from a seed: commands, events, faults and reloads against a running bridge, held against the ledger.

Owns requests, and when a round is over; what else may happen is in ``steps``. The short runs of ``test_runs.py`` and
the soak share both. The seed decides every step; what the machine makes of their timing is its own.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.protocol.snapshot import OUTCOMES
from tests.model import caller
from tests.model.ledger import EXPECTED, SHORT, Asked, Ledger
from tests.model.running import RunningBridge
from tests.model.site import Place, Site
from tests.support.deadlines import HANG_SECONDS

HANDLES = 12
TIMEOUT = 60_000  # ms; more than any wait behind silent ones in a lane, on a busy machine too
SETTLE_SECONDS = HANG_SECONDS


class Driver:
    """Begins, asks. Requests run in ``nursery``; ``settle`` ends a round and looks at everything."""

    def __init__(self, site: Site, running: RunningBridge, ledger: Ledger, nursery: trio.Nursery) -> None:
        self.site, self.running, self.ledger = site, running, ledger
        self._nursery = nursery
        self._numbers = count(1)
        self._running = 0
        self._ended = AutoResetEvent()  # something that was started
        self._start: dict[str, int] = {}
        self._remains: dict[str, int] = {}
        self._unready: Counter[str] = Counter()  # what was wanting, and how often that was seen

    async def begin(self) -> None:
        """Wait until everything is ready, and note how that looks."""
        await self._ready()
        for place in self.site.places:
            await self.ask(place, "echo")
            await self.ask(place, "echo", datagram=True)
        self._start = await self.statistics()
        self.ledger.outcomes.clear()
        self.ledger.received = 0
        self._remains = self.running.remains()
        # The connections of what was just asked are still being closed, at the other side too, and the count of a
        # process's descriptors tells nobody when it falls: /proc has no inotify.
        for _ in range(20):
            await trio.sleep(0.02)
            self._remains = {name: min(count, self._remains[name]) for name, count in self.running.remains().items()}

    async def mi(self, method: str, *params: Any) -> Any:
        """An MI method; the whole answer."""
        return await caller.ask_http(self.running.mi_url, caller.request_bytes(method, list(params), 1))

    async def statistics(self) -> dict[str, int]:
        """Counters and gauges by name."""
        result = (await self.mi("get_statistics", ["all"]))["result"]
        return {name.partition(":")[2]: value for name, value in result.items() if name.startswith("janus:")}

    # Requests

    async def ask(
        self,
        place: Place,
        does: str,
        *,
        handle: int = 1,
        timeout: int = TIMEOUT,
        datagram: bool = False,
        client: caller.KeptAlive | None = None,
    ) -> None:
        """One plugin message, to its outcome."""
        number = next(self._numbers)
        asked = Asked(number, place.name, does, place.epoch)
        body = caller.request_bytes("janus_send_request", _command(place, number, does, handle, timeout), number)
        self.ledger.ask(asked)
        if client is not None:
            answer = await client.ask(body)
        elif datagram:
            answer = await caller.ask_datagram(self.running.datagram, body)
        else:
            answer = await caller.ask_http(self.running.mi_url, body)
        if answer.get("id") != number:
            self.ledger.fault(f"{asked}: the answer has another id: {answer}")
        self.ledger.answer(asked, answer, place.epoch)

    def start(self, function: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Run something beside the steps; a round is not over before it is."""
        self._running += 1
        self._nursery.start_soon(self._run, function, arguments)

    async def _run(self, function: Callable[..., Awaitable[None]], arguments: Sequence[Any]) -> None:
        try:
            await function(*arguments)
        finally:
            self._running -= 1
            self._ended.set()

    def ask_many(self, place: Place, detail: random.Random) -> None:
        """Some requests at once, of all kinds."""
        for _ in range(detail.randint(1, 25)):
            does = detail.choice(list(EXPECTED))
            self.start(self._ask_randomly, place, does, random.Random(detail.random()))

    async def _ask_randomly(self, place: Place, does: str, detail: random.Random) -> None:
        timeout = detail.randint(20, 150) if does in SHORT else TIMEOUT
        handle, datagram = detail.randint(1, HANDLES), detail.random() < 0.2
        await self.ask(place, does, handle=handle, timeout=timeout, datagram=datagram)

    async def ask_unwaited(self, place: Place, does: str, leave: bool) -> None:
        """A caller who leaves at once, or a notification."""
        number = next(self._numbers)
        self.ledger.unwaited += 1
        params = _command(place, number, does, 1 + number % HANDLES, 200)
        body = caller.request_bytes("janus_send_request", params, number if leave else None)
        if leave:
            await caller.leave_http(self.running.mi_url, body)
        elif await caller.ask_http(self.running.mi_url, body) is not None:
            self.ledger.fault(f"notification {number} was answered")

    # The end of a round

    async def settle(self) -> None:
        """Heal everything, wait until nothing is to be done, and compare with the model."""
        self.site.hear()
        for place in self.site.places:
            await place.heal()
        self.site.write_table()
        await self.mi("janus_reload")
        self._unready.clear()
        began, waited = trio.current_time(), "the requests"
        try:
            with trio.fail_after(SETTLE_SECONDS):
                while self._running:
                    await self._ended.wait()
                waited += f", {trio.current_time() - began:.1f} s, the gateways"
                await self._ready()
                waited += f", {trio.current_time() - began:.1f} s, the events owed"
                while self.ledger.owed({place.name: place.epoch for place in self.site.places}):
                    await self.ledger.heard.wait()
                waited += f", {trio.current_time() - began:.1f} s, a balance"
                await self._balanced()
        except trio.TooSlowError:
            self.ledger.fault(f"not at rest after {SETTLE_SECONDS:g} s: {await self._state()}; waited for {waited}")
        self.ledger.close_round()
        self.ledger.balance(self._start, await self.statistics(), tuple(OUTCOMES))
        for place in self.site.places:
            place.forget_records()
            place.calm()

    async def _ready(self) -> None:
        """Every gateway is connected over one connection that works, with a session that its Janus knows."""
        for place in self.site.places:
            while not await self._is_ready(place):  # noqa: ASYNC110 - as a monitor asks: a keepalive's answer, the end
                await trio.sleep(0.02)  # of a connection and that of the last command are no events

    async def _is_ready(self, place: Place) -> bool:
        (row,) = (await self.mi("janus_list", place.name))["result"]["Gateways"]
        managed = any(session["managed"] for session in row["sessions"])
        wanting = ""
        if row["state"] != "ready" or row["in_flight"] or not managed:
            wanting = f"{row['state']} ({row['last_error']}), {row['in_flight']} in flight, managed session: {managed}"
        elif place.relay.open_connections != 1 or place.fake.peer.closed.is_set():
            wanting = (
                f"{place.relay.open_connections} connections, one of them open: {not place.fake.peer.closed.is_set()}"
            )
        elif not await self._probe(place):
            wanting = "no answer to a probe"
        if wanting:
            self._unready[f"{place.name}: {wanting}"] += 1
        return not wanting

    async def _probe(self, place: Place) -> bool:
        command = {"janus": "message", "handle_id": 1, "body": {"number": 0, "does": "echo"}}
        answer = await self.mi("janus_send_request", place.name, command, 200)
        self.ledger.seen.pop(0, None)
        self.ledger.unwaited += 1
        return bool(answer.get("result", {}).get("janus") == "success")

    async def _balanced(self) -> None:
        while True:
            # A request of ours is open for a moment after its answer: look before the next. Counters and descriptors
            # tell nobody that they have settled, and to ask more often would keep them from it.
            await trio.sleep(0.05)
            left = any(count > self._remains[name] for name, count in self.running.remains().items())
            now = await self.statistics()
            arrived = now["events_sent"] - self._start["events_sent"] == self.ledger.received
            if now["queue_events"] == now["in_flight"] == 0 and arrived and not left:
                return

    async def _state(self) -> dict[str, Any]:
        now = await self.statistics()
        figures = {name: now[name] for name in ("queue_events", "in_flight", "events_sent", "gateways_ready")}
        relays = {place.name: place.relay.open_connections for place in self.site.places}
        owed = self.ledger.owed({place.name: place.epoch for place in self.site.places})
        return {
            "requests": self._running,
            "events owed": owed,
            "received": self.ledger.received,
            "connections": relays,
            "at the start": self._remains,
            "now": self.running.remains(),
            "not ready, times looked": dict(self._unready),
            **figures,
        }


def _command(place: Place, number: int, does: str, handle: int, timeout: int) -> list[Any]:
    body = {"number": number, "does": does}
    command = {"janus": "message", "transaction": f"t{number}", "handle_id": handle, "body": body}
    return [place.name, command, timeout]
