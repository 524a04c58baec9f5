"""What follows from what happens to a connection: a table, a row a decision (contract 5.3).

Owns ``TABLE``: (state, input) to a decision, and the states to which it may lead. A pair without a row is of no
consequence. A decision is a function of the roster, the connection and the incident; it changes them, and lists what is
to be done. Must not know who does it.

Why a connection is left, not closed, until another one has its sessions: "Two rules" in docs/architecture.md. One
connection at most is *current*: being opened, joined, refused or ready. Those that were left for it are its
predecessors, and may take its place again while it is not ready. One that was left and still carries sessions when the
next one is in service is *kept*: these live with another Janus behind the same URL.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from bridge.protocol.life import Cause, Effect, Input, State
from bridge.protocol.roster import ConnectionRecord, Roster


class Incident(NamedTuple):
    """Something that happened to a connection, at a time, for a reason. ``refused``: nothing listens there."""

    what: Input
    now: float
    reason: str = ""
    refused: bool = False


Decision: TypeAlias = Callable[[Roster, ConnectionRecord, Incident], None]


class Transition(NamedTuple):
    """What is decided, and the states to which that may lead."""

    decision: Decision
    to: tuple[State, ...]


def decide(roster: Roster, connection: ConnectionRecord, incident: Incident) -> bool:
    """Take the decision of the table; whether there was one."""
    row = TABLE.get((connection.state, incident.what))
    if row is None:
        return False
    row.decision(roster, connection, incident)
    if connection.state not in row.to:
        raise ValueError(f"{row.decision.__name__} may not lead to {connection.state.name}")
    return True


def join(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Bring the sessions onto it."""
    if connection.state is State.OPENING:
        connection.since = incident.now
        roster.carry(connection)
    connection.state = State.JOINING
    roster.do(Effect.JOIN, connection.number)


def take_over(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Bring the sessions onto it, if it is the newest; the others are left, and serve once their Janus has answered."""
    if connection is roster.current:
        join(roster, connection, incident)
        return
    roster.leave(connection, Cause.SILENCE, incident.now)
    connection.kept = True


def wait(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Try again after a pause; what was left goes on."""
    roster.end(connection)
    roster.failed(incident.now, incident.reason, refused=incident.refused)


def drop(roster: Roster, connection: ConnectionRecord, _incident: Incident) -> None:
    """Stop opening it."""
    roster.end(connection)
    roster.do(Effect.CANCEL, connection.number)


def serve(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Take it into service."""
    connection.state, connection.since, connection.proven = State.READY, incident.now, True
    roster.serving = connection.number
    roster.do(Effect.READY, connection.number)
    roster.do(Effect.WATCH, connection.number)
    if roster.outdated(connection):
        _follow_wish(roster, connection, incident)
    else:
        roster.do(Effect.SETTLED)


def ask_again(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Ask again after a pause. A predecessor that still has sessions goes on instead."""
    roster.retry_at = incident.now + roster.backoff.failed(incident.now, refused=False)
    serves = roster.serves_beside(connection.number) and roster.book.managed.session_id is not None
    waits = any(not c.kept for c in roster.left())
    if waits and (serves or roster.book.unsettled(connection.number)):
        roster.do(Effect.NOTE, text=incident.reason)
        _part(roster, connection, incident)
        return
    if roster.serving is not None:
        roster.serving = connection.number
    connection.proven = True
    roster.do(Effect.WATCH, connection.number)
    _pause(roster, connection, incident)
    if roster.outdated(connection):
        _follow_wish(roster, connection, incident)


def keep_serving(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Let the predecessor serve on, for what is wanted now, and give the wish up."""
    serving = roster.connections[roster.serving or 0]
    serving.unwanted, serving.target = False, roster.wanted
    roster.do(Effect.SETTLED, text=incident.reason)
    _part(roster, connection, incident)


def abandon(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Part with it; a predecessor that is as good as before goes on. One that was another process's, and gave no
    answer, was no failed attempt.
    """
    if connection.untested:
        roster.do(Effect.LOG, text=f"opening a new connection beside that of the last process: {incident.reason}")
    else:
        roster.failed(incident.now, incident.reason)
    _part(roster, connection, incident)


def break_off(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Stop joining it, if it is no more than an attempt. Else it is left once it is joined."""
    if not connection.proven:
        roster.do(Effect.CANCEL, connection.number)
        _part(roster, connection, incident)


def starve(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Nothing more can be asked on it: so the exchange fails."""
    roster.suspend(connection, incident.reason)


def lose(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Open another one, unless a predecessor is as good as before."""
    if connection.state is State.JOINING:
        roster.do(Effect.CANCEL, connection.number)
    roster.end(connection)
    roster.suspend(connection, incident.reason)
    if connection.proven:
        roster.do(Effect.NOTE, text=incident.reason)
        roster.over(connection.since, incident.now, served=connection.served)
    else:
        roster.failed(incident.now, incident.reason)
    _resume(roster, incident)


def leave(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Look for another one. What has sessions is kept open and read; by choice it serves on."""
    by_choice = incident.what is Input.UNWANTED
    if not by_choice:
        roster.over(connection.since, incident.now, served=connection.served)
    roster.do(Effect.LOG, text=f"leaving the connection for a new one: {incident.reason}")
    if connection.state is State.READY or roster.book.carriers.carries(connection.number):
        roster.leave(connection, Cause.CHOICE if by_choice else Cause.SILENCE, incident.now)
    else:
        roster.close(connection)
    if connection.cause is not Cause.CHOICE:
        roster.suspend(connection, incident.reason)


def renew(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Make the managed session anew; after a pause, where it did not last."""
    roster.over(connection.since, incident.now, served=False)
    if incident.now >= roster.retry_at:
        join(roster, connection, incident)
    else:
        _pause(roster, connection, incident)


def listen(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Let it serve again what lives there; or be current again, while no other one is being joined."""
    if connection.cause is not Cause.SILENCE or connection.stalled or connection.untested:
        return
    connection.heard = True
    if connection.kept:
        connection.cause = Cause.CHOICE
        roster.do(Effect.WATCH, connection.number)
    elif roster.current is None or roster.current.state is State.OPENING:
        go_back(roster, connection, incident)


def mute(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Do not serve what lives there until it speaks."""
    connection.cause, connection.heard, connection.quiet_since = Cause.SILENCE, False, incident.now
    roster.ping(connection)
    roster.suspend(connection, incident.reason)


def go_back(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Make it current again; the attempt to replace it is dropped."""
    if incident.what is Input.SESSION_ENDED:
        if roster.current is not None and roster.current.state is not State.OPENING:
            return  # the one that is being joined makes a new session
        roster.over(connection.since, incident.now, served=False)
    if roster.current is not None:
        decide(roster, roster.current, Incident(Input.UNWANTED, incident.now))
    connection.state, connection.cause = State.JOINING, None
    roster.do(Effect.LOG, text="going back to the connection that was left")
    roster.do(Effect.JOIN, connection.number)
    roster.do(Effect.WATCH, connection.number)


def retire(roster: Roster, connection: ConnectionRecord, _incident: Incident) -> None:
    """Read it until its answers have come."""
    connection.state = State.RETIRING
    roster.do(Effect.RETIRE, connection.number)


def give_up(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Close it: what lived there is claimed elsewhere, or lost."""
    roster.close(connection)
    roster.suspend(connection, incident.reason)


def close_unless_used(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Close it, unless a session was made there meanwhile."""
    if roster.book.carriers.carries(connection.number):
        roster.leave(connection, Cause.CHOICE, incident.now)
    else:
        roster.close(connection)


def forget(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """Claim what lived there on the current one."""
    roster.end(connection)
    roster.suspend(connection, incident.reason)


def _pause(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    connection.state = State.REFUSED
    roster.down_because = incident.reason
    roster.do(Effect.NOT_READY, text=incident.reason)


def _part(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    """An attempt is over. Where a claim has no answer it may have sessions: it is left like one that has."""
    if roster.book.carriers.carries(connection.number):
        roster.leave(connection, Cause.SILENCE, incident.now)
    else:
        roster.close(connection)
    roster.suspend(connection, incident.reason)
    _resume(roster, incident)


def _resume(roster: Roster, incident: Incident) -> None:
    """There is no current one: a predecessor that is as good as before goes on; without one, none is in service."""
    good = [c for c in reversed(roster.left()) if not c.kept and not c.stalled and (c.cause is Cause.CHOICE or c.heard)]
    if good:
        best = min(good, key=lambda c: c.cause is not Cause.CHOICE)
        decide(roster, best, Incident(Input.PREFERRED, incident.now))
    elif roster.serving is not None:
        roster.suspend(roster.connections[roster.serving], incident.reason)


def _follow_wish(roster: Roster, connection: ConnectionRecord, incident: Incident) -> None:
    leave(roster, connection, Incident(Input.UNWANTED, incident.now, roster.outdated(connection)))


TABLE: dict[tuple[State, Input], Transition] = {
    (State.OPENING, Input.OPENED): Transition(join, (State.JOINING,)),
    (State.OPENING, Input.ADOPTED): Transition(take_over, (State.JOINING, State.LEFT)),
    (State.OPENING, Input.FAILED): Transition(wait, (State.ENDED,)),
    (State.OPENING, Input.UNWANTED): Transition(drop, (State.ENDED,)),
    (State.JOINING, Input.JOINED): Transition(serve, (State.READY, State.LEFT)),
    (State.JOINING, Input.REFUSED): Transition(ask_again, (State.REFUSED, State.LEFT, State.ENDED)),
    (State.JOINING, Input.UNABLE): Transition(keep_serving, (State.LEFT, State.ENDED)),
    (State.JOINING, Input.FAILED): Transition(abandon, (State.LEFT, State.ENDED)),
    (State.JOINING, Input.UNWANTED): Transition(break_off, (State.JOINING, State.LEFT, State.ENDED)),
    (State.JOINING, Input.STALLED): Transition(starve, (State.JOINING,)),
    (State.JOINING, Input.ENDED): Transition(lose, (State.ENDED,)),
    (State.REFUSED, Input.DUE): Transition(join, (State.JOINING,)),
    (State.REFUSED, Input.SILENT): Transition(leave, (State.LEFT, State.ENDED)),
    (State.REFUSED, Input.STALLED): Transition(leave, (State.LEFT, State.ENDED)),
    (State.REFUSED, Input.UNWANTED): Transition(leave, (State.LEFT, State.ENDED)),
    (State.REFUSED, Input.ENDED): Transition(lose, (State.ENDED,)),
    (State.READY, Input.SILENT): Transition(leave, (State.LEFT,)),
    (State.READY, Input.STALLED): Transition(leave, (State.LEFT,)),
    (State.READY, Input.UNWANTED): Transition(leave, (State.LEFT,)),
    (State.READY, Input.SESSION_ENDED): Transition(renew, (State.JOINING, State.REFUSED)),
    (State.READY, Input.STRANDED): Transition(join, (State.JOINING,)),
    (State.READY, Input.ENDED): Transition(lose, (State.ENDED,)),
    (State.LEFT, Input.SPOKE): Transition(listen, (State.LEFT, State.JOINING)),
    (State.LEFT, Input.SILENT): Transition(mute, (State.LEFT,)),
    (State.LEFT, Input.STALLED): Transition(mute, (State.LEFT,)),
    (State.LEFT, Input.PREFERRED): Transition(go_back, (State.JOINING,)),
    (State.LEFT, Input.SESSION_ENDED): Transition(go_back, (State.LEFT, State.JOINING)),
    (State.LEFT, Input.EMPTY): Transition(retire, (State.RETIRING,)),
    (State.LEFT, Input.OVERDUE): Transition(give_up, (State.ENDED,)),
    (State.LEFT, Input.ENDED): Transition(forget, (State.ENDED,)),
    (State.RETIRING, Input.RETIRED): Transition(close_unless_used, (State.LEFT, State.ENDED)),
    (State.RETIRING, Input.ENDED): Transition(forget, (State.ENDED,)),
}
