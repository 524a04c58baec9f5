"""What of an opensips.cfg concerns the janus module.

Owns the few sentences of OpenSIPS's grammar that this needs: ``modparam``, ``loadmodule``, two globals, calls of the
module's function, uses of its event. What cannot be read is named.
Authority: OpenSIPS cfg.y, cfg_pp.c and modparam.c; the janus module's manual.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from bridge.protocol.event_payload import E_JANUS_EVENT as EVENT
from bridge.protocol.opensips_lex import Place, Script, Token, tokens
from bridge.protocol.opensips_signs import placeholder, sign

FUNCTIONS = ("janus_send_request", "janus_send_requeest")  # the second is how the manual spells its heading
GLOBALS = ("db_default_url", "db_version_table")
_MODULES = ("janus", "mi_datagram", "event_stream")  # whose parameters are of use

_INCLUDE = re.compile(r"[ \t\r\n]*(?:include|import)_file\s*([\"'])(.{2,}?)\1")
_EVENT = re.compile(rf"(?<!\w){EVENT}(?!\w)")
_KNOWN = ("modparam", *FUNCTIONS)
_STATEMENT_AFTER = (";", "{", "}", ")", ":", "else", "")


@dataclass(frozen=True, slots=True)
class ModuleParameter:
    """A modparam or a global. ``value`` is None where it cannot be read; then ``fault`` says why."""

    place: Place
    name: str
    value: str | int | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function's call. ``arguments``: a token each, None for one left out; None altogether if they cannot be read.

    ``statement``: whether it stands alone, and not inside an expression. ``waits``: False inside of ``async()``.
    """

    place: Place
    arguments: tuple[Token | None, ...] | None
    statement: bool = True
    waits: bool = True


@dataclass(slots=True)
class JanusUse:
    """All that was found. ``parameters`` has the janus module's by name, of which the last one counts, as in OpenSIPS;
    ``others`` those of mi_datagram and event_stream as "module.name".

    ``loads``: where each module is loaded, by its name.
    ``remainders``: what concerns the module and could not be read. ``foreign``: signs that
    this is not what OpenSIPS reads, and where each is first.
    """

    parameters: dict[str, ModuleParameter] = field(default_factory=dict)
    others: dict[str, ModuleParameter] = field(default_factory=dict)
    globals: dict[str, ModuleParameter] = field(default_factory=dict)
    loads: dict[str, list[Place]] = field(default_factory=dict)
    calls: list[FunctionCall] = field(default_factory=list)
    event_routes: list[Place] = field(default_factory=list)
    subscriptions: list[FunctionCall] = field(default_factory=list)
    remainders: list[tuple[Place, str]] = field(default_factory=list)
    foreign: dict[str, Place] = field(default_factory=dict)


def included(line: str) -> str | None:
    """The path that a line includes; None if it is an ordinary one. OpenSIPS looks at lines alone: inside of a comment
    too, and what stands behind the path is dropped.
    """
    match = _INCLUDE.match(line)
    return None if match is None else match[2]


def read(script: Script) -> JanusUse:
    """Look through a script. Total: any text has an answer, in work proportional to its length."""
    return _Reading(script).use


class _Reading:
    def __init__(self, script: Script) -> None:
        self.use = JanusUse()
        self._script = script
        self._tokens = self._seen(tokens(script.text))
        self._ahead: deque[Token] = deque()
        self._last = ["", "", ""]  # the words before this one
        self._depth = 0  # of braces
        while (token := self._next()) is not None:
            if token.text not in _KNOWN:
                self._look(token, called=token.kind == "word" and self._is_next("("))
            self._step(token)
            self._last = [*self._last[1:], token.text]

    def _seen(self, found: Iterator[Token]) -> Iterator[Token]:
        """Those that reach OpenSIPS's grammar."""
        for token in found:
            if token.kind in ("foreign", "hash-bang", "unclosed"):
                self._look(token)
            else:
                yield token

    def _look(self, token: Token, *, called: bool = False) -> None:
        words = sign(token, self._script.text, top=self._depth == 0, called=called)
        if words is not None:
            self.use.foreign.setdefault(words, self._script.place(token))

    def _next(self) -> Token | None:
        return self._ahead.popleft() if self._ahead else next(self._tokens, None)

    def _peek(self) -> Token | None:
        if not self._ahead:
            token = next(self._tokens, None)
            if token is None:
                return None
            self._ahead.append(token)
        return self._ahead[0]

    def _take(self, text: str) -> bool:
        """Whether this mark follows; it is then behind us."""
        token = self._peek()
        return token is not None and token.kind == "mark" and token.text == text and self._next() is not None

    def _take_string(self) -> Token | None:
        token = self._peek()
        return self._next() if token is not None and token.kind == "string" else None

    def _step(self, token: Token) -> None:
        match token.kind, token.text:
            case "mark", "{":
                self._depth += 1
            case "mark", "}":
                self._depth = max(self._depth - 1, 0)
            case "word", "modparam":
                self._modparam(token)
            case "word", "loadmodule":
                string = self._take_string()
                module = (_text(string) or "").rpartition("/")[2].removesuffix(".so")
                self.use.loads.setdefault(module, []).append(self._script.place(token))
            case "word", name if name in GLOBALS and self._depth == 0:
                self._global(token)
            case "word", name if name in FUNCTIONS:
                self.use.calls.append(self._call(token))
            case "word", "event_route":
                self._event_route(token)
            case "word", "subscribe_event":
                self._subscription(token)
            case "word", ("include_file" | "import_file") as name:
                self._leave(token, f"{name} is only followed where it begins its line and names a file in quotes")
            case (("word" | "string"), _) if _uses_event(_text(token) or token.text):
                self._leave(token, f"{EVENT} is used here, in a way that has no counterpart")

    def _is_next(self, text: str) -> bool:
        token = self._peek()
        return token is not None and token.kind == "mark" and token.text == text

    def _leave(self, token: Token, words: str) -> None:
        self.use.remainders.append((self._script.place(token), words))

    def _modparam(self, word: Token) -> None:
        """``( STRING , STRING , STRING... )`` or a number with or without a sign; the module is a regular expression,
        for the whole name, case ignored.
        """
        place = self._script.place(word)
        module = self._take_string() if self._take("(") else None
        name = self._take_string() if module is not None and self._take(",") else None
        value = self._value() if name is not None and self._take(",") else None
        whole = value is not None and self._take(")")
        named = (name and _text(name)) or ""
        try:
            of = [one for one in _MODULES if module is not None and _matches(_text(module), one)]
        except ValueError:
            of = []
            if "janus" in (_text(module) or "").lower():
                self.use.remainders.append((place, "a modparam whose module is no regular expression"))
        if module is None and "janus" in self._rest_of_line(word).lower():
            self.use.remainders.append((place, "a modparam that cannot be read"))
        for one in of:
            if value is not None and whole:
                parameter = _parameter(place, named, value)
            else:
                parameter = ModuleParameter(place, named, None, f"{named or 'a modparam of janus'} cannot be read")
            if one == "janus":
                self.use.parameters[named] = parameter
            else:
                self.use.others[f"{one}.{named}"] = parameter

    def _value(self) -> list[bytes | None] | int | None:
        """Of a modparam: strings, to be joined, or a number; None for anything else."""
        strings: list[bytes | None] = []
        while (string := self._take_string()) is not None:
            strings.append(string.value if isinstance(string.value, bytes) else None)
        if strings:
            return strings
        sign = -1 if self._take("-") else 1
        if sign == 1:
            self._take("+")
        token = self._peek()
        if token is None or not isinstance(token.value, int):
            return None
        self._next()
        return sign * token.value

    def _rest_of_line(self, token: Token) -> str:
        end = self._script.text.find("\n", token.at)
        return self._script.text[token.at : end if end >= 0 else None]

    def _global(self, word: Token) -> None:
        if not self._take("="):
            return
        place, string = self._script.place(word), self._take_string()
        value: list[bytes | None] = []
        if string is not None:
            value.append(string.value if isinstance(string.value, bytes) else None)
            self.use.globals[word.text] = _parameter(place, word.text, value)
        else:
            self.use.globals[word.text] = ModuleParameter(
                place, word.text, None, f"{word.text} is not a string in quotes"
            )

    def _call(self, word: Token) -> FunctionCall:
        place, before = self._script.place(word), self._last
        arguments = self._arguments()
        statement = before[-1] in _STATEMENT_AFTER and self._is_next(";")
        return FunctionCall(place, arguments, statement, waits=before[-2:] != ["async", "("])

    def _arguments(self) -> tuple[Token | None, ...] | None:
        """``( [STRING | VARIABLE | NUMBER] , ... )``"""
        if not self._take("("):
            return None
        arguments: list[Token | None] = []
        while True:
            token = self._peek()
            if token is not None and token.kind in ("string", "variable", "number"):
                arguments.append(self._next())
            else:
                arguments.append(None)
            if self._take(")"):
                return tuple(arguments)
            if not self._take(","):
                return None

    def _event_route(self, word: Token) -> None:
        if not self._take("["):
            return
        name = self._next()
        if name is not None and (_text(name) or name.text) == EVENT:
            self.use.event_routes.append(self._script.place(word))
        elif name is not None:
            self._ahead.appendleft(name)

    def _subscription(self, word: Token) -> None:
        call = self._call(word)
        event = call.arguments[0] if call.arguments else None
        if event is None or event.kind == "variable" or "$" in (_text(event) or "$"):
            self._leave(word, f"a subscribe_event whose event cannot be read: is it {EVENT}?")
        elif _text(event) == EVENT:
            self.use.subscriptions.append(call)


def _matches(pattern: str | None, module: str) -> bool:
    """As POSIX's extended regular expressions do. Raises ValueError for what is none."""
    if pattern is None or len(pattern) > 1000:
        raise ValueError
    posix = {"alpha": "A-Za-z", "digit": "0-9", "alnum": "0-9A-Za-z", "lower": "a-z", "upper": "A-Z"}
    pattern = re.sub(r"\[:(\w+):\]", lambda match: posix.get(match[1], match[0]), pattern)
    try:
        return re.search(f"^({pattern})$", module, re.IGNORECASE) is not None
    except (re.error, OverflowError, RecursionError):
        raise ValueError from None


def _parameter(place: Place, name: str, value: list[bytes | None] | int) -> ModuleParameter:
    if isinstance(value, int):
        return ModuleParameter(place, name, value)
    if None in value:
        return ModuleParameter(place, name, None, f"{name} has a line break behind a backslash, which OpenSIPS spoils")
    try:
        text = b"".join(part for part in value if part is not None).decode()
    except UnicodeDecodeError:
        return ModuleParameter(place, name, None, f"{name} is not UTF-8 text")
    found = placeholder(text)
    if found is not None:
        return ModuleParameter(place, name, None, f"{name} holds {found}, as if a preprocessor were to fill it in")
    return ModuleParameter(place, name, text)


def _uses_event(text: str) -> bool:
    """Not every text that mentions it: logs do."""
    return text == EVENT or ("subscribe" in text and _EVENT.search(text) is not None)


def _text(token: Token | None) -> str | None:
    """Of a string; None for what is none, or has no value."""
    if token is None or not isinstance(token.value, bytes):
        return None
    return token.value.decode("latin-1")
