"""The systemd unit, as systemd itself sees it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bridge import resources
from bridge.__main__ import main
from bridge.config import load
from bridge.daemon.gateways import UNFINISHED
from bridge.protocol.subscriptions import MAX_SUBSCRIPTIONS
from bridge.transport.resolver import MAX_THREADS

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


def printed_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    program = Path(sys.executable).with_name("janus-bridge")
    monkeypatch.setattr(sys, "argv", [str(program), "unit"])
    assert main(["unit"]) == 0
    unit = tmp_path / "janus-bridge.service"
    unit.write_text(capsys.readouterr().out)
    assert f"ExecStart={program} run" in unit.read_text()
    return unit


@pytest.mark.program
@needs_systemd
def test_unit_has_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    unit = printed_unit(tmp_path, capsys, monkeypatch)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if "janus-bridge" in line] == []


@pytest.mark.program
@needs_systemd
def test_unit_is_hardened(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    unit = printed_unit(tmp_path, capsys, monkeypatch)
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", str(unit)], capture_output=True, text=True)
    exposure = re.search(r"Overall exposure level for janus-bridge\.service: ([0-9.]+)", done.stdout)
    assert exposure is not None, done.stdout + done.stderr
    assert float(exposure[1]) <= 2.0
    assert "PrivateTmp=" not in re.sub(r"#.*", "", unit.read_text())


def test_the_unit_says_how_large_its_store_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a systemd before 254, which says it to nobody."""
    text = printed_unit(tmp_path, capsys, monkeypatch).read_text()
    [store] = re.findall(r"^FileDescriptorStoreMax=(\d+)$", text, re.M)
    assert re.findall(r"^Environment=FDSTORE_MAX=(\d+)$", text, re.M) == [store]


def test_the_unit_leaves_room_for_every_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice the budgets, for what is being moved, and a site of a thousand gateways; a thread for every look-up."""
    settings = dict(
        re.findall(
            r"^(MemoryMax|TasksMax|Environment)=(.*)$", printed_unit(tmp_path, capsys, monkeypatch).read_text(), re.M
        )
    )
    config = load(None, [f'state.dir="{tmp_path}"'], {})
    budgets = config.mi.pending_bytes + config.events.pending_bytes + UNFINISHED * config.janus.max_message_size
    assert settings["MemoryMax"] == "1G"
    assert settings["Environment"] == "MALLOC_ARENA_MAX=2"  # as the attack of tests/model is measured
    assert 2 * budgets + 100 * 2**20 <= 2**30
    assert int(settings["TasksMax"]) >= 2 * MAX_THREADS + MAX_SUBSCRIPTIONS + 100


@pytest.mark.parametrize("option", ["--sysusers", "--tmpfiles"])
def test_snippets_are_shipped(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["unit", option]) == 0
    assert "janus-bridge" in capsys.readouterr().out


@pytest.mark.program
@needs_systemd
def test_the_user_is_made_as_the_unit_s_head_says(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """From a pipe: Debian 12 has no /etc/sysusers.d to write to."""
    assert main(["unit"]) == 0
    assert "#   janus-bridge unit --sysusers | systemd-sysusers -\n" in capsys.readouterr().out
    assert main(["unit", "--sysusers"]) == 0
    snippet = capsys.readouterr().out
    command = ["systemd-sysusers", f"--root={tmp_path}", "--dry-run", "-"]
    done = subprocess.run(command, input=snippet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Creating user 'janus-bridge'" in done.stdout + done.stderr


def test_a_program_that_the_unit_hides_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/root/venv/bin/janus-bridge", "unit"])
    assert main(["unit"]) == 0
    out, err = capsys.readouterr()
    assert "ExecStart=/root/venv/bin/janus-bridge run" in out
    assert err.startswith("janus-bridge unit: ProtectHome= hides /root/venv/bin/janus-bridge from the service")
    assert err.count("\n") == 1


def test_what_links_lead_to_is_looked_at(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program, python = tmp_path / "janus-bridge", tmp_path / "python"
    program.touch(mode=0o755)
    python.symlink_to("/home/me/.pyenv/bin/python3")
    monkeypatch.setattr(sys, "argv", [str(program), "unit"])
    monkeypatch.setattr(sys, "executable", str(python))
    assert main(["unit"]) == 0
    assert "hides /home/me/.pyenv/bin/python3 from the service" in capsys.readouterr().err
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert main(["unit"]) == 0
    assert capsys.readouterr().err == ""
    program.unlink()
    program.symlink_to("/home/me/venv/bin/janus-bridge")
    assert main(["unit"]) == 0
    assert "hides /home/me/venv/bin/janus-bridge from the service" in capsys.readouterr().err


def test_a_module_run_by_python_is_run_so_by_the_unit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/x/bridge/__main__.py", "unit"])
    assert main(["unit"]) == 0
    assert f"ExecStart={sys.executable} -m bridge run" in capsys.readouterr().out


def test_the_sample_and_the_unit_name_one_credential() -> None:
    sample = resources.path("opensips-examples/janus-bridge.toml").read_text()
    unit = resources.path("opensips-examples/systemd/janus-bridge.service").read_text()
    credential = "LoadCredential=db-password:/etc/janus-bridge/db-password"
    path = 'janus_db_password_file = "/run/credentials/janus-bridge.service/db-password"'
    for text in (sample, unit):
        assert credential in text
        assert path in text
