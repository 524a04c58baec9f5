"""A link walks every row of the table of a gateway's life, under a mock clock, beside a model of Janus."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from bridge.core import succession
from bridge.core.environment import LinkSettings
from bridge.core.link import JanusLink
from bridge.errors import LinkDown
from bridge.protocol.life import TABLE, State, Step, follow
from tests.support.linkbed import LinkBed, running
from tests.support.memory_janus import MemoryJanus

Pair = tuple[State, Step]


class Bed(LinkBed):
    """A bed whose network and Janus are a model."""

    def __init__(self, janus: MemoryJanus) -> None:
        super().__init__(settings=LinkSettings(), connector=janus.connect, look_every=0.02)
        self.janus = janus

    @property
    def link(self) -> JanusLink:
        return self.registry.find("gw")

    @property
    def session(self) -> int | None:
        return self.link.book.managed.session_id

    async def reach(self, state: State, seconds: float = 60) -> None:
        """Wait until the link is in this state."""
        await self.until(lambda: self.link.state is state, seconds)


Scenario = Callable[[Bed, MemoryJanus], Awaitable[None]]
SCENARIOS: list[Scenario] = []


def scenario(function: Scenario) -> Scenario:
    SCENARIOS.append(function)
    return function


@scenario
async def comes_up_when_the_port_opens(bed: Bed, janus: MemoryJanus) -> None:
    janus.refusing = True
    await bed.until(lambda: janus.connects > 20, 60)
    janus.refusing = False
    opened = trio.current_time()
    await bed.reach(State.READY)
    assert trio.current_time() - opened < 2


@scenario
async def peer_that_accepts_and_closes_counts_as_failed(bed: Bed, janus: MemoryJanus) -> None:
    janus.closing = True
    await trio.sleep(300)
    assert janus.connects < 40
    janus.closing = False
    await bed.reach(State.READY)


@scenario
async def silence_after_create_is_a_failed_attempt(bed: Bed, janus: MemoryJanus) -> None:
    janus.mute = {"create"}
    await bed.until(lambda: janus.connects == 2, 20)
    assert bed.link.last_error == "no answer to create within 5 s"
    janus.mute = set()
    await bed.reach(State.READY)


@scenario
async def refused_create_is_asked_again_on_the_same_connection(bed: Bed, janus: MemoryJanus) -> None:
    janus.errors = {"create": (472, "Not accepting new sessions")}
    await trio.sleep(100)
    assert bed.link.shown_state == "backoff"
    assert bed.link.last_error == "Janus refused to create a session: 472 Not accepting new sessions"
    assert janus.connects == 1
    janus.errors = {}
    await bed.reach(State.READY)


@scenario
async def end_of_a_connection_that_was_refused_is_noticed_at_once(bed: Bed, janus: MemoryJanus) -> None:
    janus.errors = {"create": (403, "Unauthorized")}
    await trio.sleep(200)  # the pauses are 15 s long now
    janus.errors = {}
    janus.sockets[-1].end("Janus closed the connection")
    ended = trio.current_time()
    await bed.reach(State.READY)
    assert trio.current_time() - ended < 2


@scenario
async def lost_connection(bed: Bed, janus: MemoryJanus) -> None:
    await bed.reach(State.READY)
    await trio.sleep(20)
    session = bed.session
    janus.refusing = True
    janus.sockets[-1].end("Janus closed the connection")
    await bed.reach(State.DOWN)
    with pytest.raises(LinkDown):
        await bed.ask({"janus": "ping"})
    janus.refusing = False
    await bed.reach(State.READY)
    assert (bed.session == session) is janus.reclaim
    assert bed.names() == ["connected", "disconnected", *([] if janus.reclaim else ["session_lost"]), "connected"]


@scenario
async def session_that_ends_is_made_anew_on_the_same_connection(bed: Bed, janus: MemoryJanus) -> None:
    await bed.reach(State.READY)
    await trio.sleep(20)
    session = bed.session
    assert session is not None
    janus.end_session(session)
    await bed.until(lambda: bed.session not in (None, session))
    assert janus.connects == 1
    assert bed.names() == ["connected", "session_lost"]


@scenario
async def sessions_that_end_at_once_are_not_made_without_end(bed: Bed, janus: MemoryJanus) -> None:
    await bed.reach(State.READY)
    for _ in range(300):
        if bed.session is not None:
            janus.end_session(bed.session)
        await trio.sleep(1)
    assert max(janus.sessions, default=1000) - 1000 < 40
    await bed.reach(State.READY)


@scenario
async def frozen_janus_is_ready_again_when_it_speaks(bed: Bed, janus: MemoryJanus) -> None:
    await bed.reach(State.READY)
    session = bed.session
    janus.frozen = True
    await bed.reach(State.LEAVING)
    janus.frozen = False
    janus.look()
    await bed.reach(State.READY)
    assert bed.session == session
    assert bed.link.reconnects == 0


@scenario
async def frozen_through_many_attempts(bed: Bed, janus: MemoryJanus) -> None:
    await bed.reach(State.READY)
    session = bed.session
    janus.frozen = True
    await trio.sleep(600)
    await bed.reach(State.RESTING)
    janus.frozen = False
    janus.look()
    await bed.reach(State.READY)
    assert bed.session == session
    assert bed.names() == ["connected", "disconnected", "connected"]
    assert bed.link.reconnects == 0


@scenario
async def forgotten_connection_is_replaced_while_it_is_open(bed: Bed, janus: MemoryJanus) -> None:
    await bed.reach(State.READY)
    session = bed.session
    janus.sockets[0].forgotten = True
    await bed.until(lambda: bed.link.reconnects == 1, 60)
    assert bed.session == session
    await bed.until(lambda: len(janus.open_sockets) == 1, 60)
    assert janus.lost == []


@scenario
async def old_connection_ends_while_a_new_one_is_opened(bed: Bed, janus: MemoryJanus) -> None:
    await bed.reach(State.READY)
    janus.unanswered = True
    janus.sockets[0].forgotten = True
    await bed.reach(State.LEAVING)
    janus.sockets[0].end("connection lost: reset")
    await bed.reach(State.OPENING)
    janus.unanswered = False
    await bed.reach(State.READY)


@scenario
async def old_connection_ends_between_two_attempts(bed: Bed, janus: MemoryJanus) -> None:
    await bed.reach(State.READY)
    janus.unanswered = True
    janus.sockets[0].forgotten = True
    await bed.reach(State.RESTING)
    janus.sockets[0].end("connection lost: reset")
    await bed.reach(State.DOWN)
    janus.unanswered = False
    await bed.reach(State.READY)


@scenario
async def old_connection_ends_while_claims_are_out(bed: Bed, janus: MemoryJanus) -> None:
    await bed.reach(State.READY)
    janus.mute = {"claim"}
    janus.sockets[0].forgotten = True
    await bed.reach(State.REJOINING)
    await trio.sleep(1)
    janus.sockets[0].end("connection lost: reset")
    await bed.reach(State.JOINING)
    janus.mute = set()
    await bed.reach(State.READY)


@scenario
async def claims_without_an_answer_are_made_again_elsewhere(bed: Bed, janus: MemoryJanus) -> None:
    """They were executed all the same: the connection that they went out on is not closed before another has it all."""
    await bed.reach(State.READY)
    session = bed.session
    janus.mute = {"claim", "ping"}
    janus.sockets[0].forgotten = True
    await bed.reach(State.REJOINING)
    await trio.sleep(1)
    janus.sockets[1].forgotten = True
    await bed.reach(State.RESTING)
    assert len(janus.open_sockets) == 2
    janus.mute = set()
    await bed.reach(State.READY)
    await bed.until(lambda: len(janus.open_sockets) == 1, 60)
    assert bed.session == session
    assert janus.lost == []


@scenario
async def refused_claims_leave_the_old_connection_open(bed: Bed, janus: MemoryJanus) -> None:
    await bed.reach(State.READY)
    session = bed.session
    janus.errors = {"claim": (403, "Unauthorized")}
    janus.sockets[0].forgotten = True
    await bed.reach(State.RESTING)
    assert bed.link.last_error == "Janus refused to hand over a session: 403 Unauthorized"
    janus.errors = {}
    await bed.reach(State.READY)
    assert bed.session == session


@scenario
async def further_sessions_outlive_a_refused_managed_one(bed: Bed, janus: MemoryJanus) -> None:
    """REFUSED is left, not closed, where other sessions live on the connection."""
    await bed.reach(State.READY)
    further = int((await bed.ask({"janus": "create"}))["data"]["id"])
    janus.errors = {"create": (472, "Not accepting new sessions")}
    assert bed.session is not None
    janus.end_session(bed.session)
    await bed.reach(State.REFUSED)
    assert (await bed.ask({"janus": "keepalive", "session_id": further}))["janus"] == "ack"
    with pytest.raises(LinkDown):
        await bed.ask({"janus": "attach"})
    bed.link.reconnect()
    await bed.until(lambda: janus.connects == 2 and bed.link.state is State.REFUSED, 60)
    await bed.until(lambda: len(janus.open_sockets) == 1, 60)
    assert (await bed.ask({"janus": "keepalive", "session_id": further}))["janus"] == "ack"
    janus.errors = {}
    await bed.reach(State.READY)
    assert janus.lost == []


@scenario
async def silence_while_a_session_is_made_anew(bed: Bed, janus: MemoryJanus) -> None:
    """JOINING is left, not closed, where other sessions live on the connection."""
    await bed.reach(State.READY)
    further = int((await bed.ask({"janus": "create"}))["data"]["id"])
    await trio.sleep(20)
    assert bed.session is not None
    janus.end_session(bed.session)
    janus.frozen = True
    await bed.reach(State.RESTING)
    janus.frozen = False
    janus.look()
    await bed.reach(State.READY)
    assert (await bed.ask({"janus": "keepalive", "session_id": further}))["janus"] == "ack"
    assert janus.lost == []


@scenario
async def stalled_write_is_left_and_nothing_more_is_written(bed: Bed, janus: MemoryJanus) -> None:
    """The model refuses any write after it. The connection is read until the new one has the sessions."""
    await bed.reach(State.READY)
    session = bed.session
    janus.refusing = True
    janus.sockets[0].stall()
    assert bed.link.state is State.LEAVING
    with pytest.raises(LinkDown, match="could not complete"):
        await bed.ask({"janus": "ping"})
    await trio.sleep(120)
    assert not janus.sockets[0].ended
    janus.sockets[0].hears(None)  # it speaks, but that does not make it good again
    janus.refusing = False
    await bed.until(lambda: bed.link.reconnects == 1, 60)
    assert bed.session == session
    assert janus.lost == []


async def play(play_scenario: Scenario, *, reclaim: bool) -> None:
    janus = MemoryJanus(reclaim=reclaim)
    bed = Bed(janus)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(janus.run)
        async with running(bed, {"gw": "ws://model"}):
            await play_scenario(bed, janus)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("reclaim", [False, True], ids=["no reclaim", "reclaim"])
@pytest.mark.parametrize("play_scenario", SCENARIOS, ids=lambda function: function.__name__)
async def test_life(play_scenario: Scenario, reclaim: bool, autojump_clock: MockClock) -> None:
    await play(play_scenario, reclaim=reclaim)


async def test_every_row_of_the_table_is_walked(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    walked: set[Pair] = set()

    def spy(state: State, step: Step) -> State:
        walked.add((state, step))
        return follow(state, step)

    monkeypatch.setattr(succession, "follow", spy)
    for play_scenario in SCENARIOS:
        await play(play_scenario, reclaim=False)
    assert set(TABLE) - walked == set()
