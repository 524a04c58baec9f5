"""What happens to the database, beside the installed program with a real MariaDB and a real Janus."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pymysql
import pytest
import trio

from tests.support.bridge import Bridge, BridgeFailed
from tests.support.deadlines import HANG_SECONDS, in_time
from tests.support.janus import Janus
from tests.support.mariadb import MariaDb
from tests.support.mi_client import MiError
from tests.support.tables import mariadb_table
from tests.transport.test_db_hostile import GREETING, error_of, packet

PING = {"janus": "ping"}
WAITING = "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table%'"


@pytest.fixture(scope="module")
def bridge(own_mariadb: MariaDb, janus: Janus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """With one gateway, in a table that every test leaves as it was."""
    url = mariadb_table(own_mariadb, {"gw1": janus.url})
    with Bridge(tmp_path_factory.mktemp("bridge"), {"janus.janus_db_url": url}) as started:
        yield started


def table_of(bridge: Bridge) -> str:
    """The database's name."""
    return str(bridge.options["janus.janus_db_url"]).rpartition("/")[2]


async def serving(bridge: Bridge) -> None:
    """Show that commands are answered."""
    while (await bridge.ami("janus_list"))["Gateways"][0]["state"] != "ready":  # noqa: ASYNC110 - it is asked over MI
        await trio.sleep(0.01)
    assert (await bridge.send("gw1", PING))["janus"] == "pong"


async def refused(bridge: Bridge) -> str:
    """Show that the table cannot be loaded, while gateways work on; returns why."""
    with pytest.raises(MiError) as caught:
        await bridge.ami("janus_reload")
    assert (caught.value.code, caught.value.message) == (500, "Janus table not loaded")
    await serving(bridge)
    return str(caught.value.data)


async def normal(bridge: Bridge, seconds: float) -> None:
    """Show that the table can be read again within so many seconds."""
    with in_time(seconds):
        assert (await bridge.ami("janus_reload"))["unchanged"] == ["gw1"]


async def test_refused(own_mariadb: MariaDb, bridge: Bridge, within: float) -> None:
    own_mariadb.kill()
    try:
        assert "refused" in (await refused(bridge)).lower()
        # And at the next start: the last good table is used, and the database asked again and again.
        bridge.stop()
        bridge.start()
        await serving(bridge)
        assert bridge.logged("ready: table stale, 1 gateway")
    finally:
        own_mariadb.start()
    with in_time(within):
        while "janus table can be read again" not in bridge.log:  # noqa: ASYNC110 - a file
            await trio.sleep(0.01)
    await normal(bridge, 1)


async def test_slow(own_mariadb: MariaDb, bridge: Bridge, within: float) -> None:
    """Who asks for the table waits as long as it takes, and nobody else."""
    async with trio.open_nursery() as nursery:
        own_mariadb.freeze()
        try:
            nursery.start_soon(normal, bridge, HANG_SECONDS)
            for _ in range(3):  # more would take a busy machine longer than the database may
                await serving(bridge)
            assert nursery.child_tasks  # it still waits
        finally:
            own_mariadb.thaw()
        await normal(bridge, within)


async def test_gone_in_the_middle_of_a_query(own_mariadb: MariaDb, bridge: Bridge, within: float) -> None:
    locker = pymysql.connect(unix_socket=str(own_mariadb.socket), user="root", database=table_of(bridge))
    try:
        locker.cursor().execute("LOCK TABLES janus WRITE")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, bridge)
            while own_mariadb.execute(WAITING) == [(0,)]:  # noqa: ASYNC110 - it is asked over SQL
                await trio.sleep(0.01)
            own_mariadb.kill()
    finally:
        locker.close()
        own_mariadb.start()
    await normal(bridge, within)


async def test_wrong_schema(own_mariadb: MariaDb, bridge: Bridge, within: float) -> None:
    own_mariadb.execute("ALTER TABLE janus CHANGE janus_url url VARCHAR(255)", database=table_of(bridge))
    assert "janus_url" in await refused(bridge)
    own_mariadb.execute("ALTER TABLE janus CHANGE url janus_url VARCHAR(255)", database=table_of(bridge))
    await normal(bridge, within)


async def test_wrong_version(own_mariadb: MariaDb, bridge: Bridge, tmp_path: Path, within: float) -> None:
    own_mariadb.execute("UPDATE version SET table_version = 2 WHERE table_name = 'janus'", database=table_of(bridge))
    reason = await refused(bridge)
    assert "version 2" in reason
    # A start with it is refused: nothing but an upgrade helps.
    with pytest.raises(BridgeFailed, match="ended with code 2"):
        Bridge(tmp_path, {"janus.janus_db_url": bridge.options["janus.janus_db_url"]}).start()
    own_mariadb.execute("UPDATE version SET table_version = 1 WHERE table_name = 'janus'", database=table_of(bridge))
    await normal(bridge, within)


async def test_asks_for_a_file_of_ours() -> None:
    """LOAD DATA LOCAL: a server may answer any query with "send me this file of yours"."""
    heard = b""
    ok = bytes(3) + b"\x02" + bytes(3)

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal heard
        await stream.send_all(packet(0, GREETING))
        await stream.receive_some()
        await stream.send_all(packet(2, ok))
        with suppress(trio.BrokenResourceError):  # it hangs up on such a server
            while data := await stream.receive_some():
                heard += data
                await stream.send_all(packet(1, b"\xfb" + __file__.encode() if b"SELECT" in data else ok))

    await error_of(serve)
    assert b"SELECT" in heard
    assert b"LOAD DATA LOCAL" not in heard  # which stands in this file
