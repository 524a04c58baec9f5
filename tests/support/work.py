"""How much work a parser does, in steps and not in seconds.

A step is a line of Python that is run, or a byte or character that something written in C looks at or copies: the
methods of a text, the regular expressions of the program, orjson, json's scanner, llhttp. A parser gets its input as
``Bytes`` or ``Text``, which count and stay what they are through slices, sums and decoding; ``counting`` puts itself in
the place of everything else. A match that fails counts as if it had looked at all that is left.
"""

import builtins
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import scanner
from types import FrameType, ModuleType
from typing import Any

import httptools
import orjson
import pytest

_steps = 0


def spend(steps: int) -> None:
    """Count."""
    global _steps
    _steps += steps


def _kept(value: Any) -> Any:
    """A result as something that counts, too."""
    if type(value) is bytes:
        return Bytes(value)
    if type(value) is str:
        return Text(value)
    if type(value) in (list, tuple):
        return type(value)(map(_kept, value))
    return value


# They look at all of a text, or make a copy of it. str.isascii does not, and costs nothing.
_WHOLE = (
    *("strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "replace", "translate", "decode", "encode", "join"),
    *("lower", "upper", "casefold", "title", "partition", "rpartition", "removeprefix", "removesuffix", "expandtabs"),
    *("isprintable", "isdecimal", "isdigit", "isalnum", "isalpha", "isidentifier", "isspace"),
)


def _counting(kind: type[Any]) -> dict[str, Any]:
    def whole(name: str) -> Callable[..., Any]:
        original = getattr(kind, name)

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            spend(len(self))
            result = original(self, *args, **kwargs)
            if name == "join":
                spend(len(result))
            return _kept(result)

        return method

    def find(name: str) -> Callable[..., Any]:
        original = getattr(kind, name)

        def method(self: Any, sub: Any, start: int = 0, end: int | None = None) -> Any:
            found = original(self, sub, start, len(self) if end is None else end)
            stop = len(self) if end is None else min(end, len(self))
            spend(max(0, (stop if name == "count" or found < 0 else found) - start))
            return found

        return method

    def getitem(self: Any, key: Any) -> Any:
        result = kind.__getitem__(self, key)
        spend(len(result) if isinstance(key, slice) else 1)
        return _kept(result) if isinstance(key, slice) else result

    def add(self: Any, other: Any) -> Any:
        spend(len(self) + len(other))
        return _kept(kind.__add__(self, other))

    def radd(self: Any, other: Any) -> Any:
        spend(len(self) + len(other))
        return _kept(kind(other) + kind(self))

    def contains(self: Any, sub: Any) -> bool:
        return bool(self.find(sub) >= 0)

    methods: dict[str, Any] = {name: whole(name) for name in _WHOLE if hasattr(kind, name)}
    methods |= {name: find(name) for name in ("find", "index", "count")}
    return methods | {"__getitem__": getitem, "__add__": add, "__radd__": radd, "__contains__": contains}


Bytes: Callable[[bytes], bytes] = type("Bytes", (bytes,), _counting(bytes))
Text: Callable[[str], str] = type("Text", (str,), _counting(str))


class _Making(type):
    """Stands for ``bytes`` where a copy is made with it."""

    def __call__(cls, *args: Any) -> bytes:
        made = bytes(*args)
        spend(len(made))
        return Bytes(made)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, bytes)

    def __getattr__(cls, name: str) -> Any:
        return getattr(bytes, name)


class _Bytes(metaclass=_Making):
    pass


class _Array(bytearray):
    """What a parser keeps; growing and losing its front cost what is added, or nothing (bytearray is made so)."""

    def __iadd__(self, data: Any) -> Any:  # type: ignore[misc]  # of no matter here
        spend(len(data))
        return super().__iadd__(data)

    def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        found = super().find(sub, start)
        spend((len(self) if found < 0 else found) - start)
        return found

    def __getitem__(self, key: Any) -> Any:
        result = super().__getitem__(key)
        spend(len(result) if isinstance(key, slice) else 1)
        return result


class _Pattern:
    """A regular expression that counts what it has passed over."""

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        self._pattern = pattern

    def _one(self, name: str, text: Any, pos: int, end: int | None) -> Any:
        stop = len(text) if end is None else end
        match = getattr(self._pattern, name)(text, pos, stop)
        spend((stop if match is None else match.end()) - pos)
        return match

    def match(self, text: Any, pos: int = 0, end: int | None = None) -> Any:
        return self._one("match", text, pos, end)

    def fullmatch(self, text: Any, pos: int = 0, end: int | None = None) -> Any:
        return self._one("fullmatch", text, pos, end)

    def search(self, text: Any, pos: int = 0, end: int | None = None) -> Any:
        return self._one("search", text, pos, end)

    def finditer(self, text: Any, pos: int = 0, end: int | None = None) -> Iterator[Any]:
        stop = len(text) if end is None else end
        for match in self._pattern.finditer(text, pos, stop):
            spend(match.end() - pos)
            pos = match.end()
            yield match
        spend(stop - pos)

    def __getattr__(self, name: str) -> Any:  # sub, split, findall: all of it
        method = getattr(self._pattern, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            spend(max((len(arg) for arg in args if isinstance(arg, (bytes, str))), default=0))
            return method(*args, **kwargs)

        return call if callable(method) else method


def _loads(data: Any) -> Any:
    spend(len(data))
    return orjson.loads(bytes(data) if isinstance(data, (bytes, bytearray)) else data)


def _json_loads(data: Any) -> Any:
    spend(len(data))
    return json.loads(data)


def _scanner(context: Any) -> Callable[[str, int], Any]:
    scan = getattr(scanner, "c_make_scanner")(context)  # noqa: B009 - typeshed does not know it

    def scan_once(text: str, at: int) -> Any:
        try:
            value, end = scan(str(text), at)
        except BaseException:
            spend(len(text) - at)
            raise
        spend(end - at)
        return value, end

    return scan_once


class _Llhttp(httptools.HttpRequestParser):
    def feed_data(self, data: Any) -> None:
        read = len(data)
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:  # it stopped there
            read = upgrade.args[0]
            raise
        finally:
            spend(read)


def _replacement(value: Any) -> Any:
    if isinstance(value, re.Pattern):
        return _Pattern(value)
    if value is orjson:
        module = ModuleType("orjson")
        module.__dict__.update(vars(orjson), loads=_loads)
        return module
    if value is json:
        module = ModuleType("json")
        module.__dict__.update(vars(json), loads=_json_loads)
        return module
    if value is httptools:
        module = ModuleType("httptools")
        module.__dict__.update(vars(httptools), HttpRequestParser=_Llhttp)
        return module
    return None


@contextmanager
def counting(*modules: ModuleType) -> Iterator[Callable[[], int]]:
    """Count the steps inside of the block: gives a function that says how many there were. ``modules`` are those of
    the program whose regular expressions and libraries are replaced meanwhile.
    """
    global _steps
    for module in modules:
        if not str(module.__file__).endswith(".py"):
            pytest.skip(f"{module.__name__} is compiled: it has no lines to count")
    saved: list[tuple[Any, str, Any]] = []
    for module in modules:
        for name, value in list(vars(module).items()):
            new = _replacement(value)
            if new is not None:
                saved.append((module, name, value))
                setattr(module, name, new)
            elif isinstance(value, json.JSONDecoder):
                decoder: Any = value  # its scan_once is not in typeshed
                saved.append((decoder, "scan_once", decoder.scan_once))
                decoder.scan_once = _scanner(decoder)
        vars(module).update(bytearray=_Array, bytes=_Bytes)
    began = _steps = 0
    tracer = sys.gettrace()

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        global _steps
        if frame.f_globals is globals():
            return None
        _steps += 1
        return trace

    sys.settrace(trace)
    try:
        yield lambda: _steps - began
    finally:
        sys.settrace(tracer)
        for owner, name, value in reversed(saved):
            setattr(owner, name, value)
        for module in modules:
            del vars(module)["bytearray"], vars(module)["bytes"]
        assert (bytearray, bytes) == (builtins.bytearray, builtins.bytes)
