"""Events into a RabbitMQ: ``rabbitmq:USER:PASSWORD@HOST:PORT/PARAMS?KEY``, as OpenSIPS's event_rabbitmq sends them.

Owns the window of what is on its way, and when to connect again. Must not know queues, or AMQP (``AmqpThread`` does).
Authority: OpenSIPS modules/event_rabbitmq for the body; contract 7.3. Unlike there each message is persistent and
mandatory, has an id, and is delivered once the broker has confirmed it.
"""

import hashlib
import importlib
import importlib.util
import random
import ssl
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, TypeAlias

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.errors import ConnectFailed
from bridge.protocol.amqp_target import PIKA_NEEDED
from bridge.protocol.backoff import Backoff
from bridge.protocol.event_delivery import EventRefused, NotSent, NotTaken, Parcel
from bridge.protocol.event_payload import Event
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.event_address import Addresses

if TYPE_CHECKING:
    from bridge.transport.amqp_thread import AmqpThread

# Of a tls_domain's name and the host: context, and the name in the certificate. Raises ConnectFailed.
TlsOf: TypeAlias = Callable[[str, str], tuple[ssl.SSLContext, str]]

WINDOW, WINDOW_BYTES = 512, 4 << 20  # messages, and bytes, that are not confirmed; one message may be larger
OPEN_TIMEOUT = 15.0  # seconds; beyond those of the thread
CONFIRM_TIMEOUT = 30.0  # seconds without a confirmation, where one is due, on a way that needs none
SLOWEST = 64 << 10  # bytes a second of a way that is slow
SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 10.0  # seconds between two connects
_MAX_ID = 255  # bytes; a short string of AMQP


def fault_of_system(socket: ReplySocket) -> str | None:
    """What this machine lacks to send there, in words; None: nothing."""
    if socket.target is None or importlib.util.find_spec("pika") is not None:
        return None
    return PIKA_NEEDED


def message_id(event: Event) -> str:
    """``janus_id/janus_seq``, the same for each copy; what MI raised has an id of its own. A janus_id for which there
    is no room is its SHA-256.
    """
    if event.origin is None:
        return event.id
    origin, seq = event.origin.encode("utf-8", "replace"), f"/{event.seq}"
    if len(origin) + len(seq) > _MAX_ID:
        return hashlib.sha256(origin).hexdigest() + seq
    return origin.decode() + seq


class RabbitmqSender:
    """Delivered is what the broker has confirmed. Numbers of messages count from the first of the connection."""

    def __init__(
        self,
        socket: ReplySocket,
        addresses: Addresses,
        tls_of: TlsOf,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.wake: Callable[[], None] = _nothing
        self.patient = False
        self._socket = socket
        self._addresses = addresses
        self._tls_of = tls_of
        self._thread: AmqpThread | None = None
        self._sizes: deque[int] = deque()  # of what was published and has no result
        self._bytes = 0  # of them together
        self._withdrawn = 0  # so many of them, the first ones, do not count
        self._progress_at = 0.0  # when there was a result, or nothing was on its way
        self._backoff = Backoff(SHORTEST_PAUSE, LONGEST_PAUSE, uniform)
        self._not_before = 0.0  # the next connect
        self._turn = 0  # whose it is, of the addresses that the host has
        self._changed = AutoResetEvent()

    def renew(self, socket: ReplySocket) -> None:
        """Its password is that of this one from the next connect on."""
        self._socket = socket

    def try_send(self, parcel: Parcel) -> bool:
        """False: there is always a confirmation to wait for."""
        return False

    async def send(self, parcel: Parcel, patience: float) -> None:
        """Connect, publish it alone, await its confirmation. Raises NotSent, EventRefused."""
        await self._connect()
        self.withdraw()
        self.publish(parcel)
        try:
            while not self.confirmed():
                with trio.move_on_at(self.deadline):
                    await self._changed.wait()
        except NotTaken as exc:
            if self._thread is None:  # the broker closed the connection because of it
                raise EventRefused("refused", str(exc)) from None
            raise

    @property
    def can_publish(self) -> bool:
        """Whether the connection is open and the window has room."""
        thread = self._thread
        return thread is not None and thread.is_open and len(self._sizes) < WINDOW and self._bytes < WINDOW_BYTES

    @property
    def deadline(self) -> float:
        """When the broker should have confirmed something."""
        if len(self._sizes) == self._withdrawn or (self.patient and self.trouble is not None):
            return float("inf")
        return self._progress_at + self._patience

    @property
    def trouble(self) -> str | None:
        """That the broker blocks this connection, and why."""
        return None if self._thread is None else self._thread.blocked

    def publish(self, parcel: Parcel) -> None:
        """Send it behind what is on its way, on an open connection."""
        assert self._thread is not None
        if len(self._sizes) == self._withdrawn:
            self._progress_at = trio.current_time()
        parcel.sent = True
        self._sizes.append(len(parcel.payload))
        self._bytes += len(parcel.payload)
        self._thread.publish(message_id(parcel.event), parcel.payload)

    def confirmed(self) -> int:
        """How many more of those that count are confirmed. Raises NotSent."""
        count = 0
        results = deque[str]() if self._thread is None else self._thread.results
        while results and not (results[0] and count and not self._withdrawn):  # what is confirmed is told first
            result = results.popleft()
            self._bytes -= self._sizes.popleft()
            if self._withdrawn:
                self._withdrawn -= 1
            elif result:
                raise NotTaken(result)
            else:
                count += 1
                self._backoff.reset()
        if not count and len(self._sizes) > self._withdrawn:
            self._look()
        return count

    def withdraw(self) -> None:
        """What is on its way does not count any more."""
        self._withdrawn = len(self._sizes)

    def close(self) -> None:
        """Let the connection end."""
        if self._thread is not None:
            self._thread.close()
            self._thread = None
        self._sizes.clear()
        self._bytes = self._withdrawn = 0

    def _look(self) -> None:
        """Whether more confirmations may come. Raises NotSent if not."""
        thread = self._thread
        assert thread is not None
        if thread.fault is not None:
            self._end(*thread.fault)
        if trio.current_time() >= self.deadline:
            self._end(thread.blocked or f"the broker confirmed nothing for {round(self._patience, 1):g} s")

    @property
    def _patience(self) -> float:
        """Seconds from one confirmation to the next, for what is on its way."""
        return CONFIRM_TIMEOUT + self._bytes / SLOWEST

    def _end(self, text: str, refused: bool = False, minds: bool = False) -> NoReturn:
        self.close()
        self._turn += 1
        now = trio.current_time()
        self._not_before = now + self._backoff.failed(now, refused=refused)
        raise (NotTaken if minds else NotSent)(text)

    async def _connect(self) -> None:
        thread = self._thread
        if thread is not None and thread.is_open:
            return
        self.close()
        await trio.sleep_until(self._not_before)
        try:
            thread = self._thread = await self._start()
        except NotSent as exc:
            self._end(str(exc))
        with trio.move_on_after(OPEN_TIMEOUT):
            while not thread.is_open:
                if thread.fault is not None:
                    self._end(thread.fault.text, thread.fault.refused)
                await self._changed.wait()
            return
        self._end(f"cannot be reached: no answer within {OPEN_TIMEOUT:g} s")

    async def _start(self) -> "AmqpThread":
        target = self._socket.target
        assert target is not None
        fault = fault_of_system(self._socket)
        if fault is not None:
            raise NotSent(fault)
        _, address = await self._addresses.resolve(self._socket, self._turn)
        # pika is large: to read it takes longer than the event loop has.
        module = await trio.to_thread.run_sync(importlib.import_module, "bridge.transport.amqp_thread")
        try:
            tls = self._tls_of(target.tls_domain, self._socket.host) if target.tls_domain else None
            thread: AmqpThread = module.AmqpThread(target, address[:2], tls, self._news)
        except ConnectFailed as exc:
            raise NotSent(f"cannot be reached: [events.tls_domains.{target.tls_domain}] {exc.reason}") from None
        except (OSError, RuntimeError) as exc:
            raise NotSent(f"cannot be reached: {exc}") from None
        return thread

    def _news(self) -> None:
        self._progress_at = trio.current_time()
        self._changed.set()
        self.wake()


def _nothing() -> None:
    pass
