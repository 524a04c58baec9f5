"""E_JANUS_STATUS: what is said about a gateway's connection and its lost sessions (contract 7.2).

Owns when it is said. A change is told at once, but a link that flaps must not flood its subscribers: after ``BURST``
changes only one in ``QUIET`` seconds is told, and what is told then is how it is then. Must not know subscribers.
"""

import logging
from typing import TYPE_CHECKING, Any

import trio

from bridge.core.environment import LinkEnvironment
from bridge.protocol import codec
from bridge.protocol.event_payload import status_fits
from bridge.protocol.gateway import Gateway
from bridge.protocol.humanize import plural
from bridge.protocol.session import JanusSession, shorten

if TYPE_CHECKING:
    from bridge.core.timers import Timer

log = logging.getLogger("bridge.link")

BURST = 4  # changes that are told at once: two whole outages
QUIET = 10.0  # seconds after which one more may be told
HANDLES_IN_EVENT = 400  # about as many as fit: a datagram carries 65,457 bytes, and each takes some 100 of them


class StatusEvents:
    """What subscribers were last told of one gateway, and what is true now."""

    def __init__(self, environment: LinkEnvironment, gateway: Gateway) -> None:
        self.gateway = gateway
        self._env = environment
        self._told: str | None = None
        self._now: tuple[str, str, dict[str, Any]] | None = None
        self._credit = float(BURST)
        self._credit_at = 0.0
        self._timer: Timer | None = None

    def connected(self, reason: str, detail: dict[str, Any]) -> None:
        """The gateway is ready."""
        self._change("connected", reason, detail)

    def disconnected(self, reason: str) -> None:
        """The gateway is no longer ready. Before it ever was, there is nothing to say."""
        self._change("disconnected", reason, {})

    def _change(self, status: str, reason: str, detail: dict[str, Any]) -> None:
        self._now = (status, reason, detail)
        now = trio.current_time()
        self._credit = min(BURST, self._credit + (now - self._credit_at) / QUIET)
        self._credit_at = now
        if self._timer is not None:
            return  # it tells what is true then
        if self._credit >= 1:
            self._tell()
        else:
            self._timer = self._env.timers.call_at(now + (1 - self._credit) * QUIET, self._quiet_over)

    def _quiet_over(self) -> None:
        self._timer = None
        self._tell()

    def _tell(self) -> None:
        if self._now is None or self._now[0] == self._told:
            return
        status, reason, detail = self._now
        if self._told is None and status == "disconnected":
            return
        self._told = status
        self._credit -= 1
        self._env.raise_status(self.gateway, status, reason, self._text(detail))

    def session_lost(self, session: JanusSession, reason: str) -> None:
        """A session and its handles are gone: one event, or several where the handles are many."""
        log.warning(
            "%s: %s session %s is lost with %s: %s",
            self.gateway.janus_id,
            "managed" if session.managed else "client",
            shorten(session.session_id),
            plural(len(session.handles), "handle"),
            reason,
        )
        rows = [{"handle_id": handle_id, "plugin": plugin} for handle_id, plugin in session.handles.items()]
        for start in range(0, max(len(rows), 1), HANDLES_IN_EVENT):
            self._raise_lost(session, reason, rows[start : start + HANDLES_IN_EVENT])

    def _raise_lost(self, session: JanusSession, reason: str, handles: list[dict[str, Any]]) -> None:
        detail = self._text({"session": session.session_id, "managed": session.managed, "handles": handles})
        gateway = self.gateway
        half = len(handles) // 2
        if half and not status_fits(gateway.janus_id, gateway.told_url, "session_lost", reason, detail):
            self._raise_lost(session, reason, handles[:half])
            self._raise_lost(session, reason, handles[half:])
        else:
            self._env.raise_status(gateway, "session_lost", reason, detail)

    def taken_over(self, node: int, sessions: int, reason: str) -> None:
        """What lived here at that bridge of the cluster lives at another one: ``sessions`` of its sessions."""
        log.warning("%s: took over %s of node %d: %s", self.gateway.janus_id, plural(sessions, "session"), node, reason)
        self._env.raise_status(self.gateway, "taken_over", reason, codec.render({"node": node, "sessions": sessions}))

    def gap(self, seconds: float) -> None:
        """What Janus said while no bridge had these sessions is lost; how much, is not known."""
        detail = codec.render({"lost": None, "seconds": round(seconds, 3)})
        self._env.raise_status(self.gateway, "events_lost", "take-over", detail)

    def events_lost(self, reason: str) -> None:
        """Events that Janus sent at a restart of the bridge are lost; how many, is not known."""
        log.warning("%s: events that Janus sent at the restart are lost: %s", self.gateway.janus_id, reason)
        self._env.raise_status(self.gateway, "events_lost", "restart", codec.render({"lost": None}))

    def stop(self) -> None:
        """The gateway goes: no more timers."""
        if self._timer is not None:
            self._timer.cancel()

    def _text(self, detail: dict[str, Any]) -> str:
        return codec.render(codec.widen(detail) if self._env.settings.wide_strings else detail)
