"""JSON-RPC 2.0 in OpenSIPS's dialect: bytes -> call, result or error -> bytes.

Owns the envelope and its error codes. Must not know which methods exist, or how bytes travel.
Authority: OpenSIPS mi/item.c, mi/mi.c and its cJSON as observed on 3.2 .. 4.1; JSON-RPC 2.0 where OpenSIPS is silent.

As lenient as cJSON: bytes from 0x01 to 0x20 in front of the value are skipped, everything behind the first value is
ignored, the envelope's members are matched whatever their case, the first of several wins, unknown ones are ignored.
Stricter than cJSON: ``[01]`` and text that is not UTF-8 are parse errors.
More lenient than cJSON: NaN, Infinity, U+0000 and lone surrogates are let through to the parameters, because the
command they belong to has a better answer than "Parse error" (contract 6.3).

An id is echoed as it came: strings verbatim, integers verbatim within 64 bits and saturated beyond, reals truncated.
(OpenSIPS saturates at 32 bits.) A wrong type of id, or a batch, is an invalid request and gets ``"id":null``; in
OpenSIPS the first has no printable answer and the second kills the process.
"""

import json
import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from bridge.errors import BridgeError, MalformedMessage
from bridge.protocol import codec
from bridge.protocol.caller import Caller
from bridge.protocol.offence import not_json, not_utf8

# Takes the bytes of an answer, None where there is none to give (a notification).
TakeAnswer: TypeAlias = Callable[[bytes | None], None]
# Says that whoever asked has gone. From then on no answer is given. Too late is as good as never.
Abandon: TypeAlias = Callable[[], None]
# dispatch(body, caller, answer): the bytes of one request, and who asks. ``answer`` is called once: before dispatch
# returns, which is None then, or later, from wherever the answer comes. Raises MalformedMessage for bytes that are no
# JSON, for which each transport has its own words; ``answer`` is not called then.
Dispatch: TypeAlias = Callable[[bytes, Caller, TakeAnswer], Abandon | None]
# Told of each request that no method sees: who asked, and why not.
Refused: TypeAlias = Callable[[str, str], None]
Id: TypeAlias = str | int | None
Parameters: TypeAlias = list[Any] | dict[str, Any] | None  # None where there are none: absent, ``[]`` or ``{}``

INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = 500  # mi_datagram's, for an answer that does not fit
SERVER_ERROR = -32000
METHOD_AMBIGUOUS = -32001
MISDIRECTED = 421  # between bridges of a cluster: what a command names is not here (HTTP's 421: not for this server)

# Deeper than any command may be nested (codec.MAX_DEPTH), so that the command refuses it and can name the caller's
# id; shallow enough for Python's parser, which recurses.
MAX_DEPTH: Final = 400

_MEMBERS: Final = frozenset({"jsonrpc", "id", "method", "params"})
_SKIPPED: Final = bytes(range(0x01, 0x21))
_PARAMS: Final = b'"params":'
_RESULT: Final = b'{"jsonrpc":"2.0","result":'
_CLOSING: Final = 0x7D  # }
_HEADS: Final = 512  # that are known at once; then all are forgotten, which costs each its reading once more
_LONGEST_HEAD: Final = 1024


class RpcError(BridgeError):
    """An error of the MI itself: ``code`` and ``message`` as OpenSIPS has them, ``data`` its text or None."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        self.code = code
        self.message = message
        super().__init__(data)


class InvalidRequest(RpcError):
    """-32600: JSON, but no request. ``id`` is what the answer carries; it is answered even without one."""

    def __init__(self, data: str, id: Id = None) -> None:
        super().__init__(INVALID_REQUEST, "Invalid Request", data)
        self.id = id


class Envelope:
    """What there is of a call beside its parameters. ``id`` is None for a notification, and for a call whose id is
    null: that one is answered. Calls that are alike have one in common.
    """

    __slots__ = ("end", "id", "method", "notification")

    def __init__(self, method: str, id: Id, notification: bool) -> None:
        self.method = method
        self.id = id
        self.notification = notification
        self.end: bytes = b',"id":%b}' % codec.render_bytes(id)  # of its answer


def parse(body: bytes) -> tuple[Envelope, Parameters, bool]:
    """The request in ``body``: its envelope, its parameters, and whether these are clean, as ``codec.read`` means it.
    Raises MalformedMessage (no JSON) or InvalidRequest (no request).
    """
    if len(body) > codec.REQUEST_ELEMENTS:
        codec.refuse_many(body, codec.REQUEST_ELEMENTS)
    head, mark, rest = body.partition(_PARAMS)
    if mark and rest and rest[-1] == _CLOSING:
        # Callers say the same in front of their parameters, call by call. What was read with an empty array there
        # means the same with any array or object that is JSON by itself.
        known = _known.get(head)
        if known is None or known is _MET:
            known = _learn(head, known)
        if known.method and not (known.notification and rest.find(b'"id"') >= 0):  # which may be behind them
            try:
                params, levels = codec.parse_plain(rest[:-1])
            except ValueError:
                return _parse_whole(body)
            if levels < codec.MAX_DEPTH and (type(params) is list or type(params) is dict):
                clean = codec.BACKSLASH not in rest or rest.find(b"\\u") < 0
                return known, params or None, clean
    return _parse_whole(body)


def _learn(head: bytes, known: Envelope | None) -> Envelope:
    """The envelope that begins so and has nothing behind its parameters; _UNKNOWN where there is none, or one that
    wants a closer look. It is read when it comes again: who numbers his calls begins none of them like another.
    """
    if len(head) > _LONGEST_HEAD:
        return _UNKNOWN
    if known is None:
        if len(_known) >= _HEADS:
            _known.clear()
        _known[head] = _MET
        return _UNKNOWN
    envelope = _UNKNOWN
    try:
        read, params, clean = _parse_whole(b"%b%b[]}" % (head, _PARAMS))
        if params is None and clean:
            envelope = read
    except (MalformedMessage, InvalidRequest):
        pass
    _known[head] = envelope
    return envelope


def _parse_whole(body: bytes) -> tuple[Envelope, Parameters, bool]:
    try:
        members, levels = codec.parse_plain(body)
    except ValueError:
        members, levels = None, 0
    count = body.count
    plain = (
        type(members) is dict
        and _MEMBERS.issuperset(members)
        and (codec.BACKSLASH not in body or body.find(b"\\u") < 0)  # by which a member's name may be escaped
        and levels <= MAX_DEPTH
        and (
            (count(b'"id"') <= 1 and count(b'"method"') <= 1 and count(b'"params"') <= 1 and count(b'"jsonrpc"') <= 1)
            or not _repeats(body, members)
        )
    )
    if not plain:
        members = _envelope(_first_value(body))
    notification = "id" not in members
    id = members.get("id")
    if type(id) is not str:
        id = _id(id)
    method = members.get("method")
    if members.get("jsonrpc") != "2.0":
        raise InvalidRequest("member 'jsonrpc' is not \"2.0\"", id)
    if not isinstance(method, str):
        raise InvalidRequest("member 'method' is missing, or not a string", id)
    params = members.get("params", _ABSENT)
    if not isinstance(params, (list, dict)):
        raise InvalidRequest("member 'params' is neither an array nor an object", id)
    return Envelope(method, id, notification), params or None, plain and levels <= codec.MAX_DEPTH


def render_request(method: str, params: list[Any] | dict[str, Any] | None, id: Id) -> bytes:
    """A call for the other side, without ``params`` where there are none."""
    render = codec.render_bytes
    members = b"" if not params else b',"params":%b' % render(params)
    return b'{"jsonrpc":"2.0","id":%b,"method":%b%b}' % (render(id), render(method), members)


def render_result(result: Any, envelope: Envelope) -> bytes:
    """The answer to a call. ``result`` is any JSON value; TypeError if it is not."""
    return _RESULT + codec.render_bytes(result) + envelope.end


def render_error(error: BridgeError, id: Id) -> bytes:
    """The answer to a call that failed; ``data`` only where the error has a reason in words."""
    render = codec.render_bytes
    data = b"" if error.data is None else b',"data":%b' % render(error.data)
    inside = b'"code":%d,"message":%b%b' % (error.code, render(error.message), data)
    return b'{"jsonrpc":"2.0","error":{%b},"id":%b}' % (inside, render(id))


def too_large(answer: bytes, limit: int, way_out: str) -> bytes:
    """What goes instead of an answer that its transport cannot carry. ``limit`` in bytes."""
    id = answer.rpartition(b',"id":')[2][:-1]  # the last member; within a string the quotes would be escaped
    data = f"the answer has {len(answer)} bytes, more than the {limit} that fit here: {way_out}"
    error = b'"code":%d,"message":"Internal error","data":%b' % (INTERNAL_ERROR, codec.render_bytes(data))
    return b'{"jsonrpc":"2.0","error":{%b},"id":%b}' % (error, id)


def _repeats(body: bytes, members: dict[str, Any]) -> bool:
    """Whether a member of the envelope may be there twice, and then the first wins: a name is in the text more often
    than in what was parsed, where the last has won.
    """
    rendered = codec.render_bytes(members)
    return any(body.count(name) != rendered.count(name) for name in (b'"id"', b'"method"', b'"params"', b'"jsonrpc"'))


class _Repeated(dict[str, Any]):
    """An object with repeated keys: as a dict the last of each wins; ``pairs`` are all of them."""

    pairs: list[tuple[str, Any]]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    repeated = _Repeated(members)
    repeated.pairs = pairs
    return repeated


_UNKNOWN: Final = Envelope("", None, True)
_MET: Final = Envelope("", None, True)  # once
_known: Final[dict[bytes, Envelope]] = {}  # by what stands in front of their parameters
_decode = json.JSONDecoder(object_pairs_hook=_object).raw_decode
_ABSENT: Final[list[Any]] = []


def _first_value(body: bytes) -> Any:
    body = body.lstrip(_SKIPPED)
    cut = -1  # where it is not UTF-8: fine if the value ends before it
    try:
        text = body.decode()
    except UnicodeDecodeError as exc:
        cut = exc.start
        text = body[:cut].decode()
    try:
        value, end = _decode(text)
    except RecursionError:
        raise MalformedMessage(f"nested deeper than {MAX_DEPTH}") from None
    except json.JSONDecodeError as exc:
        at = len(text[: exc.pos].encode())
        if cut >= 0 and (at == cut or exc.msg.startswith("Unterminated string")):
            raise MalformedMessage(not_utf8(body, cut)) from None
        raise MalformedMessage(not_json(body, at, exc.msg)) from None
    except ValueError:  # Python's own limit for int(text): 4,300 digits
        raise MalformedMessage("an integer has thousands of digits") from None
    if text.count("[", 0, end) + text.count("{", 0, end) > MAX_DEPTH and codec.depth(value) > MAX_DEPTH:
        raise MalformedMessage(f"nested deeper than {MAX_DEPTH}")
    return value


def _envelope(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest("batches are not served" if isinstance(value, list) else "a request is a JSON object")
    if isinstance(value, _Repeated):
        pairs = value.pairs
    elif value.keys() <= _MEMBERS:
        return value
    else:
        pairs = list(value.items())
    members: dict[str, Any] = {}
    for key, item in pairs:
        members.setdefault(key.lower(), item)
    return members


def _id(value: Any) -> Id:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest("member 'id' is neither a string nor a number")
    return max(codec.INT64_MIN, min(codec.INT64_MAX, value))
