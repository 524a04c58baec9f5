"""A reload, beside what else the process does: what it takes, and that one is never lost. What SIGHUP does to a running
program is in tests/e2e/test_reload.py.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from bridge.config import Config, load
from bridge.daemon.held_doors import HeldDoors
from bridge.daemon.listeners import Listeners
from bridge.daemon.parts import build
from bridge.daemon.reload import Reload
from bridge.errors import TableUnavailable
from bridge.protocol.redaction import Redaction
from bridge.transport.fd_store import FdStore
from bridge.transport.reload_verdict import read_verdict
from bridge.transport.systemd import Notifier


def _nothing(*_: object) -> None:
    pass


class Bed:
    """A reload whose configuration is ``options``, and what systemd hears of it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._own = [f'state.dir="{folder}"', "mi.http=[]", f'janus.janus_db_url="sqlite://{folder}/none.db"']
        self.options = list(options)
        self.heard: list[str] = []
        self.loads = 0
        self.redaction = Redaction()
        config = self.load()
        self.parts = build(config, self.redaction)
        held = HeldDoors(FdStore(Notifier({}), {}))
        parts = self.parts
        listeners = Listeners(parts.mi.dispatch, parts.batch, {}, parts.pending, _nothing, _nothing, _nothing, held)
        self.reload = Reload(
            config, self.load, self.redaction, parts, listeners, lambda _: self.heard.append("begun"), self._done
        )

    def load(self) -> Config:
        self.loads += 1
        return load(None, [*self._own, *self.options], {})

    def _done(self) -> None:
        self.heard.append("done")

    async def once(self) -> None:
        """Ask, and wait until it is over."""
        self.reload.ask()
        await wait_all_tasks_blocked()
        while self.heard[-1:] != ["done"]:  # noqa: ASYNC110 - a look at the database is in a thread
            await trio.sleep(0.001)


@pytest.fixture
def level() -> Iterator[None]:
    """What a reload does to the logger is undone."""
    log = logging.getLogger("bridge")
    before = log.level
    yield
    log.setLevel(before)


@pytest.mark.usefixtures("level")
async def test_what_may_change_does_and_the_rest_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bed = Bed(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bed.reload.run)
        bed.options = ["log.level=4", "mi.max_body=4096", 'mi.token="planted"']
        await bed.once()
        assert logging.getLogger("bridge").level == logging.DEBUG
        assert "reload: mi.max_body has changed; restart the service to apply it" in caplog.text
        assert "reload: taken in part; changed: mi.token, log.level" in caplog.text
        assert "no such file; the gateways stay as they are" in caplog.text
        assert bed.redaction("planted") != "planted"
        assert bed.heard == ["begun", "done"]
        bed.reload.stop()
    bed.parts.batch.close()


async def test_what_cannot_be_read_changes_nothing_and_who_asked_hears_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    bed = Bed(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bed.reload.run)
        bed.options = ["log.level=9"]
        await bed.once()
        nursery.cancel_scope.cancel()
    verdict = read_verdict(tmp_path / "reload.json")
    assert verdict is not None
    [fault] = verdict.faults
    assert fault.endswith("everything stays as it is")
    assert f"reload: {fault}" in caplog.text
    bed.parts.batch.close()


async def test_who_asks_while_one_is_under_way_gets_another_one_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bed = Bed(tmp_path)
    reading, answer = trio.Event(), trio.Event()

    async def reload() -> None:
        reading.set()
        await answer.wait()
        raise TableUnavailable("away")

    monkeypatch.setattr(bed.parts.table, "reload", reload)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bed.reload.run)
        bed.reload.ask()
        await reading.wait()
        bed.reload.ask()
        bed.reload.ask()
        await wait_all_tasks_blocked()
        assert bed.heard == ["begun"]
        answer.set()
        await wait_all_tasks_blocked()
        assert bed.heard == ["begun", "done", "begun", "done"]
        reading, answer = trio.Event(), trio.Event()
        bed.reload.ask()
        await reading.wait()
        bed.reload.stop()  # and the end of the process waits for none
    assert bed.heard[4:] == ["begun"]
    bed.parts.batch.close()
