"""JSON text <-> values.

Owns depth of nesting, wide integers (contract 5.6), compact rendering. Must not know Janus or JSON-RPC.
Authority: RFC 8259; jansson (Janus) for what no peer can mean, and OpenSIPS's ``$json()`` for the integers.

orjson does the work, a sixth of what a command costs; Python's ``json`` where orjson would be wrong (it makes reals of
integers beyond 64 bits), refuses (lone surrogates), or has to say what is wrong with a text.
"""

import json
import math
from functools import lru_cache
from typing import Any, Final, TypeAlias

import orjson

from bridge.errors import MalformedMessage

_STEP = 1 << 16  # characters that are counted at a time: a thread that counts lets others run in between

JsonObject: TypeAlias = dict[str, Any]

# What one text may cost: the program looks at each element some times, which takes about a microsecond.
MAX_ELEMENTS: Final = 100_000  # of a message of Janus: a list of 5,000 rooms
REQUEST_ELEMENTS: Final = 10_000  # of whatever is read where everybody waits for it
MAX_DEPTH: Final = 100  # no message of Janus comes near; Python's parser would recurse to the stack's end
INT32_MIN: Final = -(2**31)
INT32_MAX: Final = 2**31 - 1
INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

# Members whose content is the user's own, in all plugins.
OWN: Final = frozenset({"contact_params", "headers", "metadata"})
_SHAPE: Final = bytes.maketrans(b"123456789{", b"000000000[")  # all digits, and all brackets, are one
_LONG: Final = b"0" * 19  # from here on an integer may be beyond 64 bits
# Looked for first where an escape would be: a byte is found at once, and few texts have this one.
BACKSLASH: Final = 0x5C
LONGEST_INT: Final = 20  # characters of one within 64 bits


def _refuse(name: str) -> Any:
    raise MalformedMessage(f"{name} is not a JSON number")


def _real(text: str) -> float:
    value = float(text)
    if math.isinf(value):  # 1e999 is JSON, but Infinity is not: what parse returns, render can write
        raise MalformedMessage("a number is too large for a real")
    return value


_decoder = json.JSONDecoder(parse_constant=_refuse, parse_float=_real)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False).encode


class TooManyElements(MalformedMessage):
    """More than reading may cost."""


def parse(text: str, most: int = MAX_ELEMENTS) -> Any:
    """The value of a JSON text.

    Raises MalformedMessage for anything that is no JSON (NaN and Infinity included), for numbers too large for a real,
    as jansson does, and for nesting deeper than 100; TooManyElements for more than ``most``, before anything is made of
    them. Of duplicate keys the last wins, as in Janus.
    """
    return read(text, most)[0]


def parse_object(text: str, most: int = MAX_ELEMENTS) -> JsonObject:
    """The same of an object; an empty one for any other text."""
    try:
        value = parse(text, most)
    except MalformedMessage:
        return {}
    return value if isinstance(value, dict) else {}


def read(text: str, most: int = MAX_ELEMENTS) -> tuple[Any, bool]:
    """As ``parse``, and whether it is clean: its text shows that there is nothing that Janus could not read. No string
    has a NUL or a lone surrogate, no integer is beyond 64 bits.
    """
    if len(text) > most:
        refuse_many(text, most)
    clean, levels = True, MAX_DEPTH + 1
    try:
        data = text.encode()
        value = orjson.loads(data)
        shape = data.translate(_SHAPE)
        wide = shape.find(_LONG) >= 0
        clean = BACKSLASH not in data or data.find(b"\\u") < 0
        levels = 0 if len(data) <= 2 * MAX_DEPTH else shape.count(b"[")
    except ValueError:
        wide = True
    if wide:
        value, clean = _parse_carefully(text), False
    if levels > MAX_DEPTH and depth(value) > MAX_DEPTH:
        raise MalformedMessage(f"nested deeper than {MAX_DEPTH}")
    return value, clean


def read_message(text: str) -> Any:
    """As ``parse``, but for integers beyond 64 bits, which may have become reals: ``widen_inside`` says where that may
    be, and then ``parse`` is to be asked. Each message of Janus passes here.
    """
    size = len(text)
    if size > MAX_ELEMENTS:
        refuse_many(text, MAX_ELEMENTS)
    try:
        value = orjson.loads(text)
    except ValueError:
        value = parse(text)
        refuse_surrogates(value)
        return value
    # What has one bracket a level has two characters for it; what has only braces, five. To look for one is cheaper
    # than to count them.
    if (
        size > 2 * MAX_DEPTH
        and (size > 5 * MAX_DEPTH or "[" in text)
        and text.count("{") + text.count("[") > MAX_DEPTH
        and depth(value) > MAX_DEPTH
    ):
        raise MalformedMessage(f"nested deeper than {MAX_DEPTH}")
    return value


def may_be_wide(text: str) -> bool:
    """Whether integers beyond 64 bits may be there: so many digits in a row."""
    return text.encode().translate(_SHAPE).find(_LONG) >= 0


def refuse_surrogates(value: Any) -> None:
    r"""Raises MalformedMessage where an escape like \ud83d stands alone: such text cannot be sent on to anybody."""
    try:
        render(value).encode()
    except UnicodeEncodeError:
        raise MalformedMessage("it has a lone surrogate") from None


def refuse_many(text: str | bytes, most: int) -> None:
    """Raises TooManyElements for a JSON text with more than ``most`` members and elements of arrays.

    What has fewer bytes has fewer elements. Else separators are counted, and where there are too many of them once more
    without those in strings.
    """
    if len(text) > most and _separators(text) > most and _is_dense(text, most):
        raise TooManyElements(f"has more than {most} elements")


def _separators(text: str | bytes) -> int:
    marks: Any = ",[{" if isinstance(text, str) else (b",", b"[", b"{")
    pieces = range(0, len(text), _STEP)
    return sum(text.count(mark, at, at + _STEP) for at in pieces for mark in marks)


def _is_dense(text: str | bytes, most: int) -> bool:
    data: bytes = text.encode("utf-8", "replace") if isinstance(text, str) else text
    unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    if unescaped.count(b'"') > 4 * most:  # two for each string, of which half may be names
        return True
    outside = unescaped.split(b'"')[::2]
    return _separators(b'"'.join(outside)) > most


def parse_plain(data: bytes) -> tuple[Any, int]:
    """The value of a JSON text without surprises, and how deep it is nested at most: by as many levels as there are
    brackets, or 0 where that is less than MAX_DEPTH anyway. Raises ValueError where it may have surprises.
    """
    value = orjson.loads(data)
    shape = data.translate(_SHAPE)
    if shape.find(_LONG) >= 0:  # by ``in`` it would be taken for a number first: three times as dear
        raise ValueError("may have an integer beyond 64 bits")
    return value, 0 if len(data) <= 2 * MAX_DEPTH else shape.count(b"[")


def _parse_carefully(text: str) -> Any:
    try:
        return _decoder.decode(text)
    except RecursionError:
        raise MalformedMessage(f"nested deeper than {MAX_DEPTH}") from None
    except json.JSONDecodeError as exc:
        raise MalformedMessage(str(exc), exc.pos) from None
    except ValueError:  # Python's own limit for int(text): 4,300 digits
        raise MalformedMessage("an integer has thousands of digits") from None


def render(value: Any) -> str:
    """Compact JSON text, non-ASCII as it is, as OpenSIPS's cJSON prints it.

    Nothing that ``parse`` returns has a NaN or Infinity; one from elsewhere becomes null, or is a ValueError. A lone
    surrogate stays what it is.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a lone surrogate, or an integer beyond 64 bits
        return _encode(value)


def render_bytes(value: Any, errors: str = "backslashreplace") -> bytes:
    """The same in UTF-8. A lone surrogate, which that cannot have, becomes its JSON escape; a "?" by "replace"."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return _encode(value).encode("utf-8", errors)


def parse_own(data: bytes) -> Any:
    """The value of what ``render_bytes`` has made, without a look at what others could send. Raises ValueError."""
    return orjson.loads(data)


def depth(value: Any) -> int:
    """How deep arrays and objects are nested; 0 for a scalar. Walks by level, so it never recurses."""
    level, current = 0, [value]
    while True:
        inner: list[Any] = []
        found = False
        for item in current:
            if isinstance(item, dict):
                found = True
                inner.extend(item.values())
            elif isinstance(item, list):
                found = True
                inner.extend(item)
        if not found:
            return level
        level, current = level + 1, inner


def widen(value: Any) -> Any:
    """Make every integer outside signed 32 bits its decimal string (contract 5.6), in place; returns ``value``.

    Not in what is the user's own: ``metadata``, ``headers``, ``contact_params``.
    """
    kind = type(value)
    if kind is dict or kind is list:
        widen_inside(value)
    elif kind is int and not INT32_MIN <= value <= INT32_MAX:
        return str(value)
    return value


def widen_inside(value: JsonObject | list[Any]) -> bool:
    """The same for an object or an array. Every answer and event passes here: to make a copy, or a call for each value,
    would be most of the work.

    Returns whether all of it was seen, and without a real. If not, ``read_message`` may have made reals of integers.
    """
    sure = True
    todo: list[Any] = [value]  # grows while it is walked
    for container in todo:
        if type(container) is dict:
            for key, item in container.items():
                kind = type(item)
                if kind is str:
                    continue
                if kind is int:
                    if (item > INT32_MAX or item < INT32_MIN) and key not in OWN:
                        container[key] = str(item)
                elif kind is dict or kind is list:
                    if key in OWN:
                        sure = False
                    else:
                        todo.append(item)
                elif kind is float:
                    sure = False
        else:
            for index, item in enumerate(container):
                kind = type(item)
                if kind is dict or kind is list:
                    todo.append(item)
                elif kind is int:
                    if not INT32_MIN <= item <= INT32_MAX:
                        container[index] = str(item)
                elif kind is float:
                    sure = False
    return sure


def integer(value: Any) -> int | None:
    """The integer that a value stands for: itself, or a canonical decimal string within 64 bits; else None."""
    if type(value) is not str:
        return value if type(value) is int else None
    return None if len(value) > LONGEST_INT else _decimal(value)


@lru_cache(4096)  # callers name the same handles again and again
def _decimal(text: str) -> int | None:
    try:
        number = int(text)
    except ValueError:
        return None
    # int() takes blanks, underscores, zeros in front and other scripts' digits.
    return number if str(number) == text and INT64_MIN <= number <= INT64_MAX else None
