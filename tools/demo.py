"""``make demo``: the main job on real servers, told in a few lines.

Starts a private Janus and the installed janus-bridge on free loopback ports, with an SQLite table in a temporary
folder; then does what an OpenSIPS script would do. Everything is gone afterwards. STAY=1 keeps it running until Ctrl-C.
Exit code 1 and one line "failed at ..." when a step does not work, with the end of the bridge's log.
"""

import json
import os
import signal
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

from bridge import resources
from tests.support.bridge import Bridge, BridgeFailed
from tests.support.janus import Janus, JanusFailed
from tests.support.mi_client import MiError
from tests.support.receivers import Receiver, udp_receiver

GATEWAY = "gw1"
ROOM = 5050
SECONDS = 5.0


class StepFailed(Exception):
    """A step did not do what it should; the text says why."""


class Story:
    """Prints numbered steps, each with the time it took, and knows which one is under way."""

    def __init__(self) -> None:
        self.number = 0
        self.title = "the start"
        self._begun = 0.0

    def begin(self, title: str) -> None:
        self.number += 1
        self.title = title
        self._begun = time.perf_counter()

    def tell(self, text: str) -> None:
        """The step is done: its line, with the time since it began."""
        took = (time.perf_counter() - self._begun) * 1000
        print(f"{self.number:>2} {self.title:<9} {took:>7.1f} ms  {text}", flush=True)

    def add(self, text: str) -> None:
        print(f"{'':25}{text}", flush=True)


class Demo:
    """The steps in their order; each raises when it fails."""

    def __init__(self, folder: Path, story: Story, stack: ExitStack) -> None:
        self._folder = folder
        self._story = story
        self._stack = stack
        self.bridge: Bridge | None = None

    def run(self) -> tuple[Bridge, Receiver]:
        janus = self.start_janus()
        database = self.make_table(janus)
        receiver = self._stack.enter_context(udp_receiver())
        bridge = self.start_bridge(database, receiver)
        self.await_session(bridge)
        alice = self.attach(bridge)
        self.ask(bridge, "videoroom", self.message(alice, {"request": "create", "room": ROOM, "notify_joining": True}))
        self.ask(bridge, "videoroom", self.message(alice, self.join("Alice")))
        self.hear_of_another(bridge, receiver, alice)
        return bridge, receiver

    def start_janus(self) -> Janus:
        self._story.begin("Janus")
        janus = self._stack.enter_context(Janus())
        self._story.tell(f"a private one, {janus.url}")
        return janus

    def make_table(self, janus: Janus) -> Path:
        self._story.begin("table")
        database = self._folder / "demo.db"
        script = resources.path("sql/janus-create.sqlite.sql").read_text(encoding="utf-8")
        connection = sqlite3.connect(database)
        try:
            connection.executescript(script)
            connection.execute("INSERT INTO janus (janus_id, janus_url) VALUES (?, ?)", (GATEWAY, janus.url))
            connection.commit()
            rows = connection.execute("SELECT id, janus_id, janus_url FROM janus").fetchall()
        finally:
            connection.close()
        self._story.tell(f"janus, in {database}")
        self._story.add("id | janus_id | janus_url")
        for row in rows:
            self._story.add(f"{row[0]:>2} | {row[1]:<8} | {row[2]}")
        return database

    def start_bridge(self, database: Path, receiver: Receiver) -> Bridge:
        self._story.begin("bridge")
        options = {
            "janus.janus_db_url": f"sqlite://{database}",
            "events.subscribers": [{"event": "E_JANUS_EVENT", "socket": receiver.name}],
        }
        self.bridge = Bridge(self._folder, options)
        self._stack.enter_context(self.bridge)
        self._story.tell(f"{self.bridge.mi('version')['Server']}, MI on {self.bridge.mi_url}")
        return self.bridge

    def await_session(self, bridge: Bridge) -> None:
        self._story.begin("session")
        deadline = time.monotonic() + SECONDS
        while True:
            [gateway] = bridge.mi("janus_list")["Gateways"]
            if gateway["state"] == "ready":
                break
            if time.monotonic() > deadline:
                raise StepFailed(f"{GATEWAY} is {gateway['state']}: {gateway['last_error']}")
            time.sleep(0.005)
        sessions = ", ".join(session["session"] for session in gateway["sessions"])
        self._story.tell(f"{GATEWAY} is ready, session {sessions}")

    def attach(self, bridge: Bridge) -> Any:
        answer = self.ask(bridge, "attach", {"janus": "attach", "plugin": "janus.plugin.videoroom"})
        return answer["data"]["id"]

    @staticmethod
    def message(handle: Any, body: dict[str, Any]) -> dict[str, Any]:
        return {"janus": "message", "handle_id": handle, "body": body}

    @staticmethod
    def join(name: str) -> dict[str, Any]:
        return {"request": "join", "ptype": "publisher", "room": ROOM, "display": name}

    def ask(self, bridge: Bridge, title: str, command: dict[str, Any]) -> Any:
        """One command through MI, shown with its answer."""
        self._story.begin(title)
        text = json.dumps(command, separators=(",", ":"))
        answer = bridge.mi("janus_send_request", [GATEWAY, text])
        self._story.tell(f"-> janus_send_request {GATEWAY} {text}")
        self._story.add(f"<- {json.dumps(answer, separators=(',', ':'))}")
        if answer["janus"] == "error":
            raise StepFailed(f"Janus answered {answer['error']['reason']}")
        if "error" in answer.get("plugindata", {}).get("data", {}):
            raise StepFailed(f"the plugin answered {answer['plugindata']['data']['error']}")
        return answer

    def hear_of_another(self, bridge: Bridge, receiver: Receiver, alice: Any) -> None:
        """A second participant joins; Janus tells the first one by itself, and that arrives as an event."""
        bob = self.attach(bridge)
        joined = time.perf_counter()
        self.ask(bridge, "videoroom", self.message(bob, self.join("Bob")))
        self._story.begin("event")
        while True:
            try:
                datagram = receiver.take(SECONDS)
            except TimeoutError:
                raise StepFailed(f"no E_JANUS_EVENT about Bob came to {receiver.name} in {SECONDS:g} s") from None
            body = json.loads(json.loads(datagram)["params"]["janus_body"])
            if body.get("sender") == alice and "joining" in body["plugindata"]["data"]:
                break
        after = (time.perf_counter() - joined) * 1000
        self._story.tell(f"Janus told Alice, by itself; at {receiver.name} within {after:.1f} ms of Bob's command:")
        self._story.add(datagram.decode())


def stay(bridge: Bridge, receiver: Receiver) -> None:
    """Print events until the user has seen enough."""
    request = {
        "jsonrpc": "2.0",
        "id": "1",
        "method": "janus_send_request",
        "params": [GATEWAY, {"janus": "attach", "plugin": "janus.plugin.echotest"}],
    }
    print("\nstill running; Ctrl-C ends it. Try:")
    print(f"curl -H 'Content-Type: application/json' -d '{json.dumps(request)}' {bridge.mi_url}\n", flush=True)
    while True:
        try:
            print(receiver.take(1.0).decode(), flush=True)
        except TimeoutError:
            if bridge.process.exit_code is not None:
                raise StepFailed(f"the bridge ended with code {bridge.process.exit_code}") from None


def main() -> int:
    story = Story()
    signal.signal(signal.SIGTERM, end)
    with tempfile.TemporaryDirectory(prefix="janus-bridge-") as folder, ExitStack() as stack:
        demo = Demo(Path(folder), story, stack)
        begun = time.perf_counter()
        try:
            bridge, receiver = demo.run()
            print(f"\ndone in {time.perf_counter() - begun:.2f} s", flush=True)
            if os.environ.get("STAY", "0") not in ("", "0"):
                story.begin("staying")
                stay(bridge, receiver)
        except KeyboardInterrupt:
            print()
        except MiError as refused:
            return _failed(demo, story, f"MI answered {refused}")
        except (StepFailed, JanusFailed, BridgeFailed, sqlite3.Error, OSError) as error:
            return _failed(demo, story, str(error))
    return 0


def _failed(demo: Demo, story: Story, reason: str) -> int:
    print(f"failed at step {story.number} ({story.title}): {reason}", file=sys.stderr)
    if demo.bridge is not None and demo.bridge.log not in reason:
        print(f"the bridge's log ends with:\n{demo.bridge.log[-2000:]}", file=sys.stderr)
    return 1


def end(number: int, frame: object) -> NoReturn:
    """Of SIGTERM: as Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
