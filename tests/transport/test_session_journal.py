"""The sessions of the last process, on disk (contract 5.3, 5.7, 6.4)."""

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
import trio
import trio.testing

from bridge.protocol.gateway import Gateway
from bridge.protocol.known_sessions import REMEMBERED
from bridge.protocol.session import SavedSession
from bridge.transport import session_journal
from tests.support.deadlines import HANG_SECONDS
from tests.support.journals import GATEWAY, OTHER, client_session, count, loaded, managed, rows, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.jsonl"


# From one process to the next


def test_next_process_knows_what_this_one_saved(path: Path) -> None:
    write(loaded(path), managed(1), client_session(2), client_session(3), client_session(2, ended=True))
    assert loaded(path).saved(GATEWAY) == (client_session(2, ended=True), managed(1), client_session(3))
    assert loaded(path).saved(OTHER) == ()


def test_what_another_bridge_has_is_forgotten(path: Path) -> None:
    write(loaded(path), managed(1), client_session(2, ended=True))
    journal = loaded(path)
    journal.forget()
    assert journal.gateways() == []
    write(journal, managed(3))
    assert loaded(path).saved(GATEWAY) == (managed(3),)


def test_lines_are_plain_values(path: Path) -> None:
    write(loaded(path), managed(2**60))
    assert path.read_text() == (
        '{"janus_id":"gw","janus_url":"janusws://h?token=x","session_id":1152921504606846976,'
        '"managed":true,"ended":false}\n'
    )


def test_sessions_belong_to_a_janus_id_and_a_url(path: Path) -> None:
    journal = loaded(path)
    write(journal, managed(1))
    write(journal, managed(2), gateway=OTHER)
    assert loaded(path).saved(GATEWAY) == (managed(1),)
    assert loaded(path).saved(OTHER) == (managed(2),)


def test_ended_managed_session_is_forgotten(path: Path) -> None:
    write(loaded(path), managed(1), managed(1, ended=True), managed(2))
    assert loaded(path).saved(GATEWAY) == (managed(2),)


def handles(session: SavedSession, *news: tuple[int, str | None]) -> SavedSession:
    return session._replace(handles=news)


def test_handles_are_kept_with_their_session_and_leave_the_order_alone(path: Path) -> None:
    journal = loaded(path)
    write(
        journal,
        managed(1),
        managed(2),
        client_session(3),
        handles(managed(1), (11, "sip")),
        handles(managed(2), (21, "x")),
    )
    write(
        journal, handles(managed(1), (12, "echo"), (11, None)), client_session(3), handles(client_session(3), (31, "y"))
    )
    write(journal, client_session(3, ended=True), handles(managed(2), (22, None)), managed(2))
    known = (client_session(3, ended=True), handles(managed(1), (12, "echo")), handles(managed(2), (21, "x")))
    for _ in range(2):  # what was appended, and then what was written anew
        assert loaded(path).saved(GATEWAY) == known
    assert count(path) == 3


def test_the_socket_where_a_session_lives_is_kept_and_its_handles_with_it(path: Path) -> None:
    journal = loaded(path)
    write(journal, managed(1)._replace(socket=4), handles(managed(1), (11, "sip")), managed(1)._replace(socket=9))
    write(journal, handles(managed(1), (12, "echo")))
    for _ in range(2):
        assert loaded(path).saved(GATEWAY) == (handles(managed(1)._replace(socket=9), (11, "sip"), (12, "echo")),)


@pytest.mark.parametrize("socket", ["5", None, True, [5]])
def test_a_line_with_a_damaged_socket_is_skipped(path: Path, socket: object) -> None:
    line = {"janus_id": "gw", "janus_url": GATEWAY.janus_url, "session_id": 1, "managed": True, "ended": False}
    path.write_text(json.dumps(line | {"socket": socket}) + "\n")
    assert loaded(path).saved(GATEWAY) == ()


@pytest.mark.parametrize("handle", [5, [5], ["5", "p"], [5, 6], [-1, "p"], {"5": "p"}, "ab"])
def test_a_line_with_a_damaged_handle_is_skipped(path: Path, handle: object) -> None:
    line = {"janus_id": "gw", "janus_url": GATEWAY.janus_url, "session_id": 1, "managed": True, "ended": False}
    path.write_text("".join(json.dumps(line | more) + "\n" for more in ({}, {"handles": [[7, "p"], handle]})))
    assert loaded(path).saved(GATEWAY) == (managed(1),)


def test_news_of_many_handles_are_one_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a session waits for none of them."""
    assert session_journal.HANDLES_WAIT <= 0.1
    monkeypatch.setattr(session_journal, "HANDLES_WAIT", HANG_SECONDS)
    journal = loaded(path)
    writes: list[int] = []
    monkeypatch.setattr(session_journal, "_append", lambda _path, data: writes.append(data.count(b"\n")))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.run)
            for handle_id in range(10):
                journal.save(GATEWAY, handles(managed(1), (handle_id, "p")))
                await trio.testing.wait_all_tasks_blocked()
            assert writes == []
            journal.save(GATEWAY, managed(2))
            with trio.fail_after(HANG_SECONDS / 2):
                while not writes:  # noqa: ASYNC110 - a thread
                    await trio.sleep(0.001)
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert writes[0] == 11


def test_any_janus_id_survives(path: Path) -> None:
    gateway = Gateway(1, 'mü"\\\u2028\U0001f600', "janusws://h", None)
    write(loaded(path), managed(1), gateway=gateway)
    assert loaded(path).saved(gateway) == (managed(1),)


def test_session_that_lives_again_is_no_ended_one(path: Path) -> None:
    write(loaded(path), client_session(1), client_session(1, ended=True), client_session(1))
    assert loaded(path).saved(GATEWAY) == (client_session(1),)


def test_new_file_begins_without_what_is_over(path: Path) -> None:
    write(loaded(path), *(managed(n, ended=ended) for n in range(1, 50) for ended in (False, True)))
    assert len(rows(path)) == 98
    loaded(path)
    assert rows(path) == []


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many ended sessions are kept: fewer than ten thousand here."""
    assert REMEMBERED == 10_000
    monkeypatch.setattr(session_journal, "REMEMBERED", 50)
    return 50


def test_the_last_ended_are_kept_beside_any_number_of_living_ones(path: Path, remembered: int) -> None:
    living = [client_session(10**6 + n) for n in range(remembered + 5)]
    ended = [client_session(n, ended=True) for n in range(1, remembered + 3)]
    write(loaded(path), *living, *ended)
    assert loaded(path).saved(GATEWAY) == (*ended[2:], *living)


def test_last_word_about_an_ended_one_counts(path: Path, remembered: int) -> None:
    ended = [client_session(n, ended=True) for n in range(1, remembered + 1)]
    write(loaded(path), *ended, ended[0], client_session(10**6, ended=True))
    saved = loaded(path).saved(GATEWAY)
    assert ended[0] in saved
    assert ended[1] not in saved
    assert len(saved) == remembered


def test_file_does_not_grow_without_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_journal, "REWRITE_AFTER", 20)
    journal = loaded(path)
    files = []
    for n in range(1, 80):
        write(journal, managed(n), managed(n, ended=True))
        files.append(path.stat().st_ino)
    assert sum(before != after for before, after in pairwise(files)) == 7, "it is written anew too often"
    write(journal, client_session(7))
    assert len(rows(path)) < 22
    assert loaded(path).saved(GATEWAY) == (client_session(7),)


async def test_changes_are_written_while_it_runs(path: Path, nursery: trio.Nursery) -> None:
    journal = loaded(path)
    nursery.start_soon(journal.run)
    for n in range(1, 4):
        journal.save(GATEWAY, client_session(n))
        with trio.fail_after(HANG_SECONDS):
            while count(path) < n:  # noqa: ASYNC110 - a file has no event
                await trio.sleep(0.001)
    assert [row["session_id"] for row in rows(path)] == [1, 2, 3]


# Who may read it


def test_file_is_its_owners_alone_whatever_it_was_before(path: Path) -> None:
    path.write_text("")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        journal = loaded(path)
        assert path.stat().st_mode & 0o777 == 0o600
        path.unlink()
        write(journal, managed(1))
        assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
