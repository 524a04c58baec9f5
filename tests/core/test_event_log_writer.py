"""When the log of events is cut: what a cut means that does not come to its end."""

import pytest
import trio

from bridge.core.event_log import LogLimits
from bridge.core.event_log_writer import StoreLimits
from bridge.protocol.event_payload import E_JANUS_EVENT
from bridge.protocol.event_record import EventRecord, StoreContents, StoreFailed
from bridge.protocol.reply_socket import ReplySocket
from tests.support.event_logs import Life, MemoryStore

MI = ReplySocket.parse("mi:udp:h:1")


async def test_a_cut_that_comes_to_nothing_costs_nobody_an_event(nursery: trio.Nursery) -> None:
    """The disk fails in the middle of it, or the bridge stops: what is still on the disk is delivered or told."""
    store = MemoryStore()
    life = Life(store, StoreContents(), 7, LogLimits(), StoreLimits())
    life.evi.configure([(E_JANUS_EVENT, MI)])
    life.janus(*range(1, 11))
    await life.writer._write()
    (cursor,) = life.log.outlets.values()
    pages = store.read

    async def failing(after: int, upto: int) -> tuple[list[EventRecord], int]:
        if after:
            raise StoreFailed("disk I/O error")
        return await pages(after, upto)

    store.read = failing  # type: ignore[method-assign]
    with pytest.raises(StoreFailed):
        await life.writer._cut_to(8, "store_age")
    store.read = pages  # type: ignore[method-assign]
    assert (cursor.state().position, cursor.read_to, cursor.state().losses) == (0, 0, ())
    assert life.evi.figures()[0].drops == {}
    await nursery.start(life.evi.run)
    await life.settled()
    assert life.sender(MI).bodies() == list(range(1, 11))
    nursery.cancel_scope.cancel()
