"""Behind ``rabbitmq:``, where in a RabbitMQ events go: ``[user[:password]@]host[:port]/[params?]routing_key``.

Owns this grammar, in both directions. Must not know how anything is published. No error shows a password.
Authority: OpenSIPS modules/event_rabbitmq (rmq_parse, rmq_match): each part percent-decoded, user and password end at
the first ``@``, ``params`` are ``exchange=NAME``, ``tls_domain=NAME`` and ``persistent``, separated by ``;``. OpenSIPS
has no ``vhost=NAME``: it is ``/`` there. ``persistent`` says what is so in any case.

As in OpenSIPS the password takes no part in whether two sockets are the same.
"""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from bridge.protocol.host_port import read_host
from bridge.protocol.numbers import read_port
from bridge.protocol.percent import decoded
from bridge.protocol.redaction import HIDDEN

FORM: Final = "[USER[:PASSWORD]@]HOST[:PORT]/[PARAMS?]KEY"
PARAMETERS: Final = "exchange=NAME, vhost=NAME, tls_domain=NAME and persistent"
PIKA_NEEDED: Final = "rabbitmq: needs pika, which is not installed: pip install 'opensips-janus-bridge[rabbitmq]'"
PORT, TLS_PORT = 5672, 5671
GUEST: Final = "guest"  # user and password where none is given
_LONGEST = 255  # bytes of a name in AMQP 0-9-1
_PLACE = re.compile(r"(?:\[[0-9A-Fa-f:.]*\]|[^:/]*)(?::\d*)?(?:/.*)?", re.DOTALL)
_SAFE = "!$&'()*+,=~.-_"  # in any part


@dataclass(frozen=True, slots=True)
class AmqpTarget:
    """Parts as decoded. ``tls_domain``: the section of the configuration that says how to trust; empty: no TLS."""

    user: str = GUEST
    password: str = field(default=GUEST, repr=False, compare=False)
    vhost: str = "/"
    exchange: str = ""
    routing_key: str = ""
    tls_domain: str = ""

    def text(self, place: str, *, password: bool = False) -> str:
        """What stands behind ``rabbitmq:``, with ``place`` as HOST:PORT; ``read_target`` of it gives the same."""
        parameters = [
            f"{name}={quote(value, _SAFE + '/:@')}"
            for name, value, default in (
                ("exchange", self.exchange, ""),
                ("vhost", self.vhost, "/"),
                ("tls_domain", self.tls_domain, ""),
            )
            if value != default
        ]
        secret = f":{quote(self.password, _SAFE)}" if password else ""
        key = quote(self.routing_key, _SAFE + "/:@#;")
        start = ";".join(parameters)
        return f"{quote(self.user, _SAFE)}{secret}@{place}/{start}{'?' if start else ''}{key}"


def read_target(text: str) -> tuple[AmqpTarget, str, int]:
    """What stands behind ``rabbitmq:``, and its host and port. Raises ValueError with one line that names the part at
    fault.
    """
    authority, slash, tail = text.partition("/")
    login, at, place = authority.rpartition("@") if authority.count("@") == 1 else ("", "", authority)
    if "@" in place or ("@" in tail and not at):
        raise ValueError("an @ is misplaced: in a user, password or key it is written %40, and a / in them %2F")
    user, colon, password = login.partition(":")
    if (at and not user) or (colon and not password):
        raise ValueError("the user or the password is empty")
    host, port = _place(place)
    if not slash:
        raise ValueError("there is no / before the routing key")
    start, mark, key = tail.partition("?")
    if not mark:
        start, key = "", tail
    given = _parameters(start) if mark else {}
    if not (key or given.get("exchange")):
        raise ValueError("there is no routing key, by which the default exchange finds the queue")
    target = AmqpTarget(
        user=_name("the user", user) if at else GUEST,
        password=_name("the password", password, printable=False) if colon else GUEST,
        vhost=given.get("vhost", "/"),
        exchange=given.get("exchange", ""),
        routing_key=_name("the routing key", key),
        tls_domain=given.get("tls_domain", ""),
    )
    return target, host, port or (TLS_PORT if target.tls_domain else PORT)


def hide_password(text: str) -> str:
    """What stands behind ``rabbitmq:``, as it may be shown, whatever it is: without what may be a password."""
    login, at, rest = text.rpartition("@")
    shown = re.split("[:/]", login if at else text, maxsplit=1)[0]
    if at:
        return text if shown == login else f"{shown}:{HIDDEN}@{rest}"
    return text if _PLACE.fullmatch(text) else f"{shown}:{HIDDEN}"


def _parameters(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for parameter in text.split(";"):
        name, equals, value = parameter.partition("=")
        if name in found:
            raise ValueError(f"{name} is given twice")
        if name == "persistent" and not equals:
            found[name] = ""
        elif name in ("exchange", "vhost", "tls_domain") and value:
            found[name] = _name(name, value)
        else:
            raise ValueError(f"{parameter!r} is no parameter: there are {PARAMETERS}, separated by ;")
    return found


def _place(text: str) -> tuple[str, int]:
    """Host, and port; 0 where there is none."""
    host, colon, digits = text.rpartition(":")
    if not colon or text.endswith("]"):
        return read_host(text), 0
    port = read_port(digits)
    if port is None:  # not shown: where the @ is forgotten, or a / is not escaped, a password stands in its place
        raise ValueError("the port is not a number from 1 to 65535 (or a / in the password is not written %2F)")
    if ":" in host and not host.startswith("["):
        raise ValueError("IPv6 is written in brackets, [::1]:PORT")
    return read_host(host), port


def _name(part: str, text: str, *, printable: bool = True) -> str:
    name = decoded(part, text, printable=printable)
    if len(name.encode()) > _LONGEST:
        raise ValueError(f"{part} is longer than the {_LONGEST} bytes of a name in AMQP")
    return name
