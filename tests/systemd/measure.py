"""What a restart costs, on the real systemd: ``python -m tests.systemd.measure [ROUNDS]``, as root.

200 events a second at one handle, a call of the MI every 10 ms, held listeners; and a thousand gateways.
"""

import signal
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

from tests.support.deadlines import HANG_SECONDS
from tests.systemd.calls import POLL_SECONDS, Calls, until_another_process
from tests.systemd.conftest import Service
from tests.systemd.debians import CheckoutDebian, Debian

GATEWAYS = 1000
DATABASE = "/var/lib/janus-bridge/janus.db"


def figures(what: str, calls: Calls, probed: Path, since: int, answered: int) -> int:
    """Print what became of events and calls since then; returns how many events there are now."""
    numbers, statuses = calls.heard()
    new = numbers[since:]
    lost = new[-1] - new[0] + 1 - len(set(new))
    calls_made = [line.split() for line in probed.read_text().splitlines()[answered:]]
    outcomes = Counter(outcome for outcome, _ in calls_made)
    longest = max(float(seconds) for _, seconds in calls_made)
    twice, disordered = len(new) - len(set(new)), sum(one > other for one, other in pairwise(new))
    print(f"{what}: {len(new)} events, {lost} lost, {twice} twice, {disordered} out of order", end="; ")
    print(
        f"{statuses.count('session_lost')} sessions lost; calls {dict(outcomes)}, longest {longest:.2f} s", flush=True
    )
    return len(numbers)


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder, CheckoutDebian(Path(folder)) as debian:
        debian.install()
        service = Service(debian)
        calls = Calls(service, Path(folder))
        probed = Path(folder, "probed")
        prober = debian.beside("tests.systemd.prober", str(probed))
        calls.more()
        ways = {
            "restart": ("restart", "janus-bridge"),
            "SIGUSR2": ("kill", "--kill-whom=main", "--signal=USR2", "janus-bridge"),
            "SIGKILL": ("kill", "--kill-whom=main", "--signal=KILL", "janus-bridge"),
        }
        since = answered = 0
        for what, way in ways.items():
            for _ in range(rounds):
                starts = service.journal.count("ready: table")
                debian.succeed("systemctl", *way)
                deadline = time.monotonic() + HANG_SECONDS
                while service.journal.count("ready: table") == starts:
                    assert time.monotonic() < deadline, service.journal
                    time.sleep(POLL_SECONDS)
                calls.more()
            since = figures(f"{rounds} x {what}", calls, probed, since, answered)
            answered = len(probed.read_text().splitlines())
        print("the handle is alive:", calls.live())
        prober.kill()
        debian.succeed("systemctl", "stop", "janus-bridge")
        many(debian, service)


def many(debian: Debian, service: Service) -> None:
    """A thousand rows with one Janus. The session of before was lost: its unit was stopped."""
    lost = 0
    rows = ",".join(f"('m{number}','janusws://127.0.0.1:8188/janus')" for number in range(GATEWAYS))
    insert = f"INSERT INTO janus (janus_id, janus_url) VALUES {rows}"
    script = f"import sqlite3; d = sqlite3.connect({DATABASE!r}); d.execute({insert!r}); d.commit()"
    debian.succeed("/opt/janus-bridge/bin/python", "-c", script)
    for what, name in (("start", None), ("restart", None), ("SIGKILL", "KILL")):
        pid = service.show("MainPID")
        began = time.monotonic()
        if name is None:
            debian.succeed("systemctl", "restart", "janus-bridge")
        else:
            debian.succeed("systemctl", "kill", "--kill-whom=main", f"--signal={name}", "janus-bridge")
            until_another_process(service, pid)
        while not service.show("StatusText").startswith(f"table fresh, {GATEWAYS + 1} of {GATEWAYS + 1}"):
            time.sleep(0.05)
        print(f"{GATEWAYS + 1} gateways ready after {what}: {time.monotonic() - began:.2f} s", flush=True)
        if what == "start":
            lost = service.journal.count("is lost with")
    debian.run(debian.program, "status")
    print("lost sessions:", service.journal.count("is lost with") - lost)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the container ends with it
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
