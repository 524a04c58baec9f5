"""No subscriber by MI has events sent to the bridge itself, whose doors would take them for requests; and the clock by
which it lapses.
"""

import time
from pathlib import Path

import pytest

from bridge.config import load
from bridge.core.stats import Stats
from bridge.daemon.events import EventParts
from bridge.protocol.event_delivery import NotSent
from bridge.protocol.event_payload import E_JANUS_EVENT
from bridge.protocol.redaction import Redaction
from bridge.protocol.reply_socket import ReplySocket
from tests.support.other_database import OtherUrl, with_database


@pytest.mark.parametrize(
    "text", ["mi:udp:127.0.0.1:5999", "udp:localhost:5999", "unix:/tmp/own.sock", "unix:/tmp/fifo"]
)
async def test_they_are_refused_where_loopback_and_tmp_are_allowed(text: str, tmp_path: Path) -> None:
    doors = ['mi.datagram=["udp:127.0.0.1:5999","unix:/tmp/own.sock"]', 'mi.fifo="/tmp/fifo"']
    config = load(None, [f'state.dir="{tmp_path}"', *doors], {})
    with pytest.raises(NotSent):
        await EventParts(config, Stats(), Redaction()).admit(ReplySocket.parse(text), "caller")


async def test_the_socket_of_any_database_is_refused(tmp_path: Path) -> None:
    config = with_database(load(None, [f'state.dir="{tmp_path}"'], {}), OtherUrl(unix_socket="/tmp/database"))
    with pytest.raises(NotSent):
        await EventParts(config, Stats(), Redaction()).admit(ReplySocket.parse("unix:/tmp/database"), "caller")


async def test_a_subscription_lapses_by_the_seconds_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wall clock may be set meanwhile."""
    evi = EventParts(load(None, [f'state.dir="{tmp_path}"'], {}), Stats(), Redaction()).evi
    evi.subscribe(E_JANUS_EVENT, ReplySocket.parse("udp:127.0.0.1:9"), 3600)
    real = time.clock_gettime
    for seconds, left in ((0.0, 1), (3590.0, 1), (3700.0, 0)):
        monkeypatch.setattr(time, "clock_gettime", lambda clock, later=seconds: real(clock) + later)
        assert len(evi.subscribers(E_JANUS_EVENT)) == left
