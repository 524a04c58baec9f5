"""``make demo-cluster``: two bridges on one MariaDB, told in a few lines: one dies, the other goes on with its handle.

Starts a private MariaDB, a private Janus and two installed bridges on free loopback ports; everything is gone
afterwards. Exit code 1 and one line "failed at ..." when a step does not work, with the ends of the bridges' logs.
"""

import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from tests.support import mi_client
from tests.support.bridge import Bridge, BridgeFailed
from tests.support.bridge_cluster import ClusterBed, release
from tests.support.janus import Janus, JanusFailed, JanusOptions
from tests.support.mariadb import MariaDb, MariaDbFailed
from tests.support.mi_client import MiError
from tests.support.receivers import Receiver, udp_receiver
from tests.support.tables import mariadb_table
from tools.demo import GATEWAY, StepFailed, Story, end

NODE_TIMEOUT = 4  # seconds; 10 by default
SECONDS = 30.0  # for any step
ECHO = {"janus": "attach", "plugin": "janus.plugin.echotest"}
NOTHING = {"audio": True}


class Caller:
    """Asks a handle again and again at one bridge, from a thread of its own, until it is stopped."""

    def __init__(self, bridge: Bridge, handle: str) -> None:
        self.answers, self.longest, self.errors = 0, 0.0, list[str]()
        self._bridge, self._handle, self._over = bridge, handle, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        last = time.perf_counter()
        while not self._over.is_set():
            try:
                ask(self._bridge, message(self._handle))
            except MiError as error:
                self.errors.append(str(error))
                continue
            now = time.perf_counter()
            self.longest, last, self.answers = max(self.longest, now - last), now, self.answers + 1


class ClusterDemo:
    """The steps in their order; each raises when it fails."""

    def __init__(self, folder: Path, story: Story, stack: ExitStack) -> None:
        self._folder, self._story, self._stack = folder, story, stack
        self.bridges: list[Bridge] = []

    def run(self) -> None:
        events = self._stack.enter_context(udp_receiver())
        self.start(events)
        first, second = self.bridges
        handle = self.attach(first)
        self.hop(second, handle)
        self.die(first, second, handle, events, released=False)
        self.come_back(first)
        self.hand_over(second, first, handle)
        self.come_back(second)
        self.die(first, second, handle, events, released=True)

    def start(self, events: Receiver) -> None:
        story = self._story
        story.begin("MariaDB")
        mariadb = self._stack.enter_context(MariaDb())
        story.tell(f"a private one, 127.0.0.1:{mariadb.port}")
        story.begin("Janus")
        janus = self._stack.enter_context(Janus(JanusOptions(reclaim_session_timeout=60)))
        story.tell(f"{janus.url}, reclaim_session_timeout = 60")
        story.begin("bridges")
        url = mariadb_table(mariadb, {GATEWAY: janus.url})
        bed = ClusterBed(self._folder, url, 2, events, {"cluster.node_timeout": NODE_TIMEOUT})
        self.bridges = self._stack.enter_context(bed).bridges
        for bridge in self.bridges:
            until(lambda bridge=bridge: ask(bridge, {"janus": "info"}))  # type: ignore[misc]
        story.tell(f"two, `db init` made their tables; node_timeout = {NODE_TIMEOUT} (10 by default)")
        for number, bridge in enumerate(self.bridges, 1):
            story.add(f"{number}: {bridge.mi_url}")

    def attach(self, bridge: Bridge) -> str:
        self._story.begin("attach")
        handle = str(ask(bridge, ECHO)["data"]["id"])
        self._story.tell(f"at bridge 1: handle {handle}, in a session of bridge 1's own")
        return handle

    def hop(self, bridge: Bridge, handle: str) -> None:
        ask(bridge, message(handle))  # it is looked for once
        self._story.begin("one hop")
        ask(bridge, message(handle))
        self._story.tell("a command for it at bridge 2, which passes it on")

    def die(self, victim: Bridge, heir: Bridge, handle: str, events: Receiver, *, released: bool) -> None:
        self._story.begin("kill -9")
        with suppress(TimeoutError):
            while events.take(0.01):  # what was told before
                pass
        numbers = [self.bridges.index(bridge) + 1 for bridge in (victim, heir)]
        victim.kill()
        if released:
            release(victim)
        refused = until(lambda: ask(heir, message(handle)))
        way = (
            "`janus-bridge cluster release`, as its unit runs it"
            if released
            else "nobody says so, as when a machine dies"
        )
        self._story.tell(f"bridge {numbers[0]}, {way}: the handle answers at bridge {numbers[1]}")
        if refused:
            self._story.add(f"<- meanwhile {refused}")
        self._story.add(f"<- {status(events, 'taken_over')}")

    def come_back(self, bridge: Bridge) -> None:
        self._story.begin("back")
        if bridge.process.exit_code is None:
            bridge.stop()
        bridge.start()
        until(lambda: ask(bridge, {"janus": "info"}))
        self._story.tell(f"bridge {self.bridges.index(bridge) + 1} starts again, with sessions of its own")

    def hand_over(self, giver: Bridge, taker: Bridge, handle: str) -> None:
        caller = Caller(giver, handle)
        until(lambda: caller.answers > 100)
        self._story.begin("drain")
        giver.mi("janus_cluster_drain")
        self._story.tell("janus_cluster_drain at bridge 2, under commands without a pause: bridge 1 has the handle")
        until(lambda: ask(taker, message(handle)))
        caller.stop()
        self._story.add(
            f"{caller.answers} answered, longest gap {caller.longest * 1000:.0f} ms, errors {caller.errors}"
        )
        if caller.errors:
            raise StepFailed("a command failed")


def ask(bridge: Bridge, command: dict[str, Any]) -> Any:
    """Janus's answer. Raises MiError, and StepFailed where it is an error."""
    answer = mi_client.call(bridge.mi_url, "janus_send_request", [GATEWAY, json.dumps(command)])
    if answer["janus"] == "error":
        raise StepFailed(f"Janus answered {answer['error']['reason']}")
    return answer


def message(handle: str) -> dict[str, Any]:
    return {"janus": "message", "handle_id": handle, "body": NOTHING}


def until(attempt: Callable[[], Any]) -> str:
    """Try until it is neither false nor refused as unsent; the last refusal."""
    refused, deadline = "", time.monotonic() + SECONDS
    while True:
        try:
            if attempt():
                return refused
        except MiError as error:
            if error.code != 503:
                raise
            refused = f"503 {error.message}: {error.data}"
        if time.monotonic() > deadline:
            raise StepFailed(f"nothing in {SECONDS:g} s; {refused}")
        time.sleep(0.01)


def status(events: Receiver, wanted: str) -> str:
    """The next E_JANUS_STATUS of this kind."""
    while True:
        datagram = events.take(SECONDS)
        if json.loads(datagram)["params"].get("status") == wanted:
            return datagram.decode()


def main() -> int:
    story = Story()
    signal.signal(signal.SIGTERM, end)
    with tempfile.TemporaryDirectory(prefix="janus-bridge-") as folder, ExitStack() as stack:
        demo = ClusterDemo(Path(folder), story, stack)
        begun = time.perf_counter()
        try:
            demo.run()
        except KeyboardInterrupt:
            print()
        except (StepFailed, MiError, JanusFailed, MariaDbFailed, BridgeFailed, OSError) as error:
            print(f"failed at step {story.number} ({story.title}): {error}", file=sys.stderr)
            for bridge in demo.bridges:
                print(f"the log of {bridge.mi_url} ends with:\n{bridge.log[-2000:]}", file=sys.stderr)
            return 1
        print(f"\ndone in {time.perf_counter() - begun:.2f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
