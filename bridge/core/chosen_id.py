"""The id of a session that is about to be made: chosen here, and in the cluster's database before Janus hears of it.

Owns what becomes of such an id where Janus has it already, or makes no session. Must not know who makes one. Authority:
contract 11: a bridge that is killed right behind the answer to a ``create`` leaves nothing that its peers cannot find.
Observed: Janus takes any id up to 2**63 - 1, and answers 468 for one that it has.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge.core.environment import LinkCluster
from bridge.protocol.codec import JsonObject
from bridge.protocol.gateway import Gateway
from bridge.protocol.janus import SESSION_CONFLICT, Failure, Success, classify
from bridge.protocol.session import SavedSession

CONFLICTS = 3  # ids that a Janus may have already; of random ones, none does


class ChosenId:
    """``session_id`` is to be asked for. ``conflict``: Janus has one of that id already, so that another one is due."""

    def __init__(self, session_id: int) -> None:
        self.session_id = session_id
        self.made = self.conflict = False

    def judge(self, answer: JsonObject) -> None:
        """Janus's answer to the create."""
        read = classify(answer)
        self.made = isinstance(read, Success)
        self.conflict = isinstance(read, Failure) and read.code == SESSION_CONFLICT


@asynccontextmanager
async def chosen_id(cluster: LinkCluster, gateway: Gateway, *, managed: bool) -> AsyncIterator[ChosenId]:
    """An id of our own. It is given up again where no session was made, as far as is known."""
    choice = ChosenId(cluster.new_id())
    await cluster.sessions.reserve(gateway, choice.session_id, managed=managed)
    try:
        yield choice
    finally:
        if not choice.made:
            cluster.sessions.save(gateway, SavedSession(choice.session_id, managed, ended=True))
