"""``janus-bridge check``: each finding in its line, and the exit code that goes with it (contract 2)."""

import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from bridge.__main__ import main
from bridge.cli import check_paths, probe
from tests.support.certs import Certificates
from tests.support.deadlines import HANG_SECONDS
from tests.support.fake_janus import FakeJanus, Message, Reply, Script, open_fake_janus, reply
from tests.support.frames import TEXT, frame
from tests.support.mariadb import MariaDb
from tests.support.ports import free_port
from tests.support.rtpengine import Rtpengine
from tests.support.tables import mariadb_table, sqlite_table

Rows = list[tuple[str, str, str]]
Check = Callable[..., tuple[int, Rows, str]]
Visit = Callable[[FakeJanus], Awaitable[tuple[int, Rows]]]


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """``check("section.key=value", ...)``: exit code, findings as (level, where, text), stderr."""

    def run(*options: str, connect: bool = False, file: Path | None = None) -> tuple[int, Rows, str]:
        words = ["check", "--json", *(["--connect"] if connect else []), *(["-c", str(file)] if file else [])]
        options = (f"state.dir={tmp_path}/state", *options)
        code = main([*words, *(word for option in options for word in ("-o", option))])
        out, err = capsys.readouterr()
        found = [json.loads(line) for line in out.splitlines()]
        return code, [(row["level"], row["where"], row["text"]) for row in found], err

    return run


@pytest.fixture
def visit_to(tmp_path: Path, check: Check) -> Visit:
    """``await visit_to(fake)``: exit code, and what is said of that gateway."""

    async def run(fake: FakeJanus) -> tuple[int, Rows]:
        url = sqlite_table(tmp_path / "t.db", {"gw1": fake.url})
        code, rows, err = await trio.to_thread.run_sync(
            lambda: check(f"janus.janus_db_url={url}", connect=True)  # it has an event loop of its own
        )
        assert err == ""
        return code, [row for row in rows if row[1] == "gw1"]

    return run


# Configuration


def test_a_file_with_secrets_that_everybody_may_read(check: Check, tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text('mi.token = "hunter2"\n')
    file.chmod(0o644)
    code, rows, _ = check(file=file)
    assert code == 1
    assert rows[:2] == [
        ("warning", str(file), "every user of this machine can read mi.token in it (chmod o-r)"),
        ("ok", str(file), "is valid"),
    ]
    file.chmod(0o640)
    assert "everybody" not in str(check(file=file))


def test_a_ca_of_the_other_bridges_that_is_not_there(
    check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, rows, _ = check(f"cluster.tls_ca={tmp_path}/no.pem")
    assert code == 1
    [fault] = [text for level, _, text in rows if level == "error"]
    assert fault == f"[cluster] tls_ca {tmp_path}/no.pem: No such file or directory"
    options = ["-o", f"state.dir={tmp_path}/s", "-o", f"cluster.tls_ca={tmp_path}/no.pem"]
    assert main(["run", "--check", *options]) == 0  # nobody reads it without a cluster
    for one in ("cluster_id=1", "my_node_id=1", 'my_node_url="http://127.0.0.1:1/mi"'):
        options += ["-o", f"cluster.{one}"]
    options += ["-o", f"janus.janus_db_url={sqlite_table(tmp_path / 't.db', {})}", "-o", "mi.http=[]"]
    capsys.readouterr()
    for words in (["run", "--check"], ["run"]):
        assert main([*words, *options]) == 2
        assert f"[cluster] tls_ca {tmp_path}/no.pem: No such file or directory" in capsys.readouterr().err


def test_a_password_file_of_the_cluster_is_called_so(check: Check, tmp_path: Path) -> None:
    words = ["cluster.cluster_id=1", "cluster.my_node_id=1", "cluster.my_node_url=http://127.0.0.1:1/mi"]
    words += ["cluster.db_url=mysql://u@127.0.0.1:1/d", f"cluster.db_password_file={tmp_path}/no"]
    _, rows, _ = check(f"janus.janus_db_url={sqlite_table(tmp_path / 't.db', {})}", *words)
    assert f"[cluster] db_password_file {tmp_path}/no: No such file" in str(rows)


def test_an_encrypted_key_asks_nobody(check: Check, certificates: Certificates, tmp_path: Path) -> None:
    key = tmp_path / "encrypted.pem"
    plain = load_pem_private_key(certificates.key.read_bytes(), None)
    key.write_bytes(
        plain.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"password"))
    )
    code, rows, _ = check(f"mi.http_tls_cert={certificates.cert}", f"mi.http_tls_key={key}")
    assert code == 1
    reason = "the key is encrypted, and there is no way to give its password"
    assert [text for level, _, text in rows if level == "error"] == [
        f"[mi] http_tls_cert {certificates.cert}, http_tls_key {key}: {reason}"
    ]


# The table


def test_a_default_table_that_is_still_to_be_made_is_fine(check: Check, tmp_path: Path) -> None:
    _, rows, _ = check()
    assert ("ok", f"sqlite://{tmp_path}/state/janus.db janus", "does not exist yet; `run` makes it, empty") in rows
    assert not (tmp_path / "state").exists()


def test_a_folder_that_is_none_is_no_table_to_be_made(check: Check, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, rows, err = check(f"state.dir={tmp_path}/file/state")
    assert code == 2
    assert "does not exist yet" not in str(rows)
    level, where, text = rows[-1]
    assert (level, where, err) == ("error", "table", "")
    assert f"{tmp_path}/file/state" in text


def test_a_table_that_is_refused_is_one_line_and_exit_code_2(check: Check, tmp_path: Path) -> None:
    url = sqlite_table(tmp_path / "t.db", {})
    with closing(sqlite3.connect(tmp_path / "t.db")) as database, database:
        database.execute("UPDATE version SET table_version = 7")
    code, rows, err = check(f"janus.janus_db_url={url}")
    assert (code, err) == (2, "")
    assert rows[-1] == ("error", "table", f"{url}: invalid version 7 for table 'janus' found, expected version 1")


def test_a_database_that_does_not_answer_is_exit_code_3(check: Check) -> None:
    port = free_port()
    code, rows, err = check(f"janus.janus_db_url=mysql://u:hunter2@127.0.0.1:{port}/d")
    assert (code, err) == (3, "")
    level, where, text = rows[-1]
    assert (level, where) == ("error", "table")
    assert f"127.0.0.1:{port}" in text
    assert "refused" in text
    assert "hunter2" not in text


def test_a_host_that_is_away_is_named_while_another_serves(check: Check, mariadb: MariaDb) -> None:
    url = mariadb_table(mariadb, {"gw1": "janusws://127.0.0.1"})
    port = free_port()
    code, rows, _ = check(f"janus.janus_db_url={url.replace('@', f'@127.0.0.1:{port},')}")
    assert code == 1
    [(_, where, text)] = [row for row in rows if row[0] == "warning"]
    assert where == f"127.0.0.1:{port}"
    assert "Can't connect" in text
    assert text.endswith("; the others serve")
    assert [level for level, _, _ in rows].count("ok") == 2


def test_a_file_for_tls_to_the_database_that_is_not_there_is_named(check: Check) -> None:
    port = free_port()
    code, rows, err = check(f"janus.janus_db_url=mysql://u:p@127.0.0.1:{port}/d", "janus.db_tls_ca=/nowhere/ca.pem")
    assert (code, err) == (2, "")
    reason = "db_tls_ca /nowhere/ca.pem: No such file or directory"
    assert rows[-1] == ("error", "table", f"mysql://u:***@127.0.0.1:{port}/d: {reason}")


def test_rows_that_cannot_be_used_and_sections_without_one(check: Check, tmp_path: Path) -> None:
    url = sqlite_table(tmp_path / "t.db", {"gw1": "http://h", "gw2": "janusws://h"})
    code, rows, _ = check(f"janus.janus_db_url={url}", 'janus.gateways.gw3.token="t"')
    assert code == 1
    assert {(level, where) for level, where, _ in rows} >= {("error", "janus"), ("warning", "[janus.gateways.gw3]")}
    assert "row id=1" in next(text for level, _, text in rows if level == "error")


def test_rows_that_are_hardly_meant_so(check: Check, tmp_path: Path) -> None:
    rows = {
        "gw1 ": "janusws://h",
        " gw2": "janusws://h",
        "gw3": "janusws://h/a,janusws://i",
        "gw4": "ws://h,ws://i",
        "a b": "ws://h",
    }
    url = sqlite_table(tmp_path / "t.db", rows)
    code, found, _ = check(f"janus.janus_db_url={url}")
    assert code == 1
    blank = "the janus_id {!r} begins or ends with a blank: so must each call that names it"
    comma = "the janus_url has a comma: a row is one Janus, a second one needs a row of its own"
    assert [text for level, where, text in found if (level, where) == ("warning", "janus")] == [
        "row id=1: 'gw1 ': " + blank.format("gw1 "),
        "row id=2: ' gw2': " + blank.format(" gw2"),
        f"row id=3: 'gw3': {comma}",
        f"row id=4: 'gw4': {comma}",
    ]


@pytest.mark.parametrize(
    ("mode", "protection", "warned"),
    [(0o1777, "1", True), (0o1777, "2", True), (0o1777, "0", False), (0o777, "1", False), (0o1770, "1", False),
     (0o1770, "2", True), (0o1700, "2", False), (0o1777, "none", False)],
)  # fmt: skip
def test_a_fifo_that_other_users_cannot_open(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, protection: str, warned: bool
) -> None:
    folder, kernel = tmp_path / "sticky", tmp_path / "protected_fifos"
    folder.mkdir()
    folder.chmod(mode)
    kernel.write_text(protection + "\n")
    monkeypatch.setattr(check_paths, "_PROTECTED_FIFOS", kernel)
    _, found, _ = check(f"mi.fifo={folder}/mi")
    texts = [text for level, _, text in found if level == "warning" and "mi.fifo" not in text and "sticky" in text]
    assert len(texts) == warned
    assert not warned or f"{folder} is sticky and fs.protected_fifos is {protection}" in texts[0]


# A visit to every Janus


async def test_when_no_janus_answers_it_is_exit_code_3(check: Check, tmp_path: Path) -> None:
    url = sqlite_table(tmp_path / "t.db", {"gw1": f"janusws://127.0.0.1:{free_port()}"})
    code, rows, _ = await trio.to_thread.run_sync(lambda: check(f"janus.janus_db_url={url}", connect=True))
    assert code == 3
    [(level, _, text)] = [row for row in rows if row[1] == "gw1"]
    assert level == "error"
    assert "refused" in text


async def test_something_else_than_a_janus_is_said_to_be(visit_to: Visit) -> None:
    async with open_fake_janus() as fake:
        fake.script["info"] = lambda request: [reply(request, "pong")]
        assert await visit_to(fake) == (
            3,
            [("error", "gw1", "the answer to info is not that of a Janus: does its URL lead elsewhere?")],
        )


def then_within(seconds: float, script: Script, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Answer like this; what is asked next has so many seconds."""

    def answer(request: Message) -> Iterable[Reply]:
        monkeypatch.setattr(probe, "DEADLINE", seconds)
        return script(request)

    return answer


async def test_a_janus_that_does_not_answer_any_more(visit_to: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_fake_janus() as fake:
        fake.script["info"] = then_within(0.2, fake.answer, monkeypatch)
        fake.script["create"] = lambda request: []
        code, rows = await visit_to(fake)
    assert code == 1  # it answered info
    assert rows[-1] == ("error", "gw1", "connected, but create was not answered within 0.2 s")


async def test_a_janus_that_takes_no_new_sessions(visit_to: Visit) -> None:
    async with open_fake_janus() as fake:
        told = {"session-timeout": 60, "reclaim-session-timeout": 60, "accepting-new-sessions": False}
        fake.script["info"] = lambda request: [reply(request, "server_info", **told)]
        code, rows = await visit_to(fake)
    assert code == 1
    assert ("warning", "gw1", "does not accept new sessions: set accept_new_sessions by its Admin API") in rows
    assert ("ok", "gw1", "creates sessions") in rows
    assert fake.sessions == set()  # it was destroyed again


async def test_what_else_a_janus_says_meanwhile_is_no_answer(visit_to: Visit) -> None:
    async with open_fake_janus() as fake:
        others: list[Reply] = [frame(TEXT, b"no JSON"), frame(TEXT, b"[]"), {"janus": "event", "transaction": "other"}]
        fake.script["info"] = lambda request: [*others, *fake.answer(request)]
        code, rows = await visit_to(fake)
    assert code == 1  # this one does not reclaim
    assert rows[-1] == ("ok", "gw1", "creates sessions")


def test_what_rtpengine_cannot_do(tmp_path: Path, check: Check, rtpengine: Rtpengine) -> None:
    url = sqlite_table(tmp_path / "t.db", {"gw1": rtpengine.url})
    code, rows, _ = check(f"janus.janus_db_url={url}", 'janus.gateways.gw1.api_secret="x"', connect=True)
    assert code == 1
    said = [(level, text) for level, where, text in rows if where == "gw1"]
    assert said[0][1].startswith("rtpengine Janus interface ")
    assert said[1] == ("ok", "creates sessions")
    assert ("warning", f"cannot claim (457 Unhandled request method): {probe.NEEDED['claim']}") in said
    assert ("warning", f"cannot destroy (457 Unhandled request method): {probe.NEEDED['destroy']}") in said
    assert len(said) == 4


async def test_a_janus_that_does_not_answer_a_claim(visit_to: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_fake_janus() as fake:
        fake.script["create"] = then_within(0.05, fake.answer, monkeypatch)
        fake.script["claim"] = then_within(HANG_SECONDS, lambda request: [], monkeypatch)
        _, rows = await visit_to(fake)
    assert rows[-1] == ("warning", "gw1", f"does not answer claim: {probe.NEEDED['claim']}")
