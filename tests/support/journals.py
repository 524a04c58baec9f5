"""A SessionJournal as the bridge uses it, for tests."""

import json
from pathlib import Path
from typing import Any

import trio

from bridge.protocol.gateway import Gateway
from bridge.protocol.session import SavedSession
from bridge.transport.session_journal import SessionJournal

GATEWAY = Gateway(1, "gw", "janusws://h?token=x", None)
OTHER = Gateway(2, "gw", "janusws://other", None)


def managed(session_id: int, *, ended: bool = False) -> SavedSession:
    return SavedSession(session_id, managed=True, ended=ended)


def client_session(session_id: int, *, ended: bool = False) -> SavedSession:
    return SavedSession(session_id, managed=False, ended=ended)


def loaded(path: Path) -> SessionJournal:
    journal = SessionJournal(path)
    journal.load()
    return journal


def write(journal: SessionJournal, *sessions: SavedSession, gateway: Gateway = GATEWAY) -> None:
    """Save as a bridge does that is stopped right after."""

    async def main() -> None:
        for session in sessions:
            journal.save(gateway, session)
        with trio.move_on_after(0):
            await journal.run()

    trio.run(main)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def count(path: Path) -> int:
    """Whole lines in the file."""
    return path.read_bytes().count(b"\n")
