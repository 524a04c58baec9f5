"""What a fault's test may ask for: its row's time, and servers that it may ruin."""

from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from tests.e2e.conftest import bridge_factory, events
from tests.faults import matrix
from tests.support.bridge_cluster import Listener
from tests.support.mariadb import MariaDb
from tests.support.receivers import Receiver

__all__ = ["bridge_factory", "events"]  # fixtures by being here

_SECONDS = {row.test: row.within for row in matrix.load()}


@pytest.fixture
def within(request: pytest.FixtureRequest) -> float:
    """Until when everything has to be normal again, in seconds: what the test's row says, and so the document."""
    seconds = _SECONDS.get(request.node.nodeid.partition("[")[0])
    assert seconds is not None, f"{matrix.MATRIX.name} gives no time for {request.node.nodeid}"
    return seconds


@pytest.fixture
async def listener(events: Receiver, nursery: trio.Nursery) -> AsyncIterator[Listener]:
    """Hears what the bridges of a cluster say."""
    made = Listener(events)
    nursery.start_soon(made.run)
    yield made
    nursery.cancel_scope.cancel()


@pytest.fixture(scope="package")
def own_mariadb() -> Iterator[MariaDb]:
    """A MariaDB that may be frozen and killed. Leave it running."""
    with MariaDb(durable=True) as server:
        yield server
