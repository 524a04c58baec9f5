"""When the janus table is read, and what holds when it cannot be (contract 4.1, 4.3 .. 4.5)."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from bridge.core.registry import TURN
from bridge.core.table import Table
from bridge.errors import TableUnavailable, WrongTableVersion
from bridge.protocol.backoff import Backoff
from bridge.protocol.gateway import TableRow
from tests.support.linkbed import LinkBed, running
from tests.support.memory_janus import MemoryJanus

ONE, TWO = TableRow(1, "one", "ws://model/1"), TableRow(2, "two", "ws://model/2")


class Database:
    """Rows, or an error; and what was kept for the next start."""

    def __init__(self, *rows: TableRow) -> None:
        self.answer: list[TableRow] | TableUnavailable = list(rows)
        self.kept: list[TableRow] | None = None
        self.asked_at: list[float] = []

    async def rows(self) -> list[TableRow]:
        self.asked_at.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if isinstance(self.answer, TableUnavailable):
            raise self.answer
        return self.answer

    async def keep(self, rows: list[TableRow]) -> None:
        await trio.lowlevel.checkpoint()
        self.kept = rows

    def kept_rows(self) -> list[TableRow]:
        assert self.kept is not None
        return self.kept

    def saved(self) -> tuple[list[TableRow], float] | None:
        return None if self.kept is None else (self.kept, 1000.0)


@asynccontextmanager
async def table_of(database: Database, poll_interval: float = 0) -> AsyncIterator[tuple[Table, LinkBed]]:
    janus = MemoryJanus(reclaim=False)
    bed = LinkBed(connector=janus.connect, look_every=0.05)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(janus.run)
        async with running(bed, {}):
            backoff = Backoff(1, 30, lambda low, high: high)
            yield Table(bed.registry, database.rows, database.keep, backoff, lambda: 2000.0, poll_interval), bed
        nursery.cancel_scope.cancel()


def ids(bed: LinkBed) -> list[str]:
    return [link.gateway.janus_id for link in bed.registry]


async def test_first_good_answer_is_fresh_and_kept(autojump_clock: MockClock) -> None:
    database = Database(ONE, TWO)
    async with table_of(database) as (table, bed):
        await table.first(database.saved)
        assert (table.freshness, table.read_at, table.error) == ("fresh", 2000.0, None)
        assert ids(bed) == ["one", "two"]
        assert database.kept == [ONE, TWO]
        await bed.ready("one")


async def test_last_good_table_is_used_until_the_database_answers(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database()
    caplog.set_level(logging.INFO)
    database.kept, database.answer = [ONE], TableUnavailable("no route to the database")
    async with table_of(database) as (table, bed), trio.open_nursery() as nursery:
        await table.first(database.saved)
        assert (table.freshness, table.read_at) == ("stale", 1000.0)
        assert table.error == "no route to the database"
        one = await bed.ready("one")
        nursery.start_soon(table.run)
        await trio.sleep(300)
        pauses = [later - earlier for earlier, later in pairwise(database.asked_at)]
        assert [round(pause) for pause in pauses[:6]] == [1, 2, 4, 8, 16, 30]
        assert max(pauses) == 30
        assert caplog.text.count("no route to the database") == 1  # said once, not at each attempt
        database.answer = [ONE, TWO]
        await bed.until(lambda: table.freshness == "fresh", 40)
        assert bed.registry.find("one") is one  # what was right about the old table goes on
        assert ids(bed) == ["one", "two"]
        assert "can be read again" in caplog.text
        asked = len(database.asked_at)
        await trio.sleep(1000)
        assert len(database.asked_at) <= asked + 1  # no polling unless it is asked for
        nursery.cancel_scope.cancel()


async def test_without_any_table_there_is_no_gateway_yet(autojump_clock: MockClock) -> None:
    database = Database()
    database.answer = TableUnavailable("no route to the database")
    async with table_of(database) as (table, bed):
        await table.first(database.saved)
        assert (table.freshness, table.read_at, ids(bed)) == ("none", None, [])


async def test_wrong_version_at_start_is_for_the_operator(autojump_clock: MockClock) -> None:
    database = Database()
    database.kept, database.answer = [ONE], WrongTableVersion("version 2, not 1")
    async with table_of(database) as (table, _):
        with pytest.raises(WrongTableVersion):
            await table.first(database.saved)


@pytest.mark.parametrize("error", [TableUnavailable("gone"), WrongTableVersion("version 2, not 1")])
async def test_later_failure_changes_nothing(error: TableUnavailable, autojump_clock: MockClock) -> None:
    database = Database(ONE)
    async with table_of(database) as (table, bed):
        await table.first(database.saved)
        one = await bed.ready("one")
        database.answer = error
        await bed.registry.news.wait()
        with pytest.raises(TableUnavailable) as caught:
            await table.reload()
        with trio.fail_after(1):
            await bed.registry.news.wait()  # systemd is told
        assert caught.value.code == 500
        assert (table.error, table.freshness) == (str(error), "stale")
        assert bed.registry.find("one") is one
        assert one.shown_state == "ready"
        assert database.kept == [ONE]


async def test_reload_says_what_it_did_and_which_rows_are_bad(autojump_clock: MockClock) -> None:
    database = Database(ONE, TWO)
    async with table_of(database) as (table, _):
        await table.first(database.saved)
        bad = TableRow(3, "three", "http://x")
        database.answer = [TableRow(1, "one", "ws://model/other"), bad, TableRow(4, "", "ws://x")]
        difference, faults = await table.reload()
        assert (difference.added, difference.changed) == (["three"], ["one"])
        assert (difference.removed, difference.unchanged) == (["two"], [])
        assert [fault.partition(":")[0] for fault in faults] == ["row id=3", "row id=4"]


async def test_the_log_names_what_changed(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bridge.db")
    database = Database(*(TableRow(number, f"gw{number}", "ws://model/1") for number in range(1, 13)))
    async with table_of(database) as (table, _):
        await table.first(database.saved)
        database.answer = [
            TableRow(1, "gw1", "ws://model/2"),
            *database.kept_rows()[1:11],
            TableRow(20, "one", "ws://x"),
        ]
        await table.reload()
    lines = [record.getMessage() for record in caplog.records if record.name == "bridge.db"]
    names = ", ".join(f"gw{number}" for number in range(1, 11))
    assert lines == [
        f"janus table: 12 added ({names} and 2 more), 0 changed, 0 removed, 0 unchanged",
        "janus table: 1 added (one), 1 changed (gw1), 1 removed (gw12), 10 unchanged",
    ]


async def test_polling_finds_changes_and_says_nothing_twice(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(TableRow(1, "one", "http://x"))
    async with table_of(database, poll_interval=10) as (table, bed), trio.open_nursery() as nursery:
        caplog.set_level(logging.WARNING)
        await table.first(database.saved)
        nursery.start_soon(table.run)
        await trio.sleep(95)
        assert len(database.asked_at) == 10
        assert caplog.text.count("row id=1") == 1
        database.answer = []
        await trio.sleep(50)
        assert ids(bed) == []
        assert caplog.text.count("it is empty") == 1
        database.answer = [ONE]
        await bed.until(lambda: ids(bed) == ["one"], 11)
        nursery.cancel_scope.cancel()


async def test_reloads_at_the_same_time_end_with_the_newer_answer(autojump_clock: MockClock) -> None:
    database = Database(ONE)
    async with table_of(database) as (table, bed), trio.open_nursery() as nursery:
        nursery.start_soon(table.reload)
        await trio.lowlevel.checkpoint()
        database.answer = [TWO]
        nursery.start_soon(table.reload)
        await trio.testing.wait_all_tasks_blocked()
        assert ids(bed) == ["two"]
        assert database.kept == [TWO]


async def test_polling_says_each_reason_once(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(ONE)
    async with table_of(database, poll_interval=10) as (table, bed), trio.open_nursery() as nursery:
        await table.first(database.saved)
        nursery.start_soon(table.run)
        for reason in ("access denied", "no such table"):
            database.answer = TableUnavailable(reason)
            await trio.sleep(50)
            assert [record.levelname for record in caplog.records if reason in record.getMessage()] == ["ERROR"]
        assert ids(bed) == ["one"]
        nursery.cancel_scope.cancel()


async def test_other_tasks_run_between_the_rows_of_a_large_table(autojump_clock: MockClock) -> None:
    rows = [TableRow(number, f"gw{number}", "no URL") for number in range(1, 1001)]
    database = Database(*rows)
    async with table_of(database) as (table, bed), trio.open_nursery() as nursery:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        nursery.start_soon(count)
        await table.first(database.saved)
        read = turns
        assert read >= 2 * len(rows) // TURN  # read, and acted upon
        database.answer = []
        await table.reload()
        assert turns - read >= len(rows) // TURN
        assert ids(bed) == []
        nursery.cancel_scope.cancel()


async def test_many_bad_rows_are_few_lines(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(*(TableRow(number, f"gw{number}", "x" * 5000) for number in range(1, 31)))
    async with table_of(database) as (table, _):
        _, faults = await table.reload()
    lines = [record.getMessage() for record in caplog.records if record.name == "bridge.db"]
    assert len(faults) == 30
    assert len(lines) == 21
    assert lines[-1].endswith("10 more rows bad or hidden; `janus-bridge check` names all")
    assert all("gw" in line and len(line) < 200 for line in lines[:20])


async def test_an_end_in_the_middle_of_a_reload_adds_nothing_behind_it(autojump_clock: MockClock) -> None:
    database = Database(*(TableRow(number, f"gw{number}", "no URL") for number in range(1, 101)))
    async with table_of(database) as (table, bed), trio.open_nursery() as nursery:
        nursery.start_soon(table.reload)
        while not len(bed.registry):
            await trio.lowlevel.checkpoint()
        await bed.registry.stop(hand_over=False)
        await trio.testing.wait_all_tasks_blocked()
        assert ids(bed) == []
