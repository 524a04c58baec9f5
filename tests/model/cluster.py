"""Two bridges of a cluster, a real Janus and a real Galera, and what is known of them: requests, series of events.

Owns the rules. A request has one outcome; what was called unsent was not executed, and nothing was executed twice; an
undisturbed one is answered. Events of a series come in order, once, and what is missing was told. Must not know what
befalls whom (``cluster_steps``). Authority: contract 11, 5.5, 7.2.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import trio

from tests.support.bridge import Bridge
from tests.support.bridge_cluster import ClusterBed, Listener, answered, attach, lives, says, was_refused, written
from tests.support.deadlines import HANG_SECONDS
from tests.support.galera import Galera
from tests.support.mi_client import MiError

UNSENT = {"503", "refused"}
HONEST = {"result", "502", "503", "408", "refused", "gone"}
_POLL_SECONDS = 0.05


@dataclass
class ClusterRun:
    """``faults`` has a line for each broken promise. ``calm``: nothing has happened since the last rest that may cost a
    command; ``lossless``: nor an event.
    """

    bed: ClusterBed
    galera: Galera
    listener: Listener
    nursery: trio.Nursery
    faults: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    up: set[int] = field(default_factory=set)  # bridges that run and are not stopped
    calm: bool = True
    lossless: bool = True
    quorum: bool = True
    made_without: set[int] = field(default_factory=set)  # bridges that began while there was none
    handles: list[str] = field(default_factory=list)
    _series: dict[str, int] = field(default_factory=dict)  # handle -> how many events it says
    _ended: dict[int, str] = field(default_factory=dict)  # request -> its outcome
    _running: int = 0
    _numbers: Any = field(default_factory=lambda: count(1))
    _over: trio.Event = field(default_factory=trio.Event)

    def bridge(self, number: int) -> Bridge:
        return self.bed.bridges[number]

    def start(self, *what: Any) -> None:
        """Something beside the steps; a rest waits for it."""
        self._running += 1
        self.nursery.start_soon(self._run, *what)

    async def _run(self, function: Any, *arguments: Any) -> None:
        try:
            await function(*arguments)
        finally:
            self._running -= 1

    # Requests

    async def ask(self, at: int, handle: str) -> None:
        """One command to its outcome. Its event is the witness of its execution."""
        number, calm = next(self._numbers), self.calm
        outcome = await self._outcome(self.bridge(at), says(handle, do="say", json={"r": number}))
        if number in self._ended:
            self.faults.append(f"request {number}: a second outcome")
        self._ended[number] = outcome
        self.outcomes[outcome] += 1
        allowed = {"result"} if calm and self.calm else HONEST
        if outcome not in allowed:
            self.faults.append(f"request {number} at bridge {at + 1}: {outcome}, calm: {calm and self.calm}")

    async def _outcome(self, bridge: Bridge, command: dict[str, Any]) -> str:
        try:
            answer = await bridge.send("gw1", command)
        except MiError as error:
            return str(error.code) if error.data != "not sent" else "503"
        except OSError as error:
            return "refused" if was_refused(error) else "gone"
        except (trio.BrokenResourceError, ValueError, IndexError):
            return "gone"  # the bridge died with it in its hands: no answer, or none that is whole
        return "result" if answer["janus"] == "success" else f"Janus said {answer}"

    # Events

    async def say(self, at: int, events: int) -> None:
        """A new handle that says so many, one every 5 ms."""
        with trio.CancelScope(shield=True):
            handle = await attach(self.bridge(at))
            self._series[handle] = events
            await answered(self.bridge(at), says(handle, do="tick", ms=5, k=1, n=events))

    # A rest

    async def rest(self) -> None:
        """Heal everything, wait until nothing is to be done, and compare."""
        await self.heal()
        for number in {0, 1} - self.up:
            await self.revive(number)
        with trio.fail_after(HANG_SECONDS):
            while self._running:  # noqa: ASYNC110 - they tell nobody
                await trio.sleep(_POLL_SECONDS)
        await self._all_live()
        await self._all_heard()
        for number, times in self._executed().items():
            if times > 1:
                self.faults.append(f"request {number} was executed {times} times, or its event came as often")
            if self._ended.get(number) in UNSENT:
                self.faults.append(f"request {number} was called unsent, but Janus executed it")
        self.calm = self.lossless = True

    async def heal(self) -> None:
        """Have the whole Galera back."""
        await trio.to_thread.run_sync(self.galera.heal)
        self.quorum = True
        self.made_without.clear()

    async def revive(self, number: int) -> None:
        """Have it run, whatever befell it."""
        bridge = self.bridge(number)
        if bridge.process.exit_code is None:
            bridge.process.thaw()
        else:
            await trio.to_thread.run_sync(bridge.start)
            if not self.quorum:
                self.made_without.add(number)
        self.up.add(number)

    async def written(self, number: int) -> bool:
        """Wait until the table has the sessions of a bridge that is to die. False: without a quorum it does not."""
        if not self.quorum:
            return number not in self.made_without
        await written(self.bridge(number), self.galera)
        return True

    async def _all_live(self) -> None:
        """Every handle answers at every bridge."""
        for bridge in self.bed.bridges:
            for handle in [*self.handles, *self._series]:
                try:
                    if not await lives(bridge, handle):
                        self.faults.append(f"handle {handle} is lost, at {bridge.mi_url}")
                except (MiError, trio.TooSlowError) as error:
                    self.faults.append(f"handle {handle} does not answer at {bridge.mi_url}: {error}")

    async def _all_heard(self) -> None:
        told = len(self.listener.told("events_lost"))
        for handle, events in self._series.items():
            with trio.move_on_after(HANG_SECONDS if self.lossless else 5):
                await self.listener.until(lambda: events - 1 in self.listener.numbers(handle))  # noqa: B023
            numbers = self.listener.numbers(handle)
            if numbers != sorted(set(numbers)):
                self.faults.append(f"events of {handle}: {numbers}")
            if len(numbers) < events and (self.lossless or not told):
                self.faults.append(
                    f"{events - len(numbers)} of {events} events of {handle} are missing; lossless: {self.lossless}"
                )
        self._series.clear()

    def _executed(self) -> Counter[int]:
        data = [body.get("plugindata", {}).get("data", {}) for body in self.listener.bodies]
        return Counter(one["r"] for one in data if "r" in one)
