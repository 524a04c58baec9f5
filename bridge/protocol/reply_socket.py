"""Reply sockets: where a subscriber's events go, ``udp:127.0.0.1:8888`` and its kin.

Owns the grammar of these texts and when two of them are the same socket. Must not know how anything is sent.
Authority: OpenSIPS event_datagram (``udp:``, ``unix:``), event_stream (``tcp:``), mi_datagram (behind ``mi:``),
event_rabbitmq (``rabbitmq:``, read by amqp_target); contract 7.3. IPv6 where OpenSIPS reaches it: the last two.

Two sockets are the same when they match exactly. OpenSIPS compares host names as text too, but by the length of the new
one only, so that ``udp:127.0.0.1:5000`` is taken for a present ``udp:127.0.0.10:5000``: a fault, not followed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from bridge.protocol import amqp_target
from bridge.protocol.amqp_target import AmqpTarget, hide_password, read_target
from bridge.protocol.host_port import bracketed, read_host_port
from bridge.protocol.redaction import HIDDEN


class SocketKind(NamedTuple):
    """``form`` is what stands behind the kind; ``envelope``, how an event is put into bytes for it (event_payload).
    ``over``: what carries it there. ``ipv6``: an IPv6 host may stand there; ``broker``: it takes events for others, and
    confirms each.
    """

    form: str
    envelope: Literal["datagram", "stream", "mi"]
    over: Literal["udp", "unix", "tcp"]
    ipv6: bool = False
    broker: bool = False


_STREAM = "HOST:PORT[/METHOD]"  # METHOD, and a reliable mode, are for these alone


# A row a kind. Who sends to it stands in transport/event_senders.py.
KINDS: Final[Mapping[str, SocketKind]] = {
    "udp": SocketKind("HOST:PORT", "datagram", "udp"),
    "unix": SocketKind("PATH", "datagram", "unix"),
    "tcp": SocketKind(_STREAM, "stream", "tcp"),
    "mi:udp": SocketKind("HOST:PORT", "mi", "udp", ipv6=True),
    "mi:unix": SocketKind("PATH", "mi", "unix"),
    "rabbitmq": SocketKind(amqp_target.FORM, "stream", "tcp", ipv6=True, broker=True),
}
_FORMS = [f"{name}:{kind.form}" for name, kind in KINDS.items()]
FORMS: Final = f"{', '.join(_FORMS[:-1])} or {_FORMS[-1]}"
_MAX_PATH = 107  # bytes; sun_path holds 108 with the NUL that ends it
MAX_EVENT_NAME = 64  # bytes, as in OpenSIPS; a method stands in for the name


@dataclass(frozen=True, slots=True)
class ReplySocket:
    """One destination of events. ``kind`` is a key of KINDS; ``host`` is without brackets; ``path`` is absolute;
    ``method`` is empty or replaces the event's name; ``reliable`` (tcp only, not part of the text) is event_stream's
    ``reliable_mode``; ``target`` (rabbitmq only): where in that broker.
    """

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""
    method: str = ""
    reliable: bool = False
    target: AmqpTarget | None = None

    @classmethod
    def parse(cls, text: str, *, reliable: bool = False) -> "ReplySocket":
        """Read a socket. Raises ValueError with one line that names the part at fault."""
        name, said = next((name for name in KINDS if text.startswith(f"{name}:")), None), shown(text)
        if name is None:
            raise ValueError(f"{said!r} is not {FORMS}")
        try:
            return cls._of_kind(name, text[len(name) + 1 :], reliable=reliable)
        except ValueError as exc:
            reason = f"is not {name}:{KINDS[name].form}" if said == HIDDEN else exc
            raise ValueError(f"{said!r}: {reason}") from None

    @classmethod
    def _of_kind(cls, name: str, rest: str, *, reliable: bool) -> "ReplySocket":
        kind, method = KINDS[name], ""
        if reliable and kind.form != _STREAM:
            raise ValueError("only a tcp: socket can be reliable")
        if kind.form == "PATH":
            return cls(name, path=_path(rest))
        if kind.broker:
            target, host, port = read_target(rest)
            return cls(name, host, port, target=target)
        if kind.form == _STREAM:
            rest, _, method = rest.partition("/")
            if not method.isprintable() or len(method.encode()) > MAX_EVENT_NAME:
                raise ValueError(f"the method is unprintable or longer than {MAX_EVENT_NAME} bytes")
        if ":" in rest.rpartition(":")[0] and not kind.ipv6:
            raise ValueError("an IPv6 host works with mi:udp: and rabbitmq: only, as in OpenSIPS")
        host, port = read_host_port(rest)  # OpenSIPS lets a port beyond 65535 wrap around: never what is meant
        return cls(name, host, port, method=method, reliable=reliable)

    @property
    def is_mi(self) -> bool:
        """Whether events are raised inside an OpenSIPS rather than sent to a listener."""
        return KINDS[self.kind].envelope == "mi"

    @property
    def answers(self) -> bool:
        """Whether who gets an event says so: then it can be known where to go on."""
        return self.reliable or self.is_mi or self.target is not None

    @property
    def password(self) -> str | None:
        """The one that it shows to whom it connects."""
        return None if self.target is None else self.target.password

    @property
    def secret_text(self) -> str:
        """With its password: not to be shown."""
        if self.target is None:
            return str(self)
        return f"{self.kind}:{self.target.text(f'{bracketed(self.host)}:{self.port}', password=True)}"

    def __str__(self) -> str:
        """The text as OpenSIPS lists it; ``parse`` of it gives the same (but for ``reliable``, and a password)."""
        if self.path:
            return f"{self.kind}:{self.path}"
        place = f"{bracketed(self.host)}:{self.port}"
        if self.target is not None:
            return f"{self.kind}:{self.target.text(place)}"
        return f"{self.kind}:{place}" + (f"/{self.method}" if self.method else "")


def shown(text: str) -> str:
    """The text of a socket as it may be shown, whatever it is: without a password."""
    kind, _, rest = text.partition(":")
    if KINDS.get(kind, KINDS["udp"]).broker:
        return f"{kind}:{hide_password(rest)}"
    return HIDDEN if "@" in text or "?" in text else text  # in no other socket, but in URLs with secrets


def _path(path: str) -> str:
    if not path.startswith("/") or not path.isprintable():
        raise ValueError("the path is not absolute, or unprintable")
    if len(path.encode("utf-8", "replace")) > _MAX_PATH:
        raise ValueError(f"the path is longer than the {_MAX_PATH} bytes of a unix socket's")
    return path
