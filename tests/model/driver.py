"""Random runs from a seed: commands, events, faults and reloads against a running bridge, held against the ledger.

Owns what may happen and when a round is over. The short runs of ``test_runs.py`` and the soak are the same steps. The
seed decides every step and its details; what the machine makes of their timing is its own.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, NamedTuple, TypeAlias

import trio

from bridge.protocol.figures import OUTCOMES
from tests.model import caller
from tests.model.house import House
from tests.model.ledger import EXPECTED, SHORT, Asked, Ledger
from tests.model.site import MAX_MESSAGE, Place, Site
from tests.support.fake_janus import Greeting
from tests.support.frames import BINARY, CLOSE, TEXT, fragments, frame

HANDLES = 12
TIMEOUT = 4000  # ms; more than any wait behind silent ones in a lane
SETTLE_SECONDS = 12.0
BROKEN_GREETINGS = [Greeting.CLOSE, Greeting.HTTP_ERROR, Greeting.NO_SUBPROTOCOL, Greeting.HALF, Greeting.GARBAGE]
NOISE = [
    frame(BINARY, b"\x00"),
    frame(TEXT, b"no JSON"),
    frame(TEXT, b"[" * 500),
    frame(TEXT, b'{"janus":"event","x":"\\ud800"}'),
    frame(TEXT, b'{"janus":"success","transaction":"jb.0.x.1.1","data":{"id":5}}'),
    frame(TEXT, b'{"janus":"detached","session_id":1,"sender":3}'),
    fragments(b'{"janus":"event","pad":"' + b"x" * 2 * MAX_MESSAGE + b'"}'),
    fragments('{"janus":"event","e":"\u20ac"}'.encode(), 1),
]


class Step(NamedTuple):
    """``detail`` seeds what the step decides for itself."""

    name: str
    place: int
    detail: int


def plan(seed: int, steps: int, places: int) -> list[Step]:
    """What will happen."""
    choice = random.Random(seed)
    names, weights = list(STEPS), [weight for weight, _ in STEPS.values()]
    chosen = choice.choices(names, weights, k=steps)
    return [Step(name, choice.randrange(places), choice.getrandbits(32)) for name in chosen]


class Driver:
    """Takes steps. Requests run in ``nursery``; ``settle`` ends a round and looks at everything."""

    def __init__(self, site: Site, house: House, ledger: Ledger, nursery: trio.Nursery) -> None:
        self.site, self.house, self.ledger = site, house, ledger
        self._nursery = nursery
        self._numbers = count(1)
        self._running = 0
        self._start: dict[str, int] = {}
        self._remains: dict[str, int] = {}

    async def begin(self) -> None:
        """Wait until everything is ready, and note how that looks."""
        await self._ready()
        for place in self.site.places:
            await self.ask(place, "echo")
            await self.ask(place, "echo", datagram=True)
        self._start = await self.statistics()
        self.ledger.outcomes.clear()
        self.ledger.received = 0
        self._remains = self.house.remains()
        for _ in range(20):  # the connections of what was just asked are still being closed
            await trio.sleep(0.02)
            self._remains = {name: min(count, self._remains[name]) for name, count in self.house.remains().items()}

    async def take(self, step: Step) -> None:
        """One step, with all the time that it needs for itself."""
        _, act = STEPS[step.name]
        await act(self, self.site.places[step.place], random.Random(step.detail))

    async def mi(self, method: str, *params: Any) -> Any:
        """An MI method; the whole answer."""
        return await caller.ask_http(self.house.mi_url, caller.request_bytes(method, list(params), 1))

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
            answer = await caller.ask_datagram(self.house.datagram, body)
        else:
            answer = await caller.ask_http(self.house.mi_url, body)
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
            await caller.leave_http(self.house.mi_url, body)
        elif await caller.ask_http(self.house.mi_url, body) is not None:
            self.ledger.fault(f"notification {number} was answered")

    # The end of a round

    async def settle(self) -> None:
        """Heal everything, wait until nothing is to be done, and compare with the model."""
        self.site.hear()
        for place in self.site.places:
            await place.heal()
        self.site.write_table()
        await self.mi("janus_reload")
        try:
            with trio.fail_after(SETTLE_SECONDS):
                await self._until(lambda: self._running == 0)
                await self._ready()
                await self._until(lambda: self.ledger.owed({p.name: p.epoch for p in self.site.places}) == 0)
                await self._balanced()
        except trio.TooSlowError:
            self.ledger.fault(f"not at rest after {SETTLE_SECONDS:g} s: {await self._state()}")
        self.ledger.close_round()
        self.ledger.balance(self._start, await self.statistics(), tuple(OUTCOMES))
        for place in self.site.places:
            place.forget_records()
            place.calm()

    async def _ready(self) -> None:
        """Every gateway is connected over one connection that works, with a session that its Janus knows."""
        for place in self.site.places:
            while not await self._is_ready(place):  # noqa: ASYNC110 - as a monitor asks
                await trio.sleep(0.02)

    async def _is_ready(self, place: Place) -> bool:
        (row,) = (await self.mi("janus_list", place.name))["result"]["Gateways"]
        if row["state"] != "ready" or row["in_flight"] or not any(session["managed"] for session in row["sessions"]):
            return False
        alone = place.relay.open_connections == 1 and not place.fake.peer.closed.is_set()
        return alone and await self._probe(place)

    async def _probe(self, place: Place) -> bool:
        command = {"janus": "message", "handle_id": 1, "body": {"number": 0, "does": "echo"}}
        answer = await self.mi("janus_send_request", place.name, command, 200)
        self.ledger.seen.pop(0, None)
        self.ledger.unwaited += 1
        return bool(answer.get("result", {}).get("janus") == "success")

    async def _balanced(self) -> None:
        while True:
            await trio.sleep(0.05)  # a request of ours is open for a moment after its answer: look before the next
            left = any(count > self._remains[name] for name, count in self.house.remains().items())
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
            "now": self.house.remains(),
            **figures,
        }

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - many tasks and sockets make it true, none of which can tell
            await trio.sleep(0.005)


def _command(place: Place, number: int, does: str, handle: int, timeout: int) -> list[Any]:
    body = {"number": number, "does": does}
    command = {"janus": "message", "transaction": f"t{number}", "handle_id": handle, "body": body}
    return [place.name, command, timeout]


# The steps

Act: TypeAlias = Callable[[Driver, Place, random.Random], Awaitable[None]]


async def _commands(driver: Driver, place: Place, detail: random.Random) -> None:
    driver.ask_many(place, detail)


async def _unwaited(driver: Driver, place: Place, detail: random.Random) -> None:
    for _ in range(detail.randint(1, 6)):
        driver.start(driver.ask_unwaited, place, detail.choice(list(EXPECTED)), detail.random() < 0.5)


async def _say(driver: Driver, place: Place, detail: random.Random) -> None:
    await place.say(detail.randint(1, 150))


async def _noise(driver: Driver, place: Place, detail: random.Random) -> None:
    await place.fake.push(detail.choice(NOISE))


async def _release(driver: Driver, place: Place, detail: random.Random) -> None:
    await place.release()


async def _sessions(driver: Driver, place: Place, detail: random.Random) -> None:
    driver.start(_visit, driver, place)


async def _visit(driver: Driver, place: Place) -> None:
    """A caller with a session of its own. Its outcomes are in no model but the statistics."""
    session: Any = None
    for command in ({"janus": "create"}, {"janus": "attach", "plugin": "p"}, {"janus": "claim"}, {"janus": "destroy"}):
        driver.ledger.unwaited += 1
        whole = command if session is None else {**command, "session_id": session}
        answer = await driver.mi("janus_send_request", place.name, whole, TIMEOUT)
        if session is None:
            if answer.get("result", {}).get("janus") != "success":
                return
            session = answer["result"]["data"]["id"]


async def _pause(driver: Driver, place: Place, detail: random.Random) -> None:
    await trio.sleep(detail.uniform(0, 0.15))


async def _reload(driver: Driver, place: Place, detail: random.Random) -> None:
    if detail.random() < 0.5:
        driver.house.reload()
    elif "result" not in (answer := await driver.mi("janus_reload")):
        driver.ledger.fault(f"janus_reload: {answer}")


async def _reconnect(driver: Driver, place: Place, detail: random.Random) -> None:
    await driver.mi("janus_reconnect", place.name)  # no disturbance: contract 5.3, left by choice


async def _retarget(driver: Driver, place: Place, detail: random.Random) -> None:
    place.query += 1
    driver.site.write_table()
    await driver.mi("janus_reload")


async def _remove(driver: Driver, place: Place, detail: random.Random) -> None:
    place.disturb()
    place.present = not place.present
    driver.site.write_table()
    await driver.mi("janus_reload")


async def _cut(driver: Driver, place: Place, detail: random.Random) -> None:
    place.disturb()
    await detail.choice([place.relay.cut, place.relay.reset])()


async def _refuse(driver: Driver, place: Place, detail: random.Random) -> None:
    place.disturb()
    await place.relay.refuse()
    await place.relay.cut()


async def _black_hole(driver: Driver, place: Place, detail: random.Random) -> None:
    place.disturb()
    place.relay.black_hole(up=detail.random() < 0.7, down=detail.random() < 0.7)


async def _forget(driver: Driver, place: Place, detail: random.Random) -> None:
    place.disturb()
    place.forget_connections()


async def _greet_badly(driver: Driver, place: Place, detail: random.Random) -> None:
    place.disturb()
    place.fake.greeting = detail.choice(BROKEN_GREETINGS)
    await place.relay.cut()


async def _end_badly(driver: Driver, place: Place, detail: random.Random) -> None:
    place.disturb()
    last = [frame(TEXT, b"\xff\xfe"), frame(CLOSE, b"\x03\xe8"), b"\xff\xff\xff\xff", frame(TEXT, b"{", reserved=4)]
    await place.fake.push(detail.choice(last))


async def _lose_sessions(driver: Driver, place: Place, detail: random.Random) -> None:
    place.disturb()
    ended = list(place.fake.sessions)
    place.fake.sessions.clear()
    if detail.random() < 0.7:
        await place.fake.push(*({"janus": "timeout", "session_id": session} for session in ended))


async def _heal(driver: Driver, place: Place, detail: random.Random) -> None:
    await place.heal()
    driver.site.write_table()
    await driver.mi("janus_reload")


async def _deafen(driver: Driver, place: Place, detail: random.Random) -> None:
    driver.site.deafen()


async def _hear(driver: Driver, place: Place, detail: random.Random) -> None:
    driver.site.hear()


# name -> how often it is chosen, relative to the others; what it does
STEPS: dict[str, tuple[int, Act]] = {
    "commands": (40, _commands),
    "unwaited": (8, _unwaited),
    "say": (16, _say),
    "noise": (8, _noise),
    "release": (6, _release),
    "sessions": (5, _sessions),
    "pause": (40, _pause),
    "reload": (4, _reload),
    "reconnect": (3, _reconnect),
    "retarget": (3, _retarget),
    "remove": (2, _remove),
    "cut": (2, _cut),
    "refuse": (1, _refuse),
    "black hole": (1, _black_hole),
    "forget": (1, _forget),
    "greet badly": (1, _greet_badly),
    "end badly": (2, _end_badly),
    "lose sessions": (1, _lose_sessions),
    "heal": (5, _heal),
    "deafen": (3, _deafen),
    "hear": (5, _hear),
}
