"""Bring every session of a gateway onto a connection: claim those that have an id, create the managed one.

Owns the exchange that makes a connection useful (contract 5.3, "Claim"). Must not know how it was opened.
A session is lost where its carrier is gone and a claim is refused for good; where its carrier is open, no answer on
another connection ends it.
"""

from collections.abc import Callable, Iterable, Sequence

import trio

from bridge.core.calls import Call
from bridge.core.connection import Connection
from bridge.core.traffic import Traffic
from bridge.errors import BridgeError
from bridge.protocol.codec import JsonObject
from bridge.protocol.janus import MAX_PLUGIN, ClaimAnswer, Failure, Incoming, Success, classify, judge_claim, member_id
from bridge.protocol.session import JanusSession, SessionState
from bridge.protocol.session_book import SessionBook

SessionOver = Callable[[JanusSession, str], None]
_LOST = {
    ClaimAnswer.UNKNOWN: "Janus no longer knows it",
    ClaimAnswer.UNABLE: "its connection ended, and this server hands over no sessions",
    ClaimAnswer.LATER: "its connection ended too long ago",
}

DESTROY_DEADLINE = 2.0
# Seconds for the first answer on a connection; later ones may stand behind thousands of events, so for them it is
# seconds without any frame, though not for ever: a Janus that talks and never answers is none.
ANSWER_DEADLINE = 5.0
LONGEST_WAIT = 30.0
TIMEOUTS = ("session-timeout", "reclaim-session-timeout")  # seconds, in Janus's answer to info
MAX_PLUGINS = 256  # that a signed token names


class JoinFailed(Exception):
    """Nothing more is to be had from this connection."""


class JoinUnable(Exception):
    """This server never hands over a session, and an older connection serves: it goes on serving."""


class JoinRefused(Exception):
    """Janus answered, but will not give or hand over a session (403, 472 ...). To be asked again."""


async def greet(connection: Connection, traffic: Traffic) -> None:
    """Hear the first answer on a connection: Janus's time-outs, and the plugins that a signed token may name.

    Nothing has moved if that fails. Raises JoinFailed.
    """
    _check(connection)
    call = traffic.own(connection, {"janus": "info"})
    try:
        info = await _answer(connection, call)
    except JoinFailed:
        if not call.finished or not connection.usable:
            raise
        # It came, but over a limit that is configured small: the bridge can do without.
        info = {}
    # Of megabytes that a Janus may say of itself, only this is kept.
    connection.info = {name: info[name] for name in TIMEOUTS if name in info}
    plugins = info.get("plugins")
    if isinstance(plugins, dict):
        connection.credentials.grant(sorted(name for name in plugins if len(name) <= MAX_PLUGIN)[:MAX_PLUGINS])
    connection.joined = True


async def claim(connection: Connection, traffic: Traffic, session_over: SessionOver) -> None:
    """Claim until every session that has an id lives on ``connection``.

    ``session_over`` is told of each that Janus did not know any more. Raises JoinRefused or JoinFailed; sessions that
    were claimed stay claimed then. Raises JoinUnable where a connection that serves should go on serving.
    """
    _check(connection)
    try:
        while claims := _send_claims(connection, traffic):  # again: a caller's create may make another one meanwhile
            await _hear_claims(connection, claims, traffic, session_over)
    finally:
        traffic.book.unclaimed()


async def create(connection: Connection, traffic: Traffic) -> None:
    """Create the managed session, if none lives on this connection. Raises JoinRefused or JoinFailed."""
    book = traffic.book
    if book.managed.carried_by(connection.number) or book.promote(connection.number):
        return
    _check(connection)
    book.creating()
    try:
        message = await _answer(connection, traffic.own(connection, {"janus": "create"}))
        answer = classify(message)
        data = message.get("data")
        session_id = member_id(data.get("id")) if isinstance(answer, Success) and isinstance(data, dict) else None
        if session_id is None:
            raise JoinRefused(_text("create", answer))
        book.managed_created(session_id, connection.number)
    finally:
        book.not_created()


def _check(connection: Connection) -> None:
    if connection.ended.is_set():
        raise JoinFailed(connection.end_reason or "the connection ended")


def has_all(connection: Connection, book: SessionBook) -> bool:
    """Whether every session that has an id lives on ``connection``, or is known to live with another Janus."""
    return not any(True for _ in _elsewhere(connection, book))


def _elsewhere(connection: Connection, book: SessionBook) -> Iterable[JanusSession]:
    number = connection.number
    return (s for s in book if s.session_id is not None and not (s.live and number in (s.carrier, s.unknown_to)))


def _send_claims(connection: Connection, traffic: Traffic) -> list[tuple[JanusSession, Call]]:
    claims: list[tuple[JanusSession, Call]] = []
    for session in _elsewhere(connection, traffic.book):
        if session.adrift_since is None and not traffic.is_open(session.carrier):
            session.adrift_since = trio.current_time()
        traffic.book.claiming(session)
        connection.claims_out = True
        claims.append((session, traffic.own(connection, {"janus": "claim", "session_id": session.session_id})))
    return claims


async def _hear_claims(
    connection: Connection, claims: list[tuple[JanusSession, Call]], traffic: Traffic, session_over: SessionOver
) -> None:
    book, asked = traffic.book, trio.current_time()
    refusal: str | None = None
    unable: str | None = None
    for session, call in claims:
        answer = await _claim_answer(connection, call, session, asked)
        if session.state is not SessionState.CLAIMING:
            continue  # a `timeout` event was faster than the answer
        verdict = judge_claim(answer)
        if verdict is ClaimAnswer.GRANTED:
            book.claimed(session, connection.number)
        elif verdict is ClaimAnswer.LATER and not _over_by_now(session, connection):
            book.not_claimed(session)
            refusal = _text("claim", answer)
        elif not traffic.is_open(session.carrier):
            session_over(session, _LOST[verdict])
        elif verdict is ClaimAnswer.UNKNOWN or not traffic.serves_beside(connection):
            book.stays(session, connection.number)
        else:
            book.not_claimed(session)
            unable = _text("claim", answer)
    connection.claims_out = False
    if unable is not None:
        raise JoinUnable(unable)
    if refusal is not None:
        raise JoinRefused(refusal)


async def _claim_answer(connection: Connection, call: Call, session: JanusSession, asked: float) -> Incoming | None:
    """None: it came, and could not be read; or nothing came for longer than it matters. Raises JoinFailed."""
    try:
        return classify(await _answer(connection, call, asked))
    except JoinFailed:
        if connection.usable and (call.finished or _over_by_now(session, connection)):
            return None
        raise


def _over_by_now(session: JanusSession, connection: Connection) -> bool:
    """Whether this Janus would have ended a session that no connection carried for so long: no refusal and no silence
    is worth waiting out then.
    """
    return session.adrift_since is not None and trio.current_time() - session.adrift_since > connection.patience


async def _answer(connection: Connection, call: Call, started: float | None = None) -> JsonObject:
    started = trio.current_time() if started is None else started
    while not call.finished:
        spoke = max(started, connection.last_received) if connection.joined else started
        deadline = min(spoke + ANSWER_DEADLINE, started + LONGEST_WAIT)
        if trio.current_time() >= deadline:
            raise JoinFailed(f"no answer to {call.command.name} within {trio.current_time() - started:.0f} s")
        with trio.move_on_at(deadline):
            await call.wait()
    try:
        return call.result()
    except BridgeError as exc:
        raise JoinFailed(str(exc)) from None


def _text(what: str, answer: object) -> str:
    if isinstance(answer, Failure):
        verb = "hand over" if what == "claim" else what
        return f"Janus refused to {verb} a session: {answer.code} {answer.reason}"
    return f"Janus sent an unexpected reply to {what}"


async def destroy_sessions(connections: Sequence[Connection], traffic: Traffic) -> None:
    """End every session; waits for Janus's answers, not longer than two seconds.

    Each by the connection that last had it, if that is among these; else by any: Janus does not mind.
    """
    calls: list[Call] = []
    for session in traffic.book:
        by = next((c for c in connections if c.number == session.carrier), connections[0] if connections else None)
        if session.session_id is not None and by is not None:
            calls.append(traffic.own(by, {"janus": "destroy", "session_id": session.session_id}))
            traffic.book.ended(session, "destroyed by the bridge, which leaves this Janus")
    with trio.move_on_after(DESTROY_DEADLINE):
        for call in calls:
            await call.wait()
