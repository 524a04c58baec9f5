"""Whatever the network and Janus do to a link, what it promises holds (contract 5.3 .. 5.5).

Random faults under a mock clock, beside a model of Janus that knows which connection has which session and what was
executed. No harmless fault ends a session by itself: so any session that is lost then was killed by the bridge.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from typing import TypeAlias

import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from bridge.core.environment import LinkSettings
from bridge.core.link import JanusLink
from bridge.errors import BridgeError, LinkDown, TransactionTimeout
from bridge.protocol.command import read_command
from tests.support.examples import examples
from tests.support.linkbed import LinkBed, running
from tests.support.memory_janus import FaultOfTheBridge, MemoryJanus
from tests.support.phases import Phase, phase

URL, ALIAS = "ws://model", "ws://alias"
LIMIT = 5.0
HANDLES = 2
EXAMPLES = 60
REFUSED = "refused"

Fault: TypeAlias = Callable[[], object]
Command: TypeAlias = tuple[int, bool]  # handle, whether the answer is an event behind an ack
Script: TypeAlias = list[tuple[str, float, list[Command]]]  # fault, seconds until the next, what callers send meanwhile

# The row changes in the turn in which what the link has begun has ended, and the link not yet.
WHILE_IT_ENDS: Script = [(fault, 0, []) for fault in ("accept", "fail", "accept", "accept", "other name")]

# A process ends before Janus reads what it wrote, and the next one adopts its socket.
WHILE_JANUS_READS: Script = [("fail", 1, []), ("accept", 0.0015, []), ("fail", 0, []), ("freeze", 30, [])]

# Janus hands over, its answer is lost, and the next claim on the same connection is refused.
REFUSED_AFTER_ALL: Script = [
    ("mute claims", 0, []),
    ("forget", 11, []),
    ("answer", 0, []),
    ("refuse claims", 5.001, []),
]

# A claim is refused, and the next life adopts that connection, which has no session, and hears its first answer late.
REFUSED_BEFORE: Script = [("cut", 0, []), ("refuse claims", 0.3, []), ("freeze", 0, []), ("fail", 30, [])]


class Trial:
    """One life of a link, with callers that send numbered messages."""

    def __init__(self, *, reclaim: bool) -> None:
        self.janus = MemoryJanus(reclaim=reclaim)
        self.janus.store = []
        self.bed = LinkBed(settings=LinkSettings(), connector=self.janus.connect, look_every=0.05)
        self.bed.inherited = self.janus.held
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
            "fail": self.fail,
            "out of step": lambda: setattr(self.janus, "out_of_step", True),
            "in step": lambda: setattr(self.janus, "out_of_step", False),
            "reconnect": lambda: self.bed.registry.find("gw").reconnect(),
            "other name": lambda: self.bed.reconcile({"gw": ALIAS}),
            "first name": lambda: self.bed.reconcile({"gw": URL}),
        }
        if reclaim:
            self.faults["cut"] = self.cut
        # These end sessions.
        self.deadly: dict[str, Fault] = self.faults | {
            "cut": self.cut,
            "end sessions": self.end_sessions,
            "mute create": lambda: self.janus.mute.add("create"),
            "refuse create": lambda: self.janus.errors.update(create=(472, "Not accepting new sessions")),
            "mute all": lambda: self.janus.mute.update({"info", "ping", "create", "claim", "keepalive", "message"}),
            "close at once": lambda: setattr(self.janus, "closing", True),
            "forget sessions": self.janus.sessions.clear,
            "create": lambda: self.link.requests.post(read_command({"janus": "create"}), LIMIT),
        }

    @property
    def link(self) -> JanusLink:
        return self.bed.registry.find("gw")

    def forget(self) -> None:
        for socket in self.janus.open_sockets:
            socket.forgotten = True

    def cut(self) -> None:
        for socket in self.janus.open_sockets:
            socket.end("connection lost: reset")

    def end_sessions(self) -> None:
        for session_id in list(self.janus.sessions):
            self.janus.end_session(session_id)

    def answer(self) -> None:
        self.janus.mute.clear()
        self.janus.errors.clear()

    def stall(self) -> None:
        for socket in self.janus.open_sockets:
            if not socket.stalled:
                socket.stall()

    def fail(self) -> None:
        """The link's task ends by a fault of the bridge: its sockets are kept open, and adopted by the next one."""
        for socket in self.janus.open_sockets:
            socket.fail()

    async def ask(self, handle: int, later: bool) -> None:
        number = next(self.numbers)
        body = {"n": number, "h": handle, "later": later}
        self.accepted[handle].append(number)
        started = trio.current_time()
        try:
            answer = await self.bed.ask({"janus": "message", "handle_id": handle, "body": body}, LIMIT)
            refused = answer["janus"] == "error"  # the session was over
            self.outcomes[number] = REFUSED if refused else answer["plugindata"]["data"]["n"]
        except BridgeError as error:
            self.outcomes[number] = error
        assert trio.current_time() - started <= LIMIT + 0.1

    async def play(self, script: Script, *, harmless: bool) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.janus.run)
            async with running(self.bed, {"gw": URL}):
                await self.bed.until(lambda: phase(self.link) is Phase.READY)
                sessions = {int((await self.bed.ask({"janus": "create"}))["data"]["id"])}
                sessions.add(self.link.book.managed.session_id or 0)
                for fault, pause, commands in script:
                    self.strike(fault)
                    self.janus.look()
                    for command in commands:
                        nursery.start_soon(self.ask, *command)
                    await trio.sleep(pause)
                before, at = self.janus.connects, trio.current_time()
                await self.heal()
                self.check(sessions if harmless else None)
                assert self.janus.connects - before < 10 + (trio.current_time() - at)
            nursery.cancel_scope.cancel()

    def strike(self, fault: str) -> None:
        with suppress(LinkDown):
            self.deadly[fault]()

    async def heal(self) -> None:
        self.janus.closing = False
        for fault in ("thaw", "accept", "upgrade", "answer"):
            self.faults[fault]()
        self.janus.look()
        await trio.sleep(60)
        self.bed.look_every = 1.0  # of a clock that jumps: each look costs more than what it waits for
        # A silent connection is given up when Janus must have ended what only that connection could have ended.
        await self.bed.until(lambda: len(self.janus.open_sockets) == 1 and phase(self.link) is Phase.READY, 700)

    def check(self, sessions: set[int] | None) -> None:
        """``sessions``: those that must be there; None where they may have ended."""
        link, janus = self.link, self.janus
        mine = {session.session_id or 0 for session in link.book}
        if sessions is not None:
            assert janus.lost == []
            assert set(janus.sessions) == mine == sessions
        # One connection is left, it has every session, and everybody knows.
        assert phase(link) is Phase.READY
        (socket,) = janus.open_sockets
        assert {janus.sessions[session_id] for session_id in mine} == {socket}
        assert all(session.live for session in link.book)
        assert len(link.connections) == len(link.roster.connections) == 1
        assert link.requests.in_flight == 0
        self.check_outcomes()

    def check_outcomes(self) -> None:
        executed = [body["n"] for body in self.janus.executed]
        assert len(executed) == len(set(executed))
        for number, outcome in self.outcomes.items():
            not_sent = isinstance(outcome, TransactionTimeout) and outcome.data == "not sent"
            if not_sent or outcome == REFUSED or isinstance(outcome, LinkDown):
                assert number not in executed, outcome
            elif not isinstance(outcome, BridgeError):
                assert outcome == number
                assert number in executed
        for handle, accepted in self.accepted.items():
            mine = [body["n"] for body in self.janus.executed if body["h"] == handle]
            assert mine == sorted(mine), accepted


def made(fault: BaseException | None) -> bool:
    """Whether the test made all of it."""
    if isinstance(fault, BaseExceptionGroup):
        return all(map(made, fault.exceptions))
    return isinstance(fault, FaultOfTheBridge)


def steps(faults: Iterable[str]) -> st.SearchStrategy[Script]:
    commands = st.lists(st.tuples(st.integers(1, HANDLES), st.booleans()), max_size=3)
    pauses = st.sampled_from([0, 0.0005, 0.0015, 0.0025, 0.0045, 0.3, 1, 4, 5.001, 11, 30])
    return st.lists(st.tuples(st.sampled_from(sorted(faults)), pauses, commands), min_size=1, max_size=14)


def test_what_was_refused_is_claimed_by_the_next_life() -> None:
    """Else Janus would keep its calls, and send their events to nobody."""

    async def main() -> None:
        await Trial(reclaim=True).play(REFUSED_BEFORE, harmless=True)

    trio.run(main, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize("reclaim", [False, True], ids=["no reclaim", "reclaim"])
@pytest.mark.parametrize("harmless", [True, False], ids=["harmless faults", "deadly faults"])
def test_promises_hold(reclaim: bool, harmless: bool, caplog: pytest.LogCaptureFixture) -> None:
    trial = Trial(reclaim=reclaim)

    @settings(max_examples=examples(EXAMPLES), suppress_health_check=list(HealthCheck))
    @example(WHILE_IT_ENDS)
    @example(WHILE_JANUS_READS)
    @example(REFUSED_AFTER_ALL)
    @given(steps(trial.faults if harmless else trial.deadly))
    def hold(script: Script) -> None:
        async def main() -> None:
            await Trial(reclaim=reclaim).play(script, harmless=harmless)

        trio.run(main, clock=MockClock(autojump_threshold=0))
        faults = [record.exc_info for record in caplog.records if record.levelno >= logging.ERROR]
        assert [fault for fault in faults if fault is None or not made(fault[1])] == []

    hold()
