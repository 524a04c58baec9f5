"""Whatever the network and Janus do to a link, what it promises holds (contract 5.3 .. 5.5).

Random faults under a mock clock, beside a model of Janus that knows which connection has which session and what was
executed. No fault here ends a session by itself: so any session that is lost was killed by the bridge.
"""

from collections.abc import Callable
from itertools import count
from typing import TypeAlias

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from bridge.core.environment import LinkSettings
from bridge.core.link import JanusLink
from bridge.errors import BridgeError, LinkDown, TransactionTimeout
from bridge.protocol.life import State
from tests.support.linkbed import LinkBed, running
from tests.support.memory_janus import MemoryJanus

URL, ALIAS = "ws://model", "ws://alias"
LIMIT = 5.0
HANDLES = 2
EXAMPLES = 100

Fault: TypeAlias = Callable[[], object]
Command: TypeAlias = tuple[int, bool]  # handle, whether the answer is an event behind an ack
Script: TypeAlias = list[tuple[str, float, list[Command]]]  # fault, seconds until the next, what callers send meanwhile


class Trial:
    """One life of a link, with callers that send numbered messages."""

    def __init__(self, *, reclaim: bool) -> None:
        self.janus = MemoryJanus(reclaim=reclaim)
        self.bed = LinkBed(settings=LinkSettings(), connector=self.janus.connect, look_every=0.05)
        self.numbers = count(1)
        self.accepted: dict[int, list[int]] = {handle: [] for handle in range(1, HANDLES + 1)}
        self.outcomes: dict[int, object] = {}
        self.faults: dict[str, Fault] = {
            "freeze": lambda: setattr(self.janus, "frozen", True),
            "thaw": lambda: setattr(self.janus, "frozen", False),
            "forget": self.forget,
            "refuse": lambda: setattr(self.janus, "refusing", True),
            "accept": lambda: setattr(self.janus, "refusing", False),
            "upgrade not": lambda: setattr(self.janus, "unanswered", True),
            "upgrade": lambda: setattr(self.janus, "unanswered", False),
            "mute claims": lambda: self.janus.mute.add("claim"),
            "refuse claims": lambda: self.janus.errors.update(claim=(403, "Unauthorized")),
            "answer": self.answer,
            "stall": self.stall,
            "reconnect": lambda: self.bed.registry.find("gw").reconnect(),
            "other name": lambda: self.bed.reconcile({"gw": ALIAS}),
            "first name": lambda: self.bed.reconcile({"gw": URL}),
        }
        if reclaim:
            self.faults["cut"] = self.cut

    @property
    def link(self) -> JanusLink:
        return self.bed.registry.find("gw")

    def forget(self) -> None:
        for socket in self.janus.open_sockets:
            socket.forgotten = True

    def cut(self) -> None:
        for socket in self.janus.open_sockets:
            socket.end("connection lost: reset")

    def answer(self) -> None:
        self.janus.mute.clear()
        self.janus.errors.clear()

    def stall(self) -> None:
        for socket in self.janus.open_sockets:
            if not socket.stalled:
                socket.stall()

    async def ask(self, handle: int, later: bool) -> None:
        number = next(self.numbers)
        body = {"n": number, "h": handle, "later": later}
        self.accepted[handle].append(number)
        started = trio.current_time()
        try:
            answer = await self.bed.ask({"janus": "message", "handle_id": handle, "body": body}, LIMIT)
            self.outcomes[number] = answer["plugindata"]["data"]["n"]
        except BridgeError as error:
            self.outcomes[number] = error
        assert trio.current_time() - started <= LIMIT + 0.1

    async def play(self, script: Script) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.janus.run)
            async with running(self.bed, {"gw": URL}):
                await self.bed.until(lambda: self.link.state is State.READY)
                sessions = {int((await self.bed.ask({"janus": "create"}))["data"]["id"])}
                sessions.add(self.link.book.managed.session_id or 0)
                for fault, pause, commands in script:
                    self.faults[fault]()
                    self.janus.look()
                    for command in commands:
                        nursery.start_soon(self.ask, *command)
                    await trio.sleep(pause)
                before, at = self.janus.connects, trio.current_time()
                await self.heal()
                self.check(sessions)
                assert self.janus.connects - before < 10 + (trio.current_time() - at)
            nursery.cancel_scope.cancel()

    async def heal(self) -> None:
        for fault in ("thaw", "accept", "upgrade", "answer"):
            self.faults[fault]()
        self.janus.look()
        await trio.sleep(60)

    def check(self, sessions: set[int]) -> None:
        link, janus = self.link, self.janus
        assert janus.lost == []
        assert link.state is State.READY
        assert set(janus.sessions) == sessions
        # One connection is left, it has every session, and everybody knows.
        (socket,) = janus.open_sockets
        assert set(janus.sessions.values()) == {socket}
        assert {session.session_id for session in link.book} == sessions
        assert all(session.live for session in link.book)
        assert len(link.succession.left) == 0
        assert link.traffic.in_flight == 0
        self.check_outcomes()

    def check_outcomes(self) -> None:
        executed = [body["n"] for body in self.janus.executed]
        assert len(executed) == len(set(executed))
        for number, outcome in self.outcomes.items():
            not_sent = isinstance(outcome, LinkDown) or (
                isinstance(outcome, TransactionTimeout) and outcome.data == "not sent"
            )
            if not_sent:
                assert number not in executed, outcome
            elif not isinstance(outcome, BridgeError):
                assert outcome == number
                assert number in executed
        for handle, accepted in self.accepted.items():
            mine = [body["n"] for body in self.janus.executed if body["h"] == handle]
            assert mine == sorted(mine), accepted


def steps(reclaim: bool) -> st.SearchStrategy[Script]:
    commands = st.lists(st.tuples(st.integers(1, HANDLES), st.booleans()), max_size=3)
    pauses = st.sampled_from([0, 0.0005, 0.0015, 0.0025, 0.0045, 0.3, 1, 4, 5.001, 11, 30])
    return st.lists(
        st.tuples(st.sampled_from(sorted(Trial(reclaim=reclaim).faults)), pauses, commands), min_size=1, max_size=14
    )


@pytest.mark.parametrize("reclaim", [False, True], ids=["no reclaim", "reclaim"])
def test_no_session_is_lost_and_every_outcome_is_true(reclaim: bool) -> None:
    @settings(max_examples=EXAMPLES)
    @given(steps(reclaim))
    def holds(script: Script) -> None:
        async def main() -> None:
            await Trial(reclaim=reclaim).play(script)

        trio.run(main, clock=MockClock(autojump_threshold=0))

    holds()
