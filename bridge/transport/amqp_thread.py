"""One connection to a RabbitMQ, from its start to its end, in a thread of its own: pika with its own loop.

Owns pika, which no other file knows: what is called how in AMQP, the order of confirmations, and what each fault is in
words. Must not know events or when to try again: another attempt is another connection. Authority: AMQP 0-9-1;
rabbitmq.com/docs/confirms (an unroutable mandatory message is returned first and then confirmed), /connection-blocked.

The event loop calls ``publish`` and ``close``, and reads the rest; ``news`` is called in the event loop when there is
something to read. Nothing here waits without an end: pika's own limits bound the connect, heartbeats everything else.
"""

import logging
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

import pika
import trio
from pika.adapters.select_connection import IOLoop
from pika.adapters.utils.connection_workflow import AMQPConnectorStackTimeout

from bridge.protocol.amqp_target import AmqpTarget
from bridge.protocol.printable import printable
from bridge.transport.tls import tls_text

TCP_TIMEOUT, STACK_TIMEOUT = 3.0, 8.0  # seconds: for TCP, and until AMQP is spoken
HEARTBEAT = 10  # seconds; a connection that is silent for 15 ends
CLOSE_TIMEOUT = 30.0  # seconds: by then a heartbeat was missed, too
TURNS = 10  # of pika's loop, in which it closes the socket of a connection that has ended
_JSON: Final = "application/json"
_PERSISTENT: Final = 2

logging.getLogger("pika").setLevel(logging.CRITICAL + 1)  # what it says in several lines, with tracebacks, is told here


class AmqpFault(NamedTuple):
    """Why a connection has ended. ``refused``: nobody listens there; ``minds``: it may be because of a message."""

    text: str
    refused: bool = False
    minds: bool = False


class AmqpThread:
    """``is_open`` once it takes messages. ``results``: of each published one, in order, "" where it is confirmed, else
    why it was given back. ``fault``: it has ended. ``blocked``: why the broker reads nothing now, though it is there.
    """

    def __init__(
        self,
        target: AmqpTarget,
        address: tuple[str, int],
        tls: tuple[ssl.SSLContext, str] | None,
        news: Callable[[], None],
    ) -> None:
        """``address`` is of IP and port; ``tls``: the context, and the name in the certificate. Raises OSError,
        RuntimeError: the system has no descriptor or thread left.
        """
        self.is_open = False
        self.results: deque[str] = deque()
        self.fault: AmqpFault | None = None
        self.blocked: str | None = None
        self._target = target
        self._news = news
        self._token = trio.lowlevel.current_trio_token()
        self._outbox: deque[tuple[str, bytes]] = deque()
        self._asked = False  # the thread is to look into it
        self._connection: Any = None
        self._channel: Any = None
        # By delivery tag, which counts what is published on the channel from 1.
        self._tags: dict[str, int] = {}  # of message ids
        self._ids: deque[str] = deque()  # of what is not in results yet
        self._first = 1  # the tag of the first of them
        self._settled: dict[int, str] = {}  # results that came before their turn
        self._loop = IOLoop()
        self._parameters = pika.ConnectionParameters(
            *address,
            target.vhost,
            pika.PlainCredentials(target.user, target.password),
            heartbeat=HEARTBEAT,
            socket_timeout=TCP_TIMEOUT,
            stack_timeout=STACK_TIMEOUT,
            ssl_options=None if tls is None else pika.SSLOptions(*tls),
            client_properties={"product": "janus-bridge"},
        )
        try:
            threading.Thread(target=self._run, name="rabbitmq", daemon=True).start()
        except RuntimeError:
            self._loop.close()
            raise

    def publish(self, id: str, body: bytes) -> None:
        """Send this behind what was published before. ``id`` is of 255 bytes at most."""
        self._outbox.append((id, body))
        if not self._asked:
            self._asked = True
            self._loop.add_callback_threadsafe(self._publish)

    def close(self) -> None:
        """Let it end, soon; there is no news of it."""
        self._news = _nothing
        self._loop.add_callback_threadsafe(self._close)

    # In the thread

    def _run(self) -> None:
        try:
            self._connection = pika.SelectConnection(
                self._parameters,
                self._on_open,
                lambda _, exc: self._end(fault_of(exc)),
                lambda _, exc: self._end(fault_of(exc)),
                self._loop,
            )
            self._connection.add_on_connection_blocked_callback(partial(self._on_blocked, blocked=True))
            self._connection.add_on_connection_unblocked_callback(partial(self._on_blocked, blocked=False))
            self._loop.start()
        except Exception as exc:  # noqa: BLE001 - a fault of the library costs its connection, and shows no traceback
            self._end(AmqpFault(f"{type(exc).__name__}: {exc}", minds=True))
        finally:
            self._loop.close()

    def _close(self) -> None:
        self.is_open = False
        if not (self._connection.is_closed or self._connection.is_closing):
            self._connection.close()
        self._loop.call_later(CLOSE_TIMEOUT, self._loop.stop)

    def _stop(self, turns: int = TURNS) -> None:
        if turns:
            self._loop.add_callback(partial(self._stop, turns - 1))
        else:
            self._loop.stop()

    def _end(self, fault: AmqpFault) -> None:
        if self.fault is None:
            self.fault = fault
        self.is_open = False
        self._tell()
        self._stop()

    def _tell(self) -> None:
        with suppress(trio.RunFinishedError):  # the connection is being closed, and goes on until it is
            self._token.run_sync_soon(self._news, idempotent=True)

    def _on_open(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Any) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirmation, lambda _: self._on_ready(channel))

    def _on_ready(self, channel: Any) -> None:
        self._channel = channel
        self.is_open = True
        self._tell()

    def _on_channel_closed(self, _: Any, exc: Exception) -> None:
        """With it the connection: the next one begins with both."""
        fault = fault_of(exc)
        if self.fault is None:
            self.fault = fault
        self.is_open = False
        self._tell()
        self._close()

    def _on_blocked(self, _: Any, frame: Any, *, blocked: bool) -> None:
        self.blocked = _told_of(f"the broker takes nothing just now: {frame.method.reason}") if blocked else None
        self._tell()

    def _publish(self) -> None:
        self._asked = False
        while self._outbox and self.is_open:
            id, body = self._outbox.popleft()
            properties = pika.BasicProperties(content_type=_JSON, delivery_mode=_PERSISTENT, message_id=id)
            self._ids.append(id)
            self._tags[id] = self._first + len(self._ids) - 1
            self._channel.basic_publish(
                self._target.exchange, self._target.routing_key, body, properties, mandatory=True
            )
            _give_way()

    def _on_return(self, _: Any, method: Any, properties: Any, body: bytes) -> None:
        tag = self._tags.get(properties.message_id)
        if tag is not None:
            self._settled[tag] = _told_of(f"no queue takes it: the broker says {method.reply_text}; {self._way}")

    def _on_confirmation(self, frame: Any) -> None:
        method = frame.method
        taken = isinstance(method, pika.spec.Basic.Ack)
        result = "" if taken else _told_of(f"the broker did not keep it, as where a queue is full; {self._way}")
        tag, newest = method.delivery_tag, self._first + len(self._ids) - 1
        _give_way()
        if method.multiple:  # 0 says all
            for one in range(self._first, min(tag or newest, newest) + 1):
                self._settled.setdefault(one, result)
        elif self._first <= tag <= newest:  # nothing is confirmed before it is published
            self._settled.setdefault(tag, result)
        while (settled := self._settled.pop(self._first, None)) is not None:
            id = self._ids.popleft()
            if self._tags.get(id) == self._first:
                del self._tags[id]
            self._first += 1
            self.results.append(settled)
        self._tell()

    @property
    def _way(self) -> str:
        return f"routing key {self._target.routing_key!r}, exchange {self._target.exchange!r}"


def _give_way() -> None:
    """Let the event loop have the interpreter's lock: else it waits 5 ms for it, at each of its system calls."""
    time.sleep(0)


def _told_of(text: str) -> str:
    """What a subscriber's trouble is; a broker's words are a stranger's."""
    return printable(text)


def fault_of(exc: BaseException) -> AmqpFault:
    """Why pika says that a connection failed or ended."""
    while True:
        inner = getattr(exc, "exceptions", None) or getattr(exc, "exception", None) or exc.args[:1]
        inner = inner[-1] if isinstance(inner, tuple) and inner else inner
        if not isinstance(inner, BaseException):
            break
        exc = inner
    errors, code, words = pika.exceptions, getattr(exc, "reply_code", 0), getattr(exc, "reply_text", "")
    match exc:
        case errors.ProbableAuthenticationError():
            return AmqpFault("the broker refuses the user or the password")
        case errors.ProbableAccessDeniedError():
            said = str(exc).partition(") ")[2][1:-1]  # pika keeps no more than how its cause is shown
            return AmqpFault(f"the broker does not open the vhost: {printable(said)}")
        case errors.IncompatibleProtocolError() | errors.AMQPHeartbeatTimeout() | errors.StreamLostError():
            return AmqpFault(_OF_STREAM[type(exc)])
        case _ if code:
            told = printable(words)
            return AmqpFault(f"the broker closed it: {told} ({code})", minds=code == 406)  # PRECONDITION_FAILED
        case ConnectionRefusedError():
            return AmqpFault(f"cannot be reached: {exc.strerror}", refused=True)
        case ssl.SSLError():
            return AmqpFault(f"cannot be reached: {tls_text(exc)}")
        case AMQPConnectorStackTimeout() | TimeoutError() | errors.ConnectionOpenAborted():
            return AmqpFault(f"cannot be reached: no answer within {STACK_TIMEOUT:g} s")
        case OSError():
            return AmqpFault(f"cannot be reached: {exc.strerror or exc}")
        case _:
            return AmqpFault(f"{type(exc).__name__}: {exc}")


_OF_STREAM: Final = {
    pika.exceptions.IncompatibleProtocolError: "does not speak AMQP 0-9-1, or closed the connection at once",
    pika.exceptions.AMQPHeartbeatTimeout: f"was silent for {HEARTBEAT + 5} s",
    pika.exceptions.StreamLostError: "the connection was lost",
}


def _nothing() -> None:
    pass
