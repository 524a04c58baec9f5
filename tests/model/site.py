"""What stands around the bridge in a run: gateways behind relays, their table, and a subscriber.

Owns how they misbehave, and whether a gateway is disturbed. Must not know what the bridge should make of it.
"""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from itertools import count
from pathlib import Path

import trio

from tests.model.ledger import Ledger
from tests.support.fake_janus import SILENCE, FakeJanus, Message, Reply, error, open_fake_janus, reply
from tests.support.frames import fragments
from tests.support.receivers import Receiver, unix_receiver
from tests.support.relay import Relay, open_relay
from tests.support.tables import sqlite_table

MAX_MESSAGE = 65_536  # characters; what a "huge" answer is over
CHATTY = 2  # events that come with a chatty answer
PLUGIN = "janus.plugin.fake"


class Place:
    """A gateway: a scripted Janus behind a relay. ``epoch`` counts what befell it; None while something ails it."""

    def __init__(self, name: str, fake: FakeJanus, relay: Relay, ledger: Ledger) -> None:
        self.name, self.fake, self.relay = name, fake, relay
        self.present = True  # in the table
        self.query = 0
        self._forgotten = False
        self._ledger = ledger
        self._epochs = count(1)
        self.epoch: int | None = 0
        self._held: list[Message] = []
        fake.script["message"] = self._react

    @property
    def url(self) -> str:
        """Its row's; the query makes a new one of it that leads to the same Janus."""
        return self.relay.url + (f"?v={self.query}" if self.query else "")

    def disturb(self) -> None:
        """From now on callers may get errors."""
        self.epoch = None

    def calm(self) -> None:
        """Whoever asks from now on is to be answered."""
        self.epoch = next(self._epochs)

    async def heal(self) -> None:
        """End whatever ails it."""
        self.fake.greeting = type(self.fake.greeting).UPGRADE
        self.fake.answer_pings = True
        self.present = True
        self.relay.resume()
        await self.relay.accept()
        if self._forgotten:
            self._forgotten = False
            await self.relay.cut()  # nobody else would ever end those

    def forget_connections(self) -> None:
        """As a middlebox that lost them: they carry nothing more, without an end."""
        self._forgotten = True
        self.relay.forget()

    async def say(self, events: int) -> None:
        """Numbered events over the newest connection that is open."""
        name = f"{self.name}/connection {self.fake.peers.index(self.fake.peer)}"
        told = [self._numbered(name) for _ in range(events)]
        await self.fake.push(*told)

    async def release(self) -> None:
        """Answer what was held back, the last first."""
        held, self._held = self._held, []
        await self.fake.push(*(self._success(request) for request in reversed(held)))

    def forget_records(self) -> None:
        """Drop the records of what is over."""
        self._held.clear()
        self.fake.received.clear()

    def _numbered(self, name: str) -> Message:
        mark = {"series": name, "i": self._ledger.tell(name, self.name, self.epoch)}
        return {"janus": "event", "session_id": 1, "sender": 2, "plugindata": {"plugin": PLUGIN, "data": mark}}

    def _success(self, request: Message, kind: str = "success") -> Message:
        data = {"plugin": PLUGIN, "data": {"number": request["body"]["number"]}}
        return reply(request, kind, sender=request.get("handle_id"), plugindata=data)

    def _react(self, request: Message) -> Iterable[Reply]:
        number, does = request["body"]["number"], request["body"]["does"]
        self._ledger.seen[number] += 1
        if request.get("session_id") not in self.fake.sessions:
            return [error(request, 458, "No such session")]
        success, ack, event = self._success(request), reply(request, "ack"), self._success(request, "event")

        def padded(characters: int) -> bytes:
            return json.dumps({**success, "pad": "x" * characters}).encode()

        answers: dict[str, Sequence[Reply]] = {
            "echo": [success],
            "late event": [ack, event],
            "early event": [event, ack],
            "twice": [success, success],
            "torn": [fragments(padded(100), 11)],
            "error": [error(request, 462, "boom")],
            "ack": [ack],
            "broken": [fragments(padded(100)[:-20])],
        }
        if does == "huge":
            return [fragments(padded(2 * MAX_MESSAGE))]
        if does == "hold":
            self._held.append(request)
        if does == "chatty":
            return [success, *(self._numbered(f"{self.name}/request {number}") for _ in range(CHATTY))]
        return answers.get(does, SILENCE)


class Site:
    """Made by open_site(). ``deaf``: the subscriber reads nothing."""

    def __init__(self, folder: Path, places: list[Place], receiver: Receiver, ledger: Ledger) -> None:
        self.places, self.receiver, self.ledger = places, receiver, ledger
        self._database = folder / "table.db"
        self.table_url = sqlite_table(self._database, {place.name: place.url for place in places})
        self._hearing = trio.Event()
        self._hearing.set()

    def write_table(self) -> None:
        """Make the rows those of the places that are present."""
        rows = [(place.name, place.url) for place in self.places if place.present]
        with closing(sqlite3.connect(self._database)) as database, database:
            database.execute("DELETE FROM janus")
            database.executemany("INSERT INTO janus (janus_id, janus_url) VALUES (?, ?)", rows)

    def deafen(self) -> None:
        """The subscriber stops reading."""
        if self._hearing.is_set():
            self._hearing = trio.Event()

    def hear(self) -> None:
        """It reads again."""
        self._hearing.set()

    async def collect(self) -> None:
        """The subscriber's task."""
        while True:
            await self._hearing.wait()
            params = json.loads(await self.receiver.receive())["params"]
            self.ledger.hear(params, json.loads(params["janus_body" if "janus_body" in params else "detail"]))
            await trio.lowlevel.checkpoint()


@asynccontextmanager
async def open_site(folder: Path, gateways: int, ledger: Ledger) -> AsyncIterator[Site]:
    """Everything around a bridge, running. ``folder`` gets the table and the subscriber's socket."""
    async with AsyncExitStack() as stack:
        places = []
        for number in range(gateways):
            fake = await stack.enter_async_context(open_fake_janus())
            relay = await stack.enter_async_context(open_relay(fake.port))
            places.append(Place(f"gw{number}", fake, relay, ledger))
        receiver = stack.enter_context(unix_receiver(folder / "events"))
        nursery = await stack.enter_async_context(trio.open_nursery())
        site = Site(folder, places, receiver, ledger)
        nursery.start_soon(site.collect)
        yield site
        nursery.cancel_scope.cancel()
