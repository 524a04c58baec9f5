"""``status --watch`` at a real terminal, on a real bridge."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bridge import PROGRAM, Bridge
from tests.support.deadlines import HANG_SECONDS
from tests.support.ports import free_port
from tests.support.pty_screen import PtyScreen
from tests.support.tables import sqlite_table

pytestmark = pytest.mark.program

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
MANY = 40
FOOT = "type to filter, Ctrl-C ends"


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """With gateways that cannot be reached, and one whose URL would command a terminal."""
    folder = tmp_path_factory.mktemp("watch")
    rows = {f"gw{number:02}": f"janusws://127.0.0.1:9/{number}" for number in range(MANY)}
    rows["evil"] = "janusws://127.0.0.1:9/\x1b]0;pwned\x07"
    url = sqlite_table(folder / "t.db", rows)
    with Bridge(folder, {"mi.http": [f"127.0.0.1:{free_port()}"], "janus.janus_db_url": url}) as bridge:
        yield bridge


def command(bridge: Bridge, *words: str) -> list[str]:
    return [str(PROGRAM), "status", "--watch", "--url", bridge.mi_url, *words]


def drawn(screen: PtyScreen) -> bool:
    """All of it: a terminal gives what a program has written in parts."""
    return screen.lines[-1:] == [FOOT]


def test_it_draws_and_gives_the_terminal_back(bridge: Bridge) -> None:
    with PtyScreen(command(bridge)) as screen:
        before = screen.modes
        screen.until(lambda: drawn(screen))
        assert len(screen.lines) == 24
        assert re.match(rf"\d\d:\d\d:\d\d  0 of {MANY + 1} gateways ready  table fresh, read", screen.lines[0])
        names = ["commands", "p50", "p99", "events", "dropped", "loop lag"]
        assert [line[:9].rstrip() for line in screen.lines[1:7]] == names
        assert "more, " in screen.lines[-2]
        assert max(map(len, screen.lines)) <= 80
        assert screen.modes != before
        screen.type("\x03")
        assert screen.ended() == 0
        assert screen.said.startswith(ENTER)
        assert screen.said.endswith(f"\x1b[?25h{LEAVE}")
        assert "Traceback" not in screen.said


def test_what_is_typed_narrows_it_down(bridge: Bridge) -> None:
    with PtyScreen(command(bridge), columns=200) as screen:
        screen.until(lambda: drawn(screen))
        screen.type("gw0\x7f11\x7f")
        screen.until(lambda: screen.lines[-1].startswith("filter: gw1 ") and screen.lines[9].startswith("gw10"))
        screen.until(lambda: "connection refused" in screen.lines[9])  # once the bridge has tried
        assert [line[:4] for line in screen.lines[9:20]] == [*(f"gw1{digit}" for digit in range(10)), ""]
        screen.type("5")
        screen.until(lambda: screen.lines[7] == "gw15:" and screen.lines[8].startswith("commands"))
        screen.type("\x1b[A\x1b")  # an arrow, which is nothing, and Esc
        screen.until(lambda: drawn(screen))


def test_nothing_of_the_table_commands_the_terminal(bridge: Bridge) -> None:
    with PtyScreen(command(bridge, "--filter", "evil")) as screen:
        screen.until(lambda: any(line.startswith("evil") for line in screen.lines))
        screen.kill(signal.SIGTERM)
        assert screen.ended() == 0
        assert "\x1b]" not in screen.said
        assert LEAVE in screen.said


def test_a_window_of_another_size_is_drawn_anew(bridge: Bridge) -> None:
    with PtyScreen(command(bridge), environ={"COLUMNS": "80", "NO_COLOR": "1"}) as screen:
        screen.until(lambda: drawn(screen))
        screen.forget()
        screen.resize(30, 8)
        screen.until(lambda: len(screen.lines) == 8 and drawn(screen))
        assert max(map(len, screen.lines)) == 30
        assert not re.search(r"\x1b\[\d*m", screen.said)


def test_ctrl_z_lends_the_terminal_to_the_shell(bridge: Bridge) -> None:
    """As a shell with job control: it starts the program, which stops and goes on."""
    shell = ["bash", "--norc", "-i", "-c", 'set -m; "$@"; echo stopped: $?; fg; echo over: $?', "bash"]
    with PtyScreen([*shell, *command(bridge)]) as screen:
        screen.until(lambda: "type to filter" in screen.said)
        screen.type("\x1a")
        screen.until(lambda: "stopped: " in screen.said)
        assert LEAVE in screen.said
        screen.until(lambda: screen.said.count(ENTER) == 2)
        screen.type("\x03")
        screen.until(lambda: "over: 0" in screen.said)
        assert screen.ended() == 0


def test_a_bridge_that_goes_away_and_comes_back(bridge: Bridge) -> None:
    with PtyScreen(command(bridge)) as screen:
        screen.until(lambda: drawn(screen))
        bridge.stop()
        screen.until(lambda: screen.lines[-1].startswith("no answer since "))
        assert screen.lines[9].startswith("gw")
        bridge.start()
        screen.until(lambda: drawn(screen))


@pytest.mark.parametrize("where", ["pipe", "dumb"])
def test_without_a_screen_it_says_a_line_a_moment(where: str, bridge: Bridge) -> None:
    line = rf"\d\d:\d\d:\d\d 0 of {MANY + 1} gateways ready, commands .*, not well: .*gw.* \.\.\."
    if where == "dumb":
        with PtyScreen(command(bridge), environ={"TERM": "dumb"}, columns=1000) as screen:
            screen.until(lambda: screen.said.count("\n") == 2)
            screen.type("\x03")
            assert screen.ended() == 0
        said = screen.said.replace("^C", "").splitlines()
    else:
        with subprocess.Popen(command(bridge), stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            said = [program.stdout.readline().rstrip("\n")]
            program.send_signal(signal.SIGINT)
            assert program.wait(HANG_SECONDS) == 0
    assert "\x1b" not in "".join(said)
    assert [found for found in said if not re.fullmatch(line, found)] == []


def test_where_nothing_answers_it_does_not_begin(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "bridge", "status", "--watch", "--url", f"http://127.0.0.1:{free_port()}/mi"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
