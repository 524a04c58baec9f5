"""A SessionBook without a Janus, for tests."""

from typing import Any

import pytest

from bridge.errors import InvalidCommand
from bridge.protocol.command import read_command
from bridge.protocol.gateway import Gateway
from bridge.protocol.janus import member_id
from bridge.protocol.managed_ids import ManagedIds
from bridge.protocol.session import SavedSession
from bridge.protocol.session_book import SessionBook

MANAGED, CLIENT, STRANGE = 111, 222, 333
GATEWAY = Gateway(1, "gw", "ws://janus", None)


class Bed:
    """A book with a managed session, and what it saved."""

    def __init__(self, *saved: SavedSession, live: bool = True) -> None:
        self.saves: list[SavedSession] = []
        self.managed_ids = ManagedIds()
        self.book = SessionBook(self.managed_ids, lambda _, session: self.saves.append(session), GATEWAY, saved)
        if live:
            self.book.managed_created(MANAGED, 1)

    def sent_as(self, **members: Any) -> int | None:
        """The session_id that a command goes out with."""
        command = read_command(members)
        self.book.check(command)
        session_id, _ = self.book.address(command)
        return session_id

    def heard(self, message: dict[str, Any]) -> None:
        """A message of Janus came."""
        self.book.handles.heard(self.book.find(member_id(message.get("session_id"))), message)

    def end(self, session_id: int) -> None:
        """The session with this id is over."""
        session = self.book.find(session_id)
        assert session is not None
        self.book.ended(session)

    def refusal(self, **members: Any) -> str:
        with pytest.raises(InvalidCommand) as caught:
            self.book.check(read_command(members))
        return str(caught.value)
