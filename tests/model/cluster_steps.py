"""What may befall two bridges of a cluster, chosen by a seed.

Owns what each thing means for what may be expected meanwhile; at least one bridge runs at any time.
"""

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple, TypeAlias

import trio

from tests.model.cluster import ClusterRun
from tests.support.bridge import BridgeFailed
from tests.support.bridge_cluster import attach, release

Act: TypeAlias = Callable[[ClusterRun, int, random.Random], Awaitable[None]]


class ClusterStep(NamedTuple):
    """``bridge``: whom it befalls, or who is asked, if it runs."""

    name: str
    bridge: int
    seed: int


def plan(seed: int, steps: int) -> list[ClusterStep]:
    """The steps of a run."""
    choice = random.Random(seed)
    names = choice.choices(list(STEPS), [weight for weight, _ in STEPS.values()], k=steps)
    return [ClusterStep(name, choice.randrange(2), choice.getrandbits(32)) for name in names]


async def take(run: ClusterRun, step: ClusterStep) -> None:
    """One step."""
    await STEPS[step.name][1](run, step.bridge, random.Random(step.seed))


def _running(run: ClusterRun, wanted: int) -> int:
    return wanted if wanted in run.up else 1 - wanted


async def _spare(run: ClusterRun, number: int) -> bool:
    """Whether this one may go: the other one has to be there, and is first brought back if it is not."""
    if number in run.up and 1 - number in run.up:
        return True
    for gone in {0, 1} - run.up:
        await run.revive(gone)
    return False


async def _commands(run: ClusterRun, at: int, detail: random.Random) -> None:
    for _ in range(detail.randint(1, 40)):
        run.start(run.ask, _running(run, detail.randrange(2)), detail.choice(run.handles))


async def _attach(run: ClusterRun, at: int, detail: random.Random) -> None:
    run.handles.append(await attach(run.bridge(_running(run, at))))


async def _say(run: ClusterRun, at: int, detail: random.Random) -> None:
    await run.say(_running(run, at), detail.randint(20, 400))


async def _pause(run: ClusterRun, at: int, detail: random.Random) -> None:
    await trio.sleep(detail.uniform(0, 1))


async def _kill(run: ClusterRun, at: int, detail: random.Random) -> None:
    if await _spare(run, at) and await run.written(at):
        run.calm = run.lossless = False
        run.up.discard(at)
        run.bridge(at).kill()
        if detail.random() < 0.5:
            with suppress(BridgeFailed):  # without its database
                await trio.to_thread.run_sync(release, run.bridge(at))


async def _stop(run: ClusterRun, at: int, detail: random.Random) -> None:
    """A planned stop costs who asks there a connection, and nobody else anything."""
    if await _spare(run, at):
        run.up.discard(at)
        run.calm = False
        await trio.to_thread.run_sync(run.bridge(at).stop)


async def _drain(run: ClusterRun, at: int, detail: random.Random) -> None:
    if {0, 1} <= run.up:
        await run.bridge(at).ami("janus_cluster_drain")
        await trio.sleep(detail.uniform(0, 0.5))
        await _stop(run, at, detail)


async def _freeze(run: ClusterRun, at: int, detail: random.Random) -> None:
    """For a moment, or until the other one has taken over; it goes on with the next step that wants it."""
    if await _spare(run, at) and await run.written(at):
        run.calm = run.lossless = False
        run.up.discard(at)
        run.bridge(at).process.freeze()
        if detail.random() < 0.5:
            await trio.sleep(detail.uniform(0, 1))
            run.bridge(at).process.thaw()
            run.up.add(at)


async def _revive(run: ClusterRun, at: int, detail: random.Random) -> None:
    await _spare(run, at)


async def _node_dies(run: ClusterRun, at: int, detail: random.Random) -> None:
    """Of the database. Callers notice nothing."""
    if all(node.running for node in run.galera.nodes):
        run.galera.nodes[at].kill()


async def _no_quorum(run: ClusterRun, at: int, detail: random.Random) -> None:
    run.quorum = False
    for node in run.galera.nodes[1:]:
        if node.running:
            node.freeze()


async def _heal_database(run: ClusterRun, at: int, detail: random.Random) -> None:
    await run.heal()


# name -> how often it is chosen, relative to the others; what it does
STEPS: dict[str, tuple[int, Act]] = {
    "commands": (40, _commands),
    "attach": (8, _attach),
    "say": (14, _say),
    "pause": (25, _pause),
    "kill": (6, _kill),
    "stop": (5, _stop),
    "drain": (6, _drain),
    "freeze": (6, _freeze),
    "revive": (10, _revive),
    "node dies": (2, _node_dies),
    "no quorum": (2, _no_quorum),
    "heal database": (4, _heal_database),
}
