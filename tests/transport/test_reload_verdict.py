"""What became of a reload, from the service to who waits for it."""

from pathlib import Path

import pytest

from bridge.transport.reload_verdict import Verdict, read_verdict, verdict_file, write_verdict


def test_it_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}:/elsewhere")
    path = tmp_path / "reload.json"
    assert read_verdict(path) is None
    for verdict in (Verdict(1.5, []), Verdict(2.0, ["[mi] roles: é", "another"])):
        write_verdict(*verdict)
        assert read_verdict(path) == verdict


@pytest.mark.parametrize(
    "junk", [b"", b"hello", b"\xff", b"[]", b"1", b"{}", b'{"began": [], "faults": []}', b"[" * 9999]
)
def test_what_nobody_wrote_like_that_is_none_yet(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "reload.json"
    path.write_bytes(junk)
    assert read_verdict(path) is None


def test_without_systemd_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.chdir(tmp_path)
    write_verdict(1.0, ["x"])
    assert verdict_file({}) is verdict_file({"RUNTIME_DIRECTORY": ""}) is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "gone"))
    write_verdict(1.0, [])
    assert "`systemctl reload` does not hear what became of it" in caplog.text
