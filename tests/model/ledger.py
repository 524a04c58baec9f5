"""The small model that a run is held against: what was asked and told, and what came of it.

Owns the rules. A request has one outcome, and one that its gateway's state allows; what the answer says about sending
is true of what Janus saw. Numbered events arrive in order, once, and what is missing was counted before. Must not know
sockets. Authority: contract 5.4, 5.5, 7.2, 7.4.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bridge.auto_reset_event import AutoResetEvent

GOOD = ("result",)
# What a message may do to its caller on a gateway that nothing disturbs. ``busy`` is always possible.
EXPECTED: dict[str, tuple[str, ...]] = {
    "echo": GOOD,
    "late event": GOOD,
    "early event": GOOD,
    "twice": GOOD,
    "torn": GOOD,
    "chatty": GOOD,
    "error": ("error",),
    "silence": ("408",),
    "ack": ("408",),
    "hold": ("408", "result"),
    "huge": ("502", "408"),
    "broken": ("502", "408"),
}
DISTURBED = {"result", "error", "408", "502", "503", "404"}
SHORT = ("silence", "ack", "hold")  # asked with a short time limit, which they are to reach


@dataclass(slots=True)
class Asked:
    """A request on its way. ``epoch`` is its gateway's when it was asked, None where that was disturbed already."""

    number: int
    gateway: str
    does: str
    epoch: int | None


@dataclass(slots=True)
class Series:
    """Numbered events that Janus sent one behind the other on one connection."""

    gateway: str
    epoch: int | None
    told: int = 0
    heard: int = 0
    last: int = -1


@dataclass
class Ledger:
    """``faults`` has a line for each broken promise; empty is what everybody hopes for."""

    faults: list[str] = field(default_factory=list)
    seen: Counter[int] = field(default_factory=Counter)  # requests by number, as Janus saw them
    outcomes: Counter[str] = field(default_factory=Counter)  # of all requests that were waited for
    unwaited: int = 0  # notifications, and callers who left: the bridge alone knows their outcomes
    unanswered: set[int] = field(default_factory=set)
    received: int = 0  # events of both kinds
    heard: AutoResetEvent = field(default_factory=AutoResetEvent)  # set at each
    statuses: Counter[str] = field(default_factory=Counter)
    _unsent: set[int] = field(default_factory=set)
    _series: dict[str, Series] = field(default_factory=dict)
    _lost: Counter[str] = field(default_factory=Counter)  # by gateway: counted, and no gap was seen for it yet

    def fault(self, text: str) -> None:
        """A promise is broken."""
        self.faults.append(text)

    # Requests

    def ask(self, asked: Asked) -> None:
        """A request is about to be made."""
        self.unanswered.add(asked.number)

    def answer(self, asked: Asked, answer: dict[str, Any], epoch: int | None) -> None:
        """What its caller got; ``epoch`` is its gateway's now."""
        if asked.number not in self.unanswered:
            self.fault(f"{asked}: a second answer: {answer}")
            return
        self.unanswered.discard(asked.number)
        outcome = outcome_of(answer)
        self.outcomes[outcome] += 1
        calm = asked.epoch is not None and asked.epoch == epoch
        allowed = {*EXPECTED[asked.does], "busy"} if calm else {*DISTURBED, "busy"}
        if outcome not in allowed:
            self.fault(f"{asked}: {'calm' if calm else 'disturbed'}, but {answer}")
        if outcome == "result":
            self._check_result(asked, answer["result"])
        elif outcome in ("503", "busy") or (outcome == "408" and answer["error"].get("data") == "not sent"):
            self._unsent.add(asked.number)

    def _check_result(self, asked: Asked, result: dict[str, Any]) -> None:
        data = result.get("plugindata", {}).get("data", {})
        if (data.get("number"), result.get("transaction")) != (asked.number, f"t{asked.number}"):
            self.fault(f"{asked}: got the answer to another request: {result}")
        if not self.seen[asked.number]:
            self.fault(f"{asked}: was answered, but Janus never saw it")

    # Events

    def tell(self, name: str, gateway: str, epoch: int | None) -> int:
        """The number of the next event of a series."""
        series = self._series.setdefault(name, Series(gateway, epoch))
        series.told += 1
        return series.told - 1

    def hear(self, params: dict[str, Any], body: dict[str, Any]) -> None:
        """A subscriber got an event; ``body`` is janus_body, or the detail of a status."""
        self.received += 1
        self.heard.set()
        status = params.get("status")
        if status is not None:
            self.statuses[status] += 1
            if status == "events_lost":
                self._lost[params["janus_id"]] += body["lost"]
            return
        mark = body.get("plugindata", {}).get("data", {})
        if "series" in mark:
            self._hear_numbered(mark["series"], mark["i"], params["janus_id"])

    def _hear_numbered(self, name: str, number: int, gateway: str) -> None:
        series = self._series.get(name)
        if series is None:
            self.fault(f"event {number} of {name}, which nobody told or which is over")
            return
        missing = number - series.last - 1
        if missing < 0:
            self.fault(f"event {number} of {name} after {series.last}")
        elif missing > self._lost[gateway]:
            self.fault(f"{missing} events of {name} are missing before {number}, {self._lost[gateway]} counted as lost")
        self._lost[gateway] -= max(missing, 0)
        series.last = number
        series.heard += 1

    def owed(self, epochs: dict[str, int | None]) -> int:
        """How many numbered events of undisturbed connections have still to come, or to be counted as lost."""
        owed: Counter[str] = Counter()
        for series in self._series.values():
            if series.epoch is not None and series.epoch == epochs[series.gateway]:
                owed[series.gateway] += series.told - 1 - series.last
        return sum(max(count - self._lost[gateway], 0) for gateway, count in owed.items())

    # The end of a round

    def close_round(self) -> None:
        """Nothing is on its way any more: settle what can be settled only now, and forget it."""
        for number in sorted(self.unanswered):
            self.fault(f"request {number} has no outcome")
        for number in sorted(self._unsent):
            if self.seen[number]:
                self.fault(f"request {number} was called unsent, but Janus saw it")
        for number, times in self.seen.items():
            if times > 1:
                self.fault(f"Janus saw request {number} {times} times")
        for forgotten in (self.unanswered, self._unsent, self.seen, self._series, self._lost):
            forgotten.clear()

    def balance(self, before: dict[str, int], now: dict[str, int], outcome_names: tuple[str, ...]) -> None:
        """Compare with the bridge's own counters (``get_statistics``) since the start."""
        grown = {name: now[name] - before[name] for name in now}
        over = sum(grown[f"commands_{name}"] for name in outcome_names)
        asked = self.outcomes.total()
        # A request whose gateway was not in the table never came so far; nor one whose caller had left by then.
        if not asked - self.outcomes["404"] <= over <= asked + self.unwaited:
            self.fault(f"{asked} requests and {self.unwaited} without a waiter, but {over} outcomes in the statistics")
        raised = grown["events"] + grown["status_events"]
        if raised != grown["events_sent"] + grown["event_drops"]:
            self.fault(f"{raised} events raised, but {grown['events_sent']} sent, {grown['event_drops']} dropped")
        if self.received != grown["events_sent"]:
            self.fault(f"{grown['events_sent']} events sent, but {self.received} received")


def outcome_of(answer: dict[str, Any]) -> str:
    """ "result", "error" (of Janus), "busy", or the code of an MI error."""
    if "result" in answer:
        return "error" if answer["result"]["janus"] == "error" else "result"
    error = answer["error"]
    return "busy" if error["message"] == "Too many commands in flight" else str(error["code"])
