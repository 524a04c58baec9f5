"""``janus-bridge doctor``: everything that can be gathered is, whatever cannot, and no secret."""

import re
import stat
from pathlib import Path

import pytest

from bridge.__main__ import main
from tests.support.bridge import Bridge
from tests.support.tables import sqlite_table

pytestmark = pytest.mark.program

SECRETS = ("a-token-of-the-mi", "the-secret-of-janus", "password-in-a-row")


def sections(text: str) -> dict[str, str]:
    """What stands under each title."""
    parts = re.split(r"^== (.*) ==$", text, flags=re.MULTILINE)
    return {title: body.strip() for title, body in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(folder: Path, text: str) -> str:
    path = folder / "c.toml"
    path.write_text(text)
    return str(path)


def test_one_file_has_all_of_it_and_no_secret(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = sqlite_table(folder / "t.db", {"gw1": f"janusws://user:{SECRETS[2]}@127.0.0.1:1/janus"})
    with Bridge(folder, {"janus.janus_db_url": table, "mi.token": SECRETS[0]}) as bridge:
        port = bridge.mi_url.split(":")[2].split("/")[0]
        lines = [
            f'[janus]\njanus_db_url = "{table}"\n[janus.gateways.gw1]\napi_secret = "{SECRETS[1]}"',
            f'[mi]\nhttp = ["127.0.0.1:{port}"]\ntoken = "{SECRETS[0]}"\n[state]\ndir = "{folder}/state"\n',
        ]
        assert main(["doctor", "-c", config(folder, "\n".join(lines))]) == 0
    out, err = capsys.readouterr()
    file = Path(out.strip())
    assert re.fullmatch(r"janus-bridge-doctor-\d{8}-\d{6}\.txt", file.name)
    assert (stat.S_IMODE(file.stat().st_mode), err.count("\n")) == (0o600, 1)
    text = file.read_text()
    assert [secret for secret in SECRETS if secret in text] == []
    found = sections(text)
    assert re.match(r"janus-bridge \S+ \((source|compiled)\)\nPython 3", found["versions"])
    assert "pytest" not in found["versions"]
    settings = found["configuration: what is not as by default"].splitlines()
    assert "janus.gateways.gw1.api_secret = ***" in settings
    assert f'state.dir = "{folder}/state"' in settings
    assert found["secrets of the table"] == "hidden here; the table has 1 row"
    assert "(exit code 3)" in found["janus-bridge check --connect"]  # no Janus there
    assert '"janus_id": "gw1"' in found[f"janus_list at {bridge.mi_url}"]
    assert '"janus:commands": 0' in found[f"get_statistics at {bridge.mi_url}"]
    assert [title for title in found if title.startswith(("systemctl", "the last"))] == [
        "systemctl status janus-bridge.service",
        "systemctl cat janus-bridge.service",
        "the last 300 lines of the journal",
    ]


def test_what_cannot_be_gathered_says_why(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    wrong = config(folder, "[mi]\nhttps = 1\n")
    assert main(["doctor", "-c", wrong, "--url", "http://127.0.0.1:1/mi", "--output", "-"]) == 0
    found = sections(capsys.readouterr().out)
    assert found["configuration"].startswith("cannot be used: ")
    assert "https" in found["configuration"]
    assert found["janus_list at http://127.0.0.1:1/mi"] == "not available: http://127.0.0.1:1/mi: Connection refused"
    assert "No such file" in found["systemctl cat janus-bridge.service"]


def test_a_file_that_cannot_be_made_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "there").write_text("kept")
    assert main(["doctor", "-c", config(folder, ""), "--url", "http://127.0.0.1:1/mi", "--output", "there"]) == 1
    assert capsys.readouterr().err == "janus-bridge: there: File exists; --output FILE names another one\n"
    assert (folder / "there").read_text() == "kept"


def test_it_asks_itself_and_no_program_of_the_folder_it_is_in(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bridge").mkdir()
    for name in ("__init__", "__main__"):
        (folder / "bridge" / f"{name}.py").write_text("print('another program')\n")
    wrong = config(folder, "[mi]\nhttps = 1\n")
    assert main(["doctor", "-c", wrong, "--url", "http://127.0.0.1:1/mi", "--output", "-"]) == 0
    assert "(exit code 2)" in sections(capsys.readouterr().out)["janus-bridge check --connect"]
