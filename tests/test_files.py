"""Files that somebody named: no kind of them makes its reader wait, or read without end."""

import os
import socket
from contextlib import closing
from pathlib import Path

import pytest

from bridge.__main__ import main
from bridge.files import read_file
from bridge.transport.saved_table import SavedTable
from bridge.transport.session_journal import SessionJournal

LIMIT = 1000


@pytest.fixture(params=["directory", "FIFO", "socket", "device", "endless"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A path, and what it is instead of a file."""
    path, words = tmp_path / "named", f"a {request.param}, not a file"
    match request.param:
        case "directory":
            path.mkdir()
            words = "Is a directory"
        case "FIFO":
            os.mkfifo(path)
        case "socket":
            with closing(socket.socket(socket.AF_UNIX)) as bound:
                bound.bind(str(path))
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            path.touch()
            os.truncate(path, 1 << 40)  # sparse
            words = "longer than "
    return str(path), words


def test_a_file_is_read_whole_up_to_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * LIMIT)
    assert read_file(file, LIMIT) == b"x" * LIMIT
    file.write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(OSError, match="longer than 1,000 bytes"):
        read_file(file, LIMIT)
    assert read_file(os.devnull, LIMIT) == b""
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none", LIMIT)


@pytest.mark.parametrize(
    "argv",
    [
        ["check", "-c", "{}"],
        ["import", "{}"],
        ["db", "list", "-c", "{}"],
        ["status", "--url", "https://127.0.0.1:1/mi", "--ca", "{}"],
        ["db", "list", "-o", "janus.janus_db_url=mysql://u@127.0.0.1:1/d", "-o", "janus.janus_db_password_file={}"],
        ["db", "list", "-o", "janus.janus_db_url=mysql://u@127.0.0.1:1/d", "-o", "janus.db_tls_ca={}"],
    ],
    ids=" ".join,
)
def test_every_file_of_a_subcommand(
    argv: list[str], no_file: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path, words = no_file
    code = main([word.format(path) for word in argv])
    error = capsys.readouterr().err
    assert code == 2
    assert path in error
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("setting", ["http_tls_cert={}", "http_tls_key={}"])
def test_tls_files_of_the_mi(
    setting: str, no_file: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, words = no_file
    certificate = [] if "cert" in setting else ["-o", f"mi.http_tls_cert={tmp_path}/cert"]
    (tmp_path / "cert").touch()
    assert main(["check", *certificate, "-o", f"mi.{setting.format(path)}", "-o", f"state.dir={tmp_path}"]) == 1
    assert words in capsys.readouterr().out


def test_what_a_former_process_left(no_file: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, words = no_file
    assert SavedTable(Path(path), "source").load() is None
    assert words in caplog.text
    caplog.clear()
    SessionJournal(Path(path)).load()
    assert words in caplog.text
