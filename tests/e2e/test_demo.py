"""``make demo`` keeps its promises: the story, the exit code, what STAY leaves running, and a clear failure."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.deadlines import HANG_SECONDS

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, "-m", "tools.demo"]


def environment(folder: Path, **changed: str) -> dict[str, str]:
    """The demo makes its files in ``folder``, so that what it leaves behind can be seen."""
    return {**os.environ, "TMPDIR": str(folder), "STAY": "0", **changed}


def test_the_story(tmp_path: Path) -> None:
    done = subprocess.run(
        DEMO, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    steps = re.findall(r"^ *\d+ (\w+) +[0-9.]+ ms", done.stdout, re.MULTILINE)
    assert steps[:5] == ["Janus", "table", "bridge", "session", "attach"]
    assert {"videoroom", "event"} <= set(steps)
    [event] = [json.loads(line) for line in done.stdout.splitlines() if "E_JANUS_EVENT" in line]
    assert event["params"]["janus_id"] == "gw1"
    assert not list(tmp_path.iterdir())


def test_stay_leaves_it_running_until_it_is_interrupted(tmp_path: Path) -> None:
    with subprocess.Popen(
        DEMO, cwd=ROOT, env=environment(tmp_path, STAY="1"), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        command = next(line for line in process.stdout if line.startswith("curl "))
        answer = subprocess.run(["bash", "-c", command], capture_output=True, timeout=HANG_SECONDS, check=True)
        assert json.loads(answer.stdout)["result"]["janus"] == "success"
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode == 0
    assert not list(tmp_path.iterdir())


def test_a_failure_names_the_step_and_the_reason(tmp_path: Path) -> None:
    env = environment(tmp_path, PATH=str(tmp_path))
    done = subprocess.run(DEMO, cwd=ROOT, env=env, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("failed at step 1 (Janus): setpriv is not installed")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_demos_need_no_library_that_only_the_tests_have() -> None:
    """As `make demo` and `make demo-cluster` run on a fresh machine."""
    absent = "import sys; sys.modules.update(dict.fromkeys(('pytest', 'hypothesis', 'trustme')))"
    command = [sys.executable, "-c", f"{absent}; import tools.demo, tools.demo_cluster"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.galera  # not that it needs one: it waits for a bridge to be silent for long enough
def test_the_story_of_a_cluster(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.demo_cluster"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    steps = re.findall(r"^ *\d+ ([a-zA-Z0-9 -]{9}) +[0-9.]+ ms", done.stdout, re.MULTILINE)
    assert [step.strip() for step in steps] == [
        *("MariaDB", "Janus", "bridges", "attach", "one hop", "kill -9", "back", "drain", "back", "kill -9")
    ]
    assert "errors []" in done.stdout
    assert not list(tmp_path.iterdir())
