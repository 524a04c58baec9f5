"""Contract 5.7 as a property: no caller's command can end, take over or stand in for the managed session.

Two rows of the table name the same Janus. Callers say what they like through either; a model of Janus, made from its
manual and not from the bridge's code, does what it is told, and watches the managed sessions.
"""

import itertools
import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.errors import InvalidCommand, LinkDown
from bridge.protocol.command import JanusCommand, read_command
from bridge.protocol.gateway import Gateway
from bridge.protocol.managed_ids import ManagedIds
from bridge.protocol.session import SavedSession, SessionState, SessionStep
from bridge.protocol.session_book import SessionBook
from tests.support.examples import examples
from tests.support.session_bed import GATEWAY

ROWS = st.sampled_from([0, 1])
VERBS = ["create", "claim", "destroy", "attach", "message", "keepalive", "ping", "info", "de\u017ftroy"]

spelled_verbs = st.sampled_from(VERBS).flatmap(lambda verb: st.sampled_from([verb, verb.upper(), verb.title()]))


def spellings(number: int) -> list[Any]:
    """What a caller may write for an id, honestly or not."""
    honest = [number, str(number)]
    return [*honest * 3, -number, float(number), f"0{number}", f" {number}", f"+{number}", f"{number}.0", [number]]


class Janus:
    """Sessions and who owns them. Ids are random in truth: nobody named them before."""

    def __init__(self) -> None:
        self.owners: dict[int, int] = {}
        self.created: list[int] = []
        self._fresh = itertools.count(10**15)

    def create(self, owner: int, wanted: int = 0) -> int:
        session_id = wanted or next(self._fresh)
        self.owners[session_id] = owner
        self.created.append(session_id)
        return session_id

    def execute(self, row: int, request: dict[str, Any]) -> tuple[str, int]:
        """The answer: "success" or a code, and the session it is about."""
        verb = request["janus"].lower() if request["janus"].isascii() else request["janus"]
        session_id = request.get("session_id")
        session_id = session_id % 2**64 if type(session_id) is int else 0
        if session_id == 0:
            if verb in ("ping", "info"):
                return "success", 0
            if verb != "create":
                return "457", 0
            wanted = request.get("id", 0)
            return ("468", wanted) if wanted in self.owners else ("success", self.create(row, wanted))
        if session_id not in self.owners:
            return "458", session_id
        if verb in ("ping", "info", "create"):
            return "453", session_id
        if verb == "destroy":
            del self.owners[session_id]
        elif verb == "claim":
            self.owners[session_id] = row
        return "success", session_id


class TwoRows(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.janus = Janus()
        self.managed_ids = ManagedIds()
        self.files: list[dict[int, SavedSession]] = [{}, {}]
        self.issued: list[set[int]] = [set(), set()]
        self.in_flight: list[tuple[int, JanusCommand, dict[str, Any], int | None]] = []
        self.books = [self.new_book(row) for row in (0, 1)]
        self.join(0)
        self.join(1)

    def new_book(self, row: int) -> SessionBook:
        file = self.files[row]

        def save(_gateway: Gateway, session: SavedSession) -> None:
            file.pop(session.session_id, None)
            if not (session.ended and session.managed):
                file[session.session_id] = session

        return SessionBook(self.managed_ids, save, GATEWAY, list(file.values()))

    # What the bridge does by itself

    @rule(row=ROWS)
    def join(self, row: int) -> None:
        """Claim what has an id, then create the managed session if there is none."""
        book = self.books[row]
        for session in book:
            if session.session_id is not None and not session.live:
                session.step(SessionStep.DOUBT)
                if session.session_id in self.janus.owners:
                    self.janus.owners[session.session_id] = row
                    session.step(SessionStep.GRANT)
                else:
                    book.ended(session)
        if book.managed.state is SessionState.WANTED:
            book.managed_created(self.janus.create(row), 1)

    @rule(row=ROWS)
    def lose_the_connection(self, row: int) -> None:
        for session in self.books[row]:
            if session.live:
                session.step(SessionStep.DOUBT)

    @rule()
    def restart_the_bridge(self) -> None:
        self.in_flight.clear()
        self.managed_ids = ManagedIds()
        self.books = [self.new_book(row) for row in (0, 1)]

    @rule(row=ROWS)
    def take_the_row_out_and_in_again(self, row: int) -> None:
        self.in_flight = [entry for entry in self.in_flight if entry[0] != row]
        self.books[row].close()
        self.books[row] = self.new_book(row)

    @precondition(lambda self: self.janus.created)
    @rule(data=st.data(), told=st.booleans())
    def session_times_out(self, data: st.DataObject, told: bool) -> None:
        session_id = data.draw(st.sampled_from(self.janus.created))
        owner = self.janus.owners.pop(session_id, None)
        session = self.books[owner].find(session_id) if owner is not None and told else None
        if owner is not None and session is not None:
            self.books[owner].ended(session)

    # What callers do

    @rule(row=ROWS, verb=spelled_verbs, data=st.data(), as_text=st.booleans(), twice=st.booleans())
    def send(self, row: int, verb: str, data: st.DataObject, as_text: bool, twice: bool) -> None:
        members: dict[str, Any] = {"janus": verb}
        managed = [book.managed.session_id for book in self.books if book.managed.session_id is not None]
        ids = st.sampled_from([*managed * 3, *sorted({1, 2, 3, *self.janus.created})])
        for member in data.draw(st.sampled_from([["session_id"], ["id"], ["session_id", "id"], []])):
            members[member] = data.draw(ids.flatmap(lambda number: st.sampled_from(spellings(number))))
        text = json.dumps(members)
        if twice:
            text = '{"session_id":1,"janus":"ping",' + text[1:]
        try:
            command = read_command(text if as_text else json.loads(text))
        except InvalidCommand:
            return
        book = self.books[row]
        expected = self.to_be_refused(row, command)
        try:
            book.check(command)
        except InvalidCommand:
            assert expected
            return
        assert not expected
        try:
            address, carrier = book.address(command)
        except LinkDown:
            assert not book.managed.live
            return
        assert carrier == book.carrier_of(address)
        self.assert_addressed(row, command, address)
        self.in_flight.append((row, command, command.members, address))

    def to_be_refused(self, row: int, command: JanusCommand) -> bool:
        """Contract 5.7, the sentences about 400."""
        managed = {book.managed.session_id for book in self.books} - {None}
        verb = command.name.lower() if command.name.isascii() else ""
        if verb == "destroy":
            return (
                command.session_id is None
                or command.session_id in managed
                or command.session_id not in self.issued[row]
            )
        if verb == "claim":
            return command.session_id in managed
        return verb == "create" and command.new_id in managed

    def assert_addressed(self, row: int, command: JanusCommand, address: int | None) -> None:
        """Contract 5.7, the sentences about which ids are sent as they are."""
        if command.verb.server:
            assert address is None
        elif command.name.lower() == "claim" or command.session_id in self.issued[row]:
            assert address == command.session_id
        else:
            assert address == self.books[row].managed.session_id

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Janus executes any of the commands in flight: lanes, threads and networks may hold one back."""
        row, command, request, address = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        if address is not None:
            request["session_id"] = address
        before = self.managed_sessions()
        outcome, session_id = self.janus.execute(row, request)
        assert self.managed_sessions() == before, "a caller's command harmed a managed session"
        book = self.books[row]
        if outcome == "success" and command.kind in ("create", "claim"):
            assert session_id not in {one.managed.session_id for one in self.books}, (
                "it stands in for a managed session"
            )
            book.adopt(session_id, 1)
            self.issued[row].add(session_id)
        session = book.find(session_id)
        if session is not None and (outcome == "458" or (outcome == "success" and command.kind == "destroy")):
            book.ended(session)

    def managed_sessions(self) -> dict[int, int | None]:
        ids = [book.managed.session_id for book in self.books if book.managed.session_id is not None]
        return {session_id: self.janus.owners.get(session_id) for session_id in ids}

    @invariant()
    def every_row_knows_the_managed_ids_of_all(self) -> None:
        assert set(self.managed_ids) == {book.managed.session_id for book in self.books} - {None}

    @invariant()
    def issued_ids_are_remembered(self) -> None:
        for book, issued in zip(self.books, self.issued, strict=True):
            for session_id in issued:
                address, _ = book.address(read_command({"janus": "attach", "session_id": session_id}))
                assert address == session_id


TestNoCommandHarmsAManagedSession = TwoRows.TestCase
TestNoCommandHarmsAManagedSession.settings = settings(max_examples=examples(80), stateful_step_count=50)
