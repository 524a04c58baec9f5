"""Several hosts of one database: which one is asked, and what is said where none serves."""

import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pymysql
import pytest

from bridge.errors import TableRefused, TableUnavailable
from bridge.protocol.db_url import parse_db_url
from bridge.protocol.redaction import Redaction
from bridge.transport.db import Database
from bridge.transport.db_hosts import HostsInTurn, NotServing, ReadOnlyHost
from bridge.transport.db_mysql_link import translated_errors
from tests.support.deadlines import HANG_SECONDS
from tests.support.mariadb import MariaDb

AWAY = NotServing("away")
BROKE = TableUnavailable("broke")
NO = TableRefused("no")
READ_ONLY = ReadOnlyHost("read-only")


def at(outcomes: Mapping[str, TableUnavailable], asked: list[str]) -> Callable[[str], str]:
    def attempt(host: str) -> str:
        asked.append(host)
        if host in outcomes:
            raise outcomes[host]
        return host

    return attempt


def three() -> HostsInTurn[str]:
    return HostsInTurn([(name, name) for name in ("h1", "h2", "h3")])


def test_the_one_that_served_last_is_asked_first() -> None:
    hosts, asked = three(), list[str]()
    assert hosts.visit(at({"h1": AWAY}, asked)) == "h2"
    assert hosts.visit(at({}, asked)) == "h2"
    assert hosts.visit(at({"h2": AWAY, "h3": AWAY}, asked)) == "h1"
    hosts.next()
    assert hosts.visit(at({}, asked)) == "h2"
    assert asked == ["h1", "h2", "h2", "h2", "h3", "h1", "h2"]


def test_a_visit_that_was_given_up_changes_nothing_when_it_ends() -> None:
    """It hung at h1, in the look-up of its name for example, while h2 served."""
    hosts, asked = three(), list[str]()

    def hangs(host: str) -> str:
        if host == "h1":
            hosts.next()
            assert hosts.visit(at({}, asked)) == "h2"
        raise AWAY

    with pytest.raises(TableUnavailable):
        hosts.visit(hangs)
    assert hosts.visit(at({}, asked)) == "h2"
    assert asked == ["h2", "h2"]


@pytest.mark.parametrize(
    ("outcomes", "again", "expected", "asked"),
    [
        ({"h1": READ_ONLY}, False, "h2", 2),
        ({"h1": BROKE}, True, "h2", 2),
        ({"h1": BROKE}, False, TableUnavailable("h1: broke"), 1),  # who knows what it did
        ({"h1": NO}, True, TableRefused("h1: no"), 1),
        ({"h1": AWAY, "h2": NO}, False, TableRefused("h2: no"), 2),
        ({"h1": AWAY, "h2": BROKE, "h3": AWAY}, True, TableUnavailable("h1: away; h2: broke; h3: away"), 3),
        ({"h1": AWAY, "h2": READ_ONLY, "h3": READ_ONLY}, False, TableUnavailable("h1: away; h2: read-only; "), 3),
        (dict.fromkeys(("h1", "h2", "h3"), READ_ONLY), False, TableRefused("h1: read-only; h2: read-only; "), 3),
    ],
)
def test_what_goes_on_to_the_next(
    outcomes: Mapping[str, TableUnavailable], again: bool, expected: str | TableUnavailable, asked: int
) -> None:
    seen: list[str] = []
    if isinstance(expected, str):
        assert three().visit(at(outcomes, seen), again=again) == expected
    else:
        with pytest.raises(type(expected)) as caught:
            three().visit(at(outcomes, seen), again=again)
        assert str(caught.value).startswith(str(expected))
        assert isinstance(caught.value, TableRefused) == isinstance(expected, TableRefused)
    assert len(seen) == asked


async def test_a_host_whose_name_hangs_keeps_no_visit_from_the_next(
    mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **named: Any) -> Any:
        if host == "hangs.example":
            release.wait(HANG_SECONDS)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return look_up(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    url = parse_db_url(mariadb.create_database().replace("@", "@hangs.example,"))
    database = Database(url, deadline=HANG_SECONDS)  # of which each host has its part
    database._deadline = 0.05
    with pytest.raises(TableUnavailable, match=r"no answer within 0\.05 s"):
        await database.visit("read", lambda execute: execute("SELECT 1"))
    database._deadline = HANG_SECONDS
    assert await database.visit("read", lambda execute: execute("SELECT 1")) == [(1,)]
    release.set()


@pytest.mark.parametrize("fault", [AWAY, BROKE, NO, READ_ONLY])
def test_a_single_host_is_not_named(fault: TableUnavailable) -> None:
    with pytest.raises(TableUnavailable) as caught:
        HostsInTurn([("h1", "h1")]).visit(at({"h1": fault}, []))
    assert str(caught.value) == str(fault)
    assert isinstance(caught.value, TableRefused) == isinstance(fault, TableRefused)


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        *(
            (code, False)
            for code in (1040, 1205, 1213, 1180, 1317, 1020, 1021, 1030, 1927, 1969, 3024, 2006, 2013, 1047)
        ),
        *((code, True) for code in (1044, 1045, 1049, 1054, 1142, 1146)),
    ],
)
def test_what_passes_by_itself_keeps_no_bridge_from_starting(code: int, refused: bool) -> None:
    """1020: "Record has changed since last read", of MariaDB's innodb_snapshot_isolation.

    1180: "Error while appending streaming replication fragment", of a Galera that loses its quorum.
    """
    with pytest.raises(TableUnavailable) as caught, translated_errors(Redaction()):
        raise pymysql.OperationalError(code, "a reason")
    assert isinstance(caught.value, TableRefused) == refused
