"""Reply sockets: where a subscriber's events go, ``udp:127.0.0.1:8888`` and its kin.

Owns the grammar of these texts and when two of them are the same socket. Must not know how anything is sent.
Authority: OpenSIPS event_datagram (``udp:``, ``unix:``), event_stream (``tcp:``), mi_datagram (behind ``mi:``);
contract 7.3. IPv6 where OpenSIPS has it: mi_datagram alone.

Two sockets are the same when they match exactly. OpenSIPS compares host names as text too, but by the length of the new
one only, so that ``udp:127.0.0.1:5000`` is taken for a present ``udp:127.0.0.10:5000``: a fault, not followed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from bridge.protocol.host_port import bracketed, read_host_port


class SocketKind(NamedTuple):
    """``form`` is what stands behind the kind; ``envelope``, how an event is put into bytes for it (event_payload).
    A METHOD in the form, and reliable sockets, are for streams alone. ``over``: what carries it there. ``ipv6``: an
    IPv6 host may stand there.
    """

    form: Literal["HOST:PORT", "HOST:PORT[/METHOD]", "PATH"]
    envelope: Literal["datagram", "stream", "mi"]
    over: Literal["udp", "unix", "tcp"]
    ipv6: bool = False


# A row a kind. Who sends to it stands in transport/event_senders.py.
KINDS: Final[Mapping[str, SocketKind]] = {
    "udp": SocketKind("HOST:PORT", "datagram", "udp"),
    "unix": SocketKind("PATH", "datagram", "unix"),
    "tcp": SocketKind("HOST:PORT[/METHOD]", "stream", "tcp"),
    "mi:udp": SocketKind("HOST:PORT", "mi", "udp", ipv6=True),
    "mi:unix": SocketKind("PATH", "mi", "unix"),
}
_FORMS = [f"{name}:{kind.form}" for name, kind in KINDS.items()]
FORMS: Final = f"{', '.join(_FORMS[:-1])} or {_FORMS[-1]}"
_MAX_PATH = 107  # bytes; sun_path holds 108 with the NUL that ends it
_MAX_METHOD = 64  # bytes; OpenSIPS's MAX_EVENT_NAME, which a method stands in for


@dataclass(frozen=True, slots=True)
class ReplySocket:
    """One destination of events. ``kind`` is a key of KINDS; ``host`` is without brackets; ``path`` is absolute;
    ``method`` is empty or replaces the event's name; ``reliable`` (tcp only, not part of the text) is event_stream's
    ``reliable_mode``.
    """

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""
    method: str = ""
    reliable: bool = False

    @classmethod
    def parse(cls, text: str, *, reliable: bool = False) -> "ReplySocket":
        """Read a socket. Raises ValueError with one line that names the part at fault."""
        name = next((name for name in KINDS if text.startswith(f"{name}:")), None)
        if name is None:
            raise ValueError(f"{text!r} is not {FORMS}")
        kind, rest = KINDS[name], text[len(name) + 1 :]
        if reliable and kind.envelope != "stream":
            raise ValueError(f"{text!r}: only a tcp: socket can be reliable")
        if kind.form == "PATH":
            return cls(name, path=_path(text, rest))
        method = ""
        if kind.form == "HOST:PORT[/METHOD]":
            rest, _, method = rest.partition("/")
            if not method.isprintable() or len(method.encode()) > _MAX_METHOD:
                raise ValueError(f"{text!r}: the method is unprintable or longer than {_MAX_METHOD} bytes")
        if ":" in rest.rpartition(":")[0] and not kind.ipv6:
            raise ValueError(f"{text!r}: an IPv6 host works with mi:udp: only, as in OpenSIPS")
        try:
            host, port = read_host_port(rest)  # OpenSIPS lets a port beyond 65535 wrap around: never what is meant
        except ValueError as exc:
            raise ValueError(f"{text!r}: {exc}") from None
        return cls(name, host, port, method=method, reliable=reliable)

    @property
    def is_mi(self) -> bool:
        """Whether events are raised inside an OpenSIPS rather than sent to a listener."""
        return KINDS[self.kind].envelope == "mi"

    @property
    def answers(self) -> bool:
        """Whether who gets an event says so: then it can be known where to go on."""
        return self.reliable or self.is_mi

    def __str__(self) -> str:
        """The text as OpenSIPS lists it; ``parse`` of it gives the same socket (but for ``reliable``)."""
        if self.path:
            return f"{self.kind}:{self.path}"
        return f"{self.kind}:{bracketed(self.host)}:{self.port}" + (f"/{self.method}" if self.method else "")


def _path(text: str, path: str) -> str:
    if not path.startswith("/") or not path.isprintable():
        raise ValueError(f"{text!r}: the path is not absolute, or unprintable")
    if len(path.encode()) > _MAX_PATH:
        raise ValueError(f"{text!r}: the path is longer than the {_MAX_PATH} bytes of a unix socket's")
    return path
