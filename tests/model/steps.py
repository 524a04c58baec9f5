"""What may happen in a run: one function a step, and how often each is chosen.

Owns the plan: the seed decides every step and its details. Must not know what should come of it (ledger).
"""

import random
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeAlias

import trio

from tests.model.driver import TIMEOUT, Driver
from tests.model.ledger import EXPECTED
from tests.model.site import MAX_MESSAGE, Place
from tests.support.fake_janus import Greeting
from tests.support.frames import BINARY, CLOSE, TEXT, fragments, frame

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


async def take(driver: Driver, step: Step) -> None:
    """One step, with all the time that it needs for itself."""
    _, act = STEPS[step.name]
    await act(driver, driver.site.places[step.place], random.Random(step.detail))


Act: TypeAlias = Callable[[Driver, Place, random.Random], Awaitable[None]]


async def _commands(driver: Driver, place: Place, detail: random.Random) -> None:
    driver.ask_many(place, detail)


async def _unwaited(driver: Driver, place: Place, detail: random.Random) -> None:
    for _ in range(detail.randint(1, 6)):
        driver.start(driver.ask_unwaited, place, detail.choice(list(EXPECTED)), detail.random() < 0.5)


# What Janus sends by itself goes beside the steps: a connection that carries nothing more would take it for ever.


async def _say(driver: Driver, place: Place, detail: random.Random) -> None:
    driver.start(place.say, detail.randint(1, 150))


async def _noise(driver: Driver, place: Place, detail: random.Random) -> None:
    driver.start(place.fake.push, detail.choice(NOISE))


async def _release(driver: Driver, place: Place, detail: random.Random) -> None:
    driver.start(place.release)


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
        driver.running.reload()
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
    driver.start(place.fake.push, detail.choice(last))


async def _lose_sessions(driver: Driver, place: Place, detail: random.Random) -> None:
    place.disturb()
    ended = list(place.fake.sessions)
    place.fake.sessions.clear()
    if detail.random() < 0.7:
        driver.start(place.fake.push, *({"janus": "timeout", "session_id": session} for session in ended))


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
