"""The bytes of an event, for each kind of socket.

Owns the envelopes, the form of the two events of the bridge (contract 7.1, 7.2) and the rule for events that are too
large for a datagram (7.5). Must not know who is subscribed, or how bytes travel. Authority: OpenSIPS
evi/evi_transport.c (evi_build_payload), event_stream's reliable mode and method, MI ``raise_event`` as observed on
3.2 .. 4.1, whose string values alone survive on every version.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from bridge.protocol import codec
from bridge.protocol.framing import DATAGRAM_CEILING
from bridge.protocol.reply_socket import KINDS, ReplySocket

E_JANUS_EVENT = "E_JANUS_EVENT"
E_JANUS_STATUS = "E_JANUS_STATUS"
BODY = "janus_body"

Params: TypeAlias = Sequence[tuple[str, str | int]]

MAX_DATAGRAM = DATAGRAM_CEILING  # bytes; what OpenSIPS's documentation allows an event, too
MAX_MEMBER = 1024  # bytes; a longer member of a body is left out where the body is shortened
# Bytes of a shortened body that fit whatever they are made of: three encodings make at most four bytes of one.
_SAFE_BODY = 12 * 1024
_MAX_RELIABLE_ID = 2**31 - 1  # event_stream's ids are positive C ints

_render = codec.render


class TooLarge(ValueError):
    """An event that no shortening makes fit; the text has its name and size."""


class Encoding(NamedTuple):
    """How an event is put into bytes; ``numbered``: with its ``janus_seq``. Sockets with the same one share them."""

    form: Literal["datagram", "stream", "reliable", "mi"]
    method: str = ""
    numbered: bool = False


def encoding_of(socket: ReplySocket, *, numbered: bool = False) -> Encoding:
    """The encoding that a socket wants. One for an MI is numbered in any case: its events may come twice."""
    envelope = KINDS[socket.kind].envelope
    return Encoding("reliable" if socket.reliable else envelope, socket.method, numbered or envelope == "mi")


def janus_event(janus_id: str, janus_url: str, body: str) -> Params:
    """Parameters of E_JANUS_EVENT, as the C module orders them. ``body`` is compact JSON text."""
    return (("janus_id", janus_id), ("janus_url", janus_url), (BODY, body))


def janus_status(janus_id: str, janus_url: str, status: str, reason: str, detail: str) -> Params:
    """Parameters of E_JANUS_STATUS. ``detail`` is compact JSON text."""
    return (
        ("janus_id", janus_id),
        ("janus_url", janus_url),
        ("status", status),
        ("reason", reason),
        ("detail", detail),
    )


def body_of(params: Params) -> str:
    """The body as text; "" where there is none."""
    return next((str(value) for name, value in params if name == BODY), "")


def status_fits(janus_id: str, janus_url: str, status: str, reason: str, detail: str) -> bool:
    """Whether a status event fits every kind of socket as it is; its caller splits one that does not."""
    params = janus_status(janus_id, janus_url, status, reason, detail)
    longest = Event(E_JANUS_STATUS, params, "x" * 64, _MAX_RELIABLE_ID, janus_id, "x" * 64)
    return len(_envelope(longest, Encoding("mi", numbered=True), params)) <= MAX_DATAGRAM


@dataclass(slots=True, eq=False)
class Event:
    """One event on its way. ``params`` are name and value in order; a first name of "" makes them a list.

    ``id`` is its JSON-RPC id towards an MI and ``number``, from 1, makes that of event_stream's reliable mode: an id
    never serves two events. ``origin`` is the janus_id of the gateway it comes from, None for what MI raised; ``seq``
    is its ``janus_seq``, which goes where the encoding is numbered. ``members``: what its body is the text of, where
    that is known.
    """

    name: str
    params: Params
    id: str
    number: int
    origin: str | None = None
    seq: str | None = None
    members: codec.JsonObject | None = None
    _encoded: dict[Encoding, bytes] = field(default_factory=dict)
    # params as streams have them, numbered or not: the same for each method
    _streamed: tuple[bool, bytes] | None = None
    _url: str | None = None

    @property
    def least(self) -> int:
        """Bytes that its values have at least where they are not shortened."""
        return sum(len(value) for _, value in self.params if isinstance(value, str))

    @property
    def reliable_id(self) -> int:
        """The id in event_stream's reliable mode."""
        return (self.number - 1) % _MAX_RELIABLE_ID + 1

    def encoded(self, encoding: Encoding) -> bytes:
        """The bytes, made once. Raises TooLarge."""
        payload = self._encoded.get(encoding)
        if payload is None:
            payload = self._encoded[encoding] = _encode(self, encoding)
        return payload

    @property
    def janus_url(self) -> str:
        """That of its origin, "" if it has none."""
        if self._url is not None:
            return self._url
        for name, value in self.params:
            if name == "janus_url":
                return str(value)
        return ""

    def seal(self) -> None:
        """Every socket has its bytes: let go of what they were made from, which may be megabytes where they are few."""
        self._url = self.janus_url
        self.params = ()
        self._encoded = {}
        self.members = self._streamed = None


def _encode(event: Event, encoding: Encoding) -> bytes:
    if encoding.form in ("stream", "reliable"):
        streamed = event._streamed
        if streamed is None or streamed[0] is not encoding.numbered:
            streamed = encoding.numbered, _tail(_parameters(event, encoding, event.params))
            event._streamed = streamed
        return _head(event, encoding) + streamed[1]
    body: str | int | None = None
    for name, value in event.params:
        if name == BODY:
            body = value
            break
    # A body that cannot fit is not encoded first to find that out: Janus may send megabytes.
    if not isinstance(body, str) or len(body) <= MAX_DATAGRAM:
        payload = _envelope(event, encoding, event.params)
        if len(payload) <= MAX_DATAGRAM:
            return payload
        if not isinstance(body, str):
            raise TooLarge(f"{event.name} has {len(payload)} bytes, more than the {MAX_DATAGRAM} of a datagram")
    size = len(body.encode("utf-8", "replace"))
    # Of what MI raised nothing is known; nor is it looked at where it has more than a request may.
    members = codec.parse_object(body, codec.REQUEST_ELEMENTS) if event.members is None else event.members
    scalars = _scalars(members)
    for budget in (MAX_DATAGRAM, _SAFE_BODY):
        short = _shortened(scalars, size, budget)
        payload = _envelope(event, encoding, [(name, short if name == BODY else value) for name, value in event.params])
        if len(payload) <= MAX_DATAGRAM:
            return payload
    raise TooLarge(
        f"{event.name} has {len(payload)} bytes without its body, more than the {MAX_DATAGRAM} of a datagram"
    )


def _parameters(event: Event, encoding: Encoding, params: Params) -> Params:
    if event.seq is None or not encoding.numbered:
        return params
    return [*params, ("janus_seq", event.seq)]


def _envelope(event: Event, encoding: Encoding, params: Params) -> bytes:
    params = _parameters(event, encoding, params)
    if encoding.form == "mi":
        # Every value a string: OpenSIPS clips wide integers here, and anything else is read from freed memory.
        texts = [(name, str(value)) for name, value in params]
        raised = f"{_render(event.name)},{_render(_object(texts))}"
        text = f'{{"jsonrpc":"2.0","id":{_render(event.id)},"method":"raise_event","params":[{raised}]}}'
        return text.encode("utf-8", "replace")
    return _head(event, encoding) + _tail(params)


# A lone surrogate has no UTF-8, and its JSON escape would be a parse error in OpenSIPS: everywhere it becomes a "?".


def _head(event: Event, encoding: Encoding) -> bytes:
    head = _head_of(encoding.method or event.name)
    return b'{"id":%d,%b' % (event.reliable_id, head[1:]) if encoding.form == "reliable" else head


@lru_cache(512)
def _head_of(method: str) -> bytes:
    return f'{{"jsonrpc":"2.0","method":{_render(method)}'.encode("utf-8", "replace")


def _tail(params: Params) -> bytes:
    if not params:
        return b"}"
    if not params[0][0]:
        return b',"params":[%b]}' % b",".join([codec.render_bytes(value, "replace") for _, value in params])
    return b',"params":%b}' % codec.render_bytes(dict(params), "replace")


def _object(params: Params) -> str:
    return "{" + ",".join([f"{_render(name)}:{_render(value)}" for name, value in params]) + "}"


def _scalars(members: codec.JsonObject) -> list[str]:
    """The scalar members of at most 1,024 bytes each, as text and in order, until a datagram is full."""
    found: list[str] = []
    left = MAX_DATAGRAM
    for name, item in members.items():
        if isinstance(item, (dict, list)) or name == "truncated":
            continue
        if len(name) > MAX_MEMBER or (isinstance(item, str) and len(item) > MAX_MEMBER):
            continue
        member = f"{_render(name)}:{_render(item)}"
        length = len(member.encode("utf-8", "replace"))
        if length > MAX_MEMBER:
            continue
        left -= length + 1
        if left < 0:
            break
        found.append(member)
    return found


def _shortened(scalars: Iterable[str], size: int, budget: int) -> str:
    """A body of these members, as many as ``budget`` bytes hold, and of its ``size`` as ``truncated``."""
    kept: list[str] = []
    last = f'"truncated":{size}'
    left = budget - len(last) - len("{}")
    for member in scalars:
        left -= len(member.encode("utf-8", "replace")) + 1
        if left < 0:
            break
        kept.append(member)
    return "{" + ",".join([*kept, last]) + "}"
