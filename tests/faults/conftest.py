"""What a fault's test may ask for: its row's time, and servers that it may ruin."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import bridge_factory, events
from tests.faults import matrix
from tests.support.mariadb import MariaDb

__all__ = ["bridge_factory", "events"]  # fixtures by being here

_SECONDS = {row.test: row.within for row in matrix.load()}


@pytest.fixture
def within(request: pytest.FixtureRequest) -> float:
    """Until when everything has to be normal again, in seconds: what the test's row says, and so the document."""
    seconds = _SECONDS.get(request.node.nodeid)
    assert seconds is not None, f"{matrix.MATRIX.name} gives no time for {request.node.nodeid}"
    return seconds


@pytest.fixture(scope="package")
def own_mariadb() -> Iterator[MariaDb]:
    """A MariaDB that may be frozen and killed. Leave it running."""
    with MariaDb() as server:
        server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")  # what is committed has to outlive a kill
        yield server
