"""Where a link stands, in a word, for tests that wait for it: made of the set of its connections."""

from enum import Enum

from bridge.core.link import JanusLink
from bridge.protocol.life import State


class Phase(Enum):
    DOWN = "no connection, waiting to try again"
    OPENING = "a connection is being opened, there is no other"
    JOINING = "connected: sessions are claimed or created"
    REFUSED = "connected: Janus refuses a session"
    READY = "commands go out"
    LEAVING = "as OPENING, and a predecessor is open"
    RESTING = "as DOWN, and a predecessor is open"
    REJOINING = "as JOINING, and a predecessor is open"


BESIDE = {None: Phase.RESTING, State.OPENING: Phase.LEAVING, State.JOINING: Phase.REJOINING}
ALONE = {None: Phase.DOWN, State.OPENING: Phase.OPENING, State.JOINING: Phase.JOINING}


def phase(link: JanusLink) -> Phase:
    """Of this link, now."""
    current = link.roster.current
    state = None if current is None else current.state
    if state in (State.REFUSED, State.READY):
        return Phase[state.name]
    left = any(c.state is State.LEFT and not c.kept for c in link.roster.connections.values())
    return (BESIDE if left else ALONE)[state]
