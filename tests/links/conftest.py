"""What outlives a process, for links that begin where another process ended."""

from collections.abc import Iterator

import pytest

from bridge.transport.fd_store import FdStore
from bridge.transport.systemd import Notifier
from tests.support.fake_systemd import FakeSystemd
from tests.support.linkbed import LinkBed


@pytest.fixture
def store(systemd: FakeSystemd) -> Iterator[FdStore]:
    """One for all processes of a test: what a process leaves, the next one finds."""
    notifier = Notifier(systemd.environ)
    made = FdStore(notifier, systemd.environ)
    yield made
    for held in list(made.held):  # the sessions of the last process end, and what ticks in them
        made.end(held.base)
    notifier.close()


def beds(store: FdStore, *starts: str) -> list[LinkBed]:
    """A bed a process."""
    made = [LinkBed(start=start, store=store) for start in starts]
    for bed in made:
        bed.saved = made[0].saved
    return made


def numbers(*processes: LinkBed) -> list[int]:
    """Of the events that they heard, in order."""
    return [event["plugindata"]["data"]["i"] for bed in processes for event in bed.events]


def bases(store: FdStore) -> set[str]:
    return {held.base for held in store.held}
