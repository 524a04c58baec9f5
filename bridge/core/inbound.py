"""What every message of one Janus is: an answer, an event (contract 7.1), the end of a session, or nothing.

Owns that decision and its bookkeeping. Must not know how connections are made or kept.
"""

import logging
import re
from collections.abc import Callable
from typing import Any

import trio

from bridge.core.connection import JanusConnection
from bridge.core.environment import LinkEnvironment
from bridge.core.long_messages import prepare
from bridge.core.pending import Asked, PendingRequest
from bridge.core.requests import Requests
from bridge.errors import MalformedMessage, TransactionLost
from bridge.protocol import codec, plugin_types
from bridge.protocol.codec import INT64_MAX, JsonObject, TooManyElements
from bridge.protocol.history import BY_CALLER
from bridge.protocol.janus import (
    ACK,
    ERROR,
    EVENT,
    HANDLE_NOT_FOUND,
    SESSION_NOT_FOUND,
    Ack,
    Failure,
    Malformed,
    Success,
    classify,
    member_id,
)
from bridge.protocol.numbers import read_decimal
from bridge.protocol.session import JanusSession
from bridge.protocol.session_book import SessionBook
from bridge.protocol.transactions import decode
from bridge.throttle import Throttle

log = logging.getLogger("bridge.link")

_TRANSACTION = re.compile(r'"transaction"\s*:\s*"(jb\.[^"]*)"')
TOO_LARGE = "Janus answer too large"
HEAD = 4096  # characters of a message that is no JSON in which its transaction is looked for
MAX_REASON = 200  # characters of a text of Janus that is remembered
LOG_EVERY = 1.0  # seconds between lines about messages that were dropped


class InboundRouter:
    """``session_over(session)`` is told when Janus ended a session, ``session_closed(session, transaction)`` when its
    caller did, ``trouble(reason)`` when Janus refused a keepalive; ``raise_event(body, members)`` gets the text of an
    event, and what it is the text of.
    """

    def __init__(
        self,
        janus_id: str,
        environment: LinkEnvironment,
        requests: Requests,
        book: SessionBook,
        session_over: Callable[[JanusSession], None],
        session_closed: Callable[[JanusSession, str | None], None],
        trouble: Callable[[str], None],
        raise_event: Callable[[str, JsonObject], None],
    ) -> None:
        self._janus_id = janus_id
        self._start = environment.start
        self._parsing = environment.parsing
        self._stats = environment.stats
        self._wanted = environment.wanted
        self._wide_strings = environment.settings.wide_strings
        self._requests = requests
        self._book = book
        self._session_over = session_over
        self._session_closed = session_closed
        self._trouble = trouble
        self._raise_event = raise_event
        self._refusals = Throttle(LOG_EVERY, repeat=True)

    def text(self, connection: JanusConnection, text: str) -> None:
        """A text message arrived."""
        try:
            message = codec.read_message(text)
        except MalformedMessage as exc:
            self._unread(exc, text)
        else:
            self._route(connection, text, message, None)

    async def long_text(self, connection: JanusConnection, text: str) -> None:
        """The same for a long one: what takes time is done in a thread, one of all gateways at a time. Its reader waits
        for it, so that order is kept.
        """
        try:
            message, shown = await trio.to_thread.run_sync(
                prepare, text, self._wide_strings, limiter=self._parsing, abandon_on_cancel=True
            )
        except MalformedMessage as exc:
            self._unread(exc, text)
            return
        self._route(connection, text, message, shown)

    def _unread(self, error: MalformedMessage, text: str) -> None:
        too_large = isinstance(error, TooManyElements)
        self.refused(f"{error}" if too_large else f"is not JSON: {error}", text[:HEAD], too_large=too_large)

    def _route(self, connection: JanusConnection, text: str, message: Any, shown: JsonObject | None) -> None:
        """``shown``: the message as callers and subscribers get it, where that was made already."""
        name = message.get("janus") if type(message) is dict else None
        if type(name) is not str:
            malformed = classify(message)
            assert isinstance(malformed, Malformed)
            self.refused(malformed.reason, text[:HEAD], too_large=False)
            return
        transaction = message.get("transaction")
        requests = self._requests
        pending = requests.waiting.get(transaction) if type(transaction) is str else None
        if pending is None:
            self._unasked(name, text, message, shown, connection)
            return
        if name == ACK and not pending.command.verb.ack_is_final:
            requests.acknowledge(pending)
            return
        failed = name == ERROR
        if pending.kind == "internal":
            requests.settle(pending, message, error=failed)
            if pending.asker is not None:
                pending.asker.succeed(message)
            return
        connection.record.served = True
        if pending.caller is None:
            del message["transaction"]
        else:
            message["transaction"] = pending.caller
        if pending.command.strange:
            self._book.handles.heard(self._book.find(member_id(message.get("session_id"))), message)
        if failed or pending.kind != "message":  # what a plugin says tells nothing of sessions
            self._note(pending.asked, message, connection)
        if shown is not None:
            _give_transaction(message, shown)
        else:
            shown = message if self._wide_strings and plugin_types.widen(message) else self._exact(text, message)
        requests.settle(pending, shown, error=failed)
        if pending.asker is None:
            self._unheard(pending, name, text, message, shown)
        if failed:
            self._end_if_unknown(message, pending.session_id, connection)
        # Last of all: it may lead back to here.
        if pending.asker is not None:
            pending.asker.succeed(shown)

    def refused(self, reason: str, head: str, *, too_large: bool) -> None:
        """A message that is not kept: counted, and logged once in a while. A caller whom its head names is told."""
        self._stats.add("oversized" if too_large else "malformed")
        times = self._refusals.due(reason, trio.current_time())
        if times:
            more = f" ({times - 1} more since the last such line)" if times > 1 else ""
            log.warning("%s: a message from Janus %s; dropped%s", self._janus_id, reason, more)
        match = _TRANSACTION.search(head)
        pending = self._requests.waiting.get(match[1]) if match is not None else None
        if pending is not None:
            self._requests.fail(pending, TransactionLost(TOO_LARGE if too_large else f"Janus answer {reason}"))

    def _exact(self, text: str, message: JsonObject) -> JsonObject:
        """``message``, which was widened where that is wanted; made again, should it have integers beyond 64 bits."""
        if not codec.may_be_wide(text):
            return message
        shown: JsonObject = codec.parse(text)
        _give_transaction(message, shown)
        if self._wide_strings:
            plugin_types.widen(shown)
        return shown

    def _unheard(self, pending: PendingRequest, name: str, text: str, message: JsonObject, shown: JsonObject) -> None:
        """Nobody waits for this answer: its caller left, or it is that to a notification."""
        if pending.abandoned:
            is_event = name != ACK
        else:
            is_event = name in (EVENT, ERROR)
            if not is_event:
                self._stats.add("notifications_done")
        if is_event:
            self._event(text, message, shown)

    def _unasked(
        self, name: str, text: str, message: JsonObject, shown: JsonObject | None, connection: JanusConnection
    ) -> None:
        named = message.get("transaction")
        if name == ACK and connection.keepalive_answered(named):
            return  # as nearly always on an idle gateway
        asked: Asked | None = None
        transaction = decode(named) if type(named) is str else None
        if transaction is not None:
            if transaction.kind == "internal":
                if transaction.start == self._start:
                    self._keepalive_answered(transaction.caller, message, connection)
                return
            if name != ACK:
                # After its caller's time: it still says what became of sessions and handles. Once: a Janus that sends
                # what nobody asked for must not fill the book.
                asked = self._requests.late.take(transaction)
                if transaction.caller is None:
                    del message["transaction"]
                else:
                    message["transaction"] = transaction.caller
        if name == ACK:
            return
        if asked is not None:
            self._note(asked, message, connection)
        session_id = member_id(message.get("session_id"))
        session = self._book.find(session_id)
        if name == EVENT:
            self._book.handles.heard(session, message)
        elif name == "detached":
            self._detached(session_id, member_id(message.get("sender")))
        elif name == "hangup":
            reason = str(message.get("reason", ""))[:MAX_REASON]
            self._book.handles.hung_up(session, member_id(message.get("sender")), reason)
        self._event(text, message, shown)
        if asked is not None and name == ERROR:
            self._end_if_unknown(message, asked.session_id, connection)
        if name == "timeout":
            self._gone(session_id, connection)

    def _detached(self, session_id: int | None, handle_id: int | None) -> None:
        """The event comes before the answer where a caller asked for it."""
        asked = self._requests.detach_of(handle_id)
        if asked is None:
            self._book.handles.detached(self._book.find(session_id), handle_id, "Janus detached it")
        else:
            self._book.handles.detached(self._book.find(session_id), handle_id, BY_CALLER, asked.caller)

    def _end_if_unknown(self, failure: JsonObject, session_id: int | None, connection: JanusConnection) -> None:
        """Late, because it may end what the request was in."""
        incoming = classify(failure)
        if isinstance(incoming, Failure) and incoming.code == SESSION_NOT_FOUND:
            self._gone(session_id, connection)

    def _keepalive_answered(self, session: str | None, message: JsonObject, connection: JanusConnection) -> None:
        """A keepalive is in no table: its transaction says all. Other late answers to the bridge itself say nothing."""
        session_id = read_decimal(session or "", INT64_MAX)
        if session_id is None:
            return
        incoming = classify(message)
        if isinstance(incoming, Failure) and incoming.code == SESSION_NOT_FOUND:
            self._gone(session_id, connection)
        elif isinstance(incoming, Failure):
            self._trouble(f"Janus refused a keepalive: {incoming.code} {incoming.reason}")
        elif isinstance(incoming, Ack):
            connection.record.served = True

    def _note(self, asked: Asked, message: JsonObject, connection: JanusConnection) -> None:
        """What the answer to a command says about sessions and handles."""
        incoming, transaction = classify(message), message.get("transaction")
        session, handles = self._book.find(asked.session_id), self._book.handles
        if isinstance(incoming, Failure) and incoming.code == HANDLE_NOT_FOUND:
            handles.detached(session, asked.handle_id, "Janus does not know it (459)", transaction)
        if not isinstance(incoming, Success):
            return
        if asked.kind == "create":
            data = message.get("data")
            created = member_id(data.get("id")) if isinstance(data, dict) else None
            if created is not None:
                self._book.adopt(created, connection.number, claimed=False, transaction=transaction)
        elif asked.kind == "claim" and asked.session_id is not None:
            self._book.adopt(asked.session_id, connection.number, claimed=True, transaction=transaction)
        elif asked.kind == "attach":
            handles.attached(session, message, asked.plugin, transaction)
        elif asked.kind == "detach":
            handles.detached(session, asked.handle_id, BY_CALLER, transaction)
        elif asked.kind == "destroy" and session is not None and not session.managed:
            self._session_closed(session, transaction)

    def _gone(self, session_id: int | None, connection: JanusConnection) -> None:
        """The session is over, if the connection may know: it carries it, or was asked to; or the carrier is gone."""
        session = self._book.find(session_id)
        if session is not None and self._book.carriers.may_end(session, connection.number):
            self._session_over(session)

    def _event(self, text: str, message: JsonObject, shown: JsonObject | None) -> None:
        self._requests.counters.event()
        if self._wanted():
            if shown is not None:
                _give_transaction(message, shown)
                message = shown
            elif not (self._wide_strings and plugin_types.widen(message)):
                message = self._exact(text, message)
            self._raise_event(codec.render(message), message)


def _give_transaction(message: JsonObject, shown: JsonObject) -> None:
    """``shown`` was made when whose message it is was not known yet."""
    if "transaction" in message:
        shown["transaction"] = message["transaction"]
    else:
        shown.pop("transaction", None)
