"""``janus-bridge status --watch``: the figures of a running bridge, live.

Owns the rhythm, the asking, and what a key does. What is shown stands in ``watch_screen``, the terminal in
``terminal``. Exit code 0 at Ctrl-C; a bridge that goes away meanwhile is waited for.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from bridge.cli.mi import explained
from bridge.cli.output import put
from bridge.cli.terminal import Terminal, can_be_drawn_on, has
from bridge.cli.text import colour
from bridge.cli.watch_screen import BARS, MOST_DRAWN, PLAIN_BARS, WatchView, chosen, screen, summary
from bridge.errors import BridgeError
from bridge.transport.mi_client import MiClient

PERIOD: Final = 2.0  # seconds
RETRY: Final = 0.5  # seconds, while nothing answers
BUSY: Final = 20  # times as long as an answer takes is waited before the next question: with a thousand gateways
LONGEST: Final = 15.0  # seconds
_ERASE: Final = "\x7f\b"
_CLEAR: Final = "\x1b\x15"


def watch(client: MiClient, wanted: str = "") -> int:
    """Show until Ctrl-C. ``wanted``: the filter to begin with. Raises what the first question raises: NothingAnswered,
    RpcError; and OutputLost.
    """
    watcher = _Watcher(client, wanted)
    with explained(client.url):
        watcher.view = watcher.ask(())
    try:
        if can_be_drawn_on():
            watcher.draw()
        else:
            watcher.tell()
    except KeyboardInterrupt:
        pass
    return 0


class _Watcher:
    """A thread asks, so that keys, and a window that changes its size, need not wait for an answer."""

    def __init__(self, client: MiClient, wanted: str) -> None:
        self._client = client
        self._filter = wanted
        self._named: Sequence[str] = ()
        self._asks = threading.Event()
        self.view: WatchView

    def ask(self, named: Sequence[str]) -> WatchView:
        """What the bridge says now; ``named``: the gateways whose samples are wanted. Raises as ``MiClient.call``."""
        recent, status = self._client.call("janus_recent"), self._client.call("janus_status")
        there = {row["janus_id"] for row in recent["Gateways"]}
        rows: dict[str, Mapping[str, Any]] = {}
        for janus_id in named:
            if janus_id in there:
                [rows[janus_id]] = self._client.call("janus_recent", [janus_id])["Gateways"]
        return WatchView(self._client.url, time.time(), recent, status, rows)

    def _ask_again(self) -> float:
        """A fresh view, or since when there is none; the seconds until the next one."""
        begun = time.monotonic()
        try:
            self.view = self.ask(self._named)
        except BridgeError as exc:
            since = self.view.lost[0] if self.view.lost is not None else time.time()
            self.view = replace(self.view, at=time.time(), lost=(since, str(exc)))
            return RETRY
        return min(max(PERIOD, BUSY * (time.monotonic() - begun)), LONGEST)

    def tell(self) -> None:
        """A line for each answer."""
        while True:
            put(summary(self.view))
            time.sleep(self._ask_again())

    def draw(self) -> None:
        """On the whole screen."""
        with Terminal().open() as terminal:
            threading.Thread(target=self._ask_for_ever, args=(terminal.wake,), daemon=True).start()
            bars = BARS if has(BARS) else PLAIN_BARS
            while True:
                view = replace(self.view, filter=self._filter)
                columns, lines = terminal.size()
                terminal.show(
                    [colour(text, code) if code else text for text, code in screen(view, columns, lines, bars)]
                )
                for key in terminal.wait(LONGEST):
                    self._type(key)

    def _ask_for_ever(self, wake: Callable[[], None]) -> None:
        pause = PERIOD
        while True:
            self._asks.wait(pause)  # at once where the filter has left a few, whose samples are wanted
            self._asks.clear()
            pause = self._ask_again()
            wake()

    def _type(self, key: str) -> None:
        if key in _ERASE:
            self._filter = self._filter[:-1]
        elif key in _CLEAR:
            self._filter = ""
        elif key.isprintable():
            self._filter += key
        rows = chosen(replace(self.view, filter=self._filter))
        named = [row["janus_id"] for row in rows] if self._filter and len(rows) <= MOST_DRAWN else []
        if named != self._named:
            self._named = named
            self._asks.set()
