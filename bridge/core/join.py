"""Bring every session of a gateway onto a connection: claim those that have an id, create the managed one.

Owns the exchange that makes a connection useful (contract 5.3, "Claim"). Must not know how it was opened.
A session is lost where its carrier is gone and a claim is refused for good; where its carrier is open, no answer on
another connection ends it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import trio

from bridge.core.chosen_id import CONFLICTS, chosen_id
from bridge.core.connection import JanusConnection
from bridge.core.environment import LinkCluster
from bridge.core.pending import AwaitedAnswer
from bridge.core.requests import Requests
from bridge.errors import BridgeError
from bridge.protocol.codec import JsonObject
from bridge.protocol.janus import MAX_PLUGIN, ClaimAnswer, Failure, Incoming, Success, classify, judge_claim, member_id
from bridge.protocol.life import Input
from bridge.protocol.roster import PATIENCE
from bridge.protocol.session import JanusSession, SessionState
from bridge.protocol.session_book import SessionBook

SessionOver = Callable[[JanusSession, str], None]
_LOST = {
    ClaimAnswer.UNKNOWN: "Janus no longer knows it",
    ClaimAnswer.UNABLE: "its connection ended, and this server hands over no sessions",
    ClaimAnswer.LATER: "its connection ended too long ago",
}

RETIRE = 2.0  # seconds in which the answers of a connection that was left, and those to destroys, may still come
# Seconds for the first answer on a new connection; later ones may stand behind thousands of events, so for them it is
# seconds without any frame, though not for ever: a Janus that talks and never answers is none.
ANSWER_DEADLINE = 5.0
LONGEST_WAIT = 30.0


class JoinStopped(Exception):
    """Not every session was brought onto the connection. ``what`` that is: FAILED where nothing more is to be had from
    it; REFUSED where Janus answered, but gives or hands over no session for now (403, 472 ...); UNABLE where this
    server never hands one over, and an older connection serves.
    """

    def __init__(self, what: Input, reason: str) -> None:
        super().__init__(reason)
        self.what = what


@dataclass(slots=True, eq=False)
class Joining:
    """The exchange on one connection. ``over(session, reason)`` is told of each session that is lost by it.

    ``serves_beside``: another connection is in service, which goes on where this server hands over no sessions.
    """

    connection: JanusConnection
    requests: Requests
    book: SessionBook
    over: SessionOver
    serves_beside: bool
    cluster: LinkCluster | None

    async def run(self) -> None:
        """Bring the sessions onto it. Raises a JoinStopped; what was claimed stays claimed then."""
        if self.cluster is not None:
            await self.cluster.fenced.fence.opened()  # what is asked behind it has no answer in time
        if self.connection.info is None:
            await self._greet()
        # Again and again: a caller's create may make another one meanwhile.
        while unsettled := self.book.unsettled(self.connection.number):
            await self._claim(unsettled)
        if not (self.book.managed.carried_by(self.connection.number) or self.book.promote(self.connection.number)):
            await self._create()

    async def _greet(self) -> None:
        """Hear the first answer."""
        request = greeting(self.connection, self.requests)
        try:
            await self._answer(request, trio.current_time())
        except JoinStopped:
            if not request.finished or not self.connection.usable:
                raise
        greeted(self.connection, request)

    async def _create(self) -> None:
        if self.cluster is None:
            message = await self._answer(self._ask({"janus": "create"}), trio.current_time())
        else:
            message = await self._create_chosen(self.cluster)
        answer = classify(message)
        data = message.get("data")
        session_id = member_id(data.get("id")) if isinstance(answer, Success) and isinstance(data, dict) else None
        if session_id is None:
            raise JoinStopped(Input.REFUSED, _text("create", answer))
        self.book.managed_created(session_id, self.connection.number)

    async def _create_chosen(self, cluster: LinkCluster) -> JsonObject:
        """Janus's answer, with an id that is in the database before Janus hears of it."""
        message: JsonObject = {}
        for _ in range(CONFLICTS):
            async with chosen_id(cluster, self.connection.record.target.gateway, managed=True) as choice:
                create: JsonObject = {"janus": "create", "id": choice.session_id}
                message = await self._answer(self._ask(create), trio.current_time())
                choice.judge(message)
            if not choice.conflict:
                break
        return message

    async def _claim(self, unsettled: Iterable[JanusSession]) -> None:
        """Claim these. Stops where the connection that serves should go on serving. In a cluster they are another
        bridge's after some time without a beat: nothing is claimed until there was one.
        """
        if self.cluster is not None:
            await self.cluster.fenced.fence.validated()
        book, number, asked_at = self.book, self.connection.number, trio.current_time()
        claims = []
        for session in unsettled:
            if session.offered or session.state is SessionState.ENDED:
                continue  # another bridge's, since the beat was waited for
            again = book.claiming(session, number, asked_at)
            claims.append((session, again, self._ask({"janus": "claim", "session_id": session.session_id})))
        refusal: str | None = None
        unable: str | None = None
        for session, again, request in claims:  # a refusal says nothing of an earlier claim
            answer = await self._claim_answer(session, request, asked_at)
            if session.state is not SessionState.ADRIFT:
                continue  # a `timeout` event, or a caller's claim, was faster than the answer
            verdict = judge_claim(answer)
            if verdict is ClaimAnswer.GRANTED:
                book.claimed(session, number)
            elif verdict is ClaimAnswer.LATER and not self._too_late(session):
                if not again:
                    book.not_claimed(session, number)
                refusal = _text("claim", answer)
            elif not book.carriers.is_open(session.carrier) or (
                verdict is ClaimAnswer.UNKNOWN and session.carrier == number
            ):
                self.over(session, _LOST[verdict])
            elif verdict is ClaimAnswer.UNKNOWN or not self.serves_beside:
                book.stays(session, number)
            else:
                if not again:
                    book.not_claimed(session, number)
                unable = _text("claim", answer)
        if unable is not None:
            raise JoinStopped(Input.UNABLE, unable)
        if refusal is not None:
            raise JoinStopped(Input.REFUSED, refusal)

    async def _claim_answer(self, session: JanusSession, request: AwaitedAnswer, asked_at: float) -> Incoming | None:
        """None: it came, and could not be read; or nothing came for longer than it matters. Raises JoinStopped."""
        try:
            return classify(await self._answer(request, asked_at))
        except JoinStopped:
            if self.connection.usable and (request.finished or self._too_late(session)):
                return None
            raise

    def _too_late(self, session: JanusSession) -> bool:
        """Whether this Janus would have ended a session that no connection carried for so long: no refusal and no
        silence is worth waiting out then.
        """
        patience = max([PATIENCE, *self.connection.times])
        return session.adrift_since is not None and trio.current_time() - session.adrift_since > patience

    def _ask(self, request: JsonObject) -> AwaitedAnswer:
        return self.requests.ask(self.connection, request)

    async def _answer(self, request: AwaitedAnswer, asked_at: float) -> JsonObject:
        while not request.finished:
            greeting = self.connection.info is None and not self.connection.adopted
            spoke = asked_at if greeting else max(asked_at, self.connection.last_received)
            deadline = min(spoke + ANSWER_DEADLINE, asked_at + LONGEST_WAIT)
            if trio.current_time() >= deadline:
                waited = trio.current_time() - asked_at
                raise JoinStopped(Input.FAILED, f"no answer to {request.name} within {waited:.0f} s")
            with trio.move_on_at(deadline):
                await request.wait()
        try:
            return request.result()
        except BridgeError as exc:
            raise JoinStopped(Input.FAILED, str(exc)) from None


def greeting(connection: JanusConnection, requests: Requests) -> AwaitedAnswer:
    """Its Janus is asked for its first answer, once."""
    if connection.greeting is None:
        connection.greeting = requests.ask(connection, {"janus": "info"})
    return connection.greeting


def greeted(connection: JanusConnection, greeting: AwaitedAnswer) -> None:
    """The first answer is there: Janus's time-outs, and the plugins that a signed token may name."""
    try:
        info = greeting.result()
    except BridgeError:  # it came, but over a limit that is configured small: the bridge can do without
        info = {}
    plugins = info.get("plugins")
    if isinstance(plugins, dict):
        connection.credentials.grant(sorted(name[:MAX_PLUGIN] for name in plugins))
    connection.greeted(info)


def _text(what: str, answer: object) -> str:
    if isinstance(answer, Failure):
        verb = "hand over" if what == "claim" else what
        return f"Janus refused to {verb} a session: {answer.code} {answer.reason}"
    return f"Janus sent an unexpected reply to {what}"


async def retire(connection: JanusConnection, heir: int, requests: Requests) -> None:
    """Read a connection until its answers have come, and destroy what it should not leave behind.

    The sessions went to ``heir``. Takes no longer than twice two seconds.
    """
    number = connection.number
    requests.move(number, heir)
    with trio.move_on_after(RETIRE):
        # Janus answers in turn: with this answer everything has come that it had queued for this connection.
        await requests.ask(connection, {"janus": "ping"}).wait()
        await requests.idle(number)
    await _destroy(requests, ((connection, session_id) for session_id in connection.misplaced))
    requests.move(number, heir)
    requests.lose(number, "its connection was left and gave no answer")


async def destroy_sessions(connections: Sequence[JanusConnection], requests: Requests, book: SessionBook) -> None:
    """End every session; waits for Janus's answers, not longer than two seconds.

    Each by the connection that last had it, if that is among these; else by any: Janus does not mind.
    """
    ends: list[tuple[JanusConnection, int]] = []
    for session in book:
        by = next((c for c in connections if c.number == session.carrier), connections[0] if connections else None)
        if session.session_id is not None and by is not None:
            ends.append((by, session.session_id))
            book.ended(session, "destroyed by the bridge, which leaves this Janus")
    await _destroy(requests, ends)


async def _destroy(requests: Requests, ends: Iterable[tuple[JanusConnection, int]]) -> None:
    asked = [requests.ask(by, {"janus": "destroy", "session_id": session_id}) for by, session_id in ends]
    with trio.move_on_after(RETIRE):
        for request in asked:
            await request.wait()
