"""A private, real RabbitMQ (Debian package ``rabbitmq-server``) on loopback: started, frozen, killed and restarted by a
test.

Owns the process, its epmd, its folder and ports. Synchronous on purpose: pytest fixtures start it outside any event
loop. A start takes some seconds: share one. Start it from the main thread (see process.py). Authority: RabbitMQ's
manual, "Configuration" and "File and Directory Locations"; epmd(1).

    with RabbitMq() as rabbit:
        queue = rabbit.queue()
        socket = f"rabbitmq:bridge:secret@127.0.0.1:{rabbit.port}/{queue}"
        rabbit.take(queue)                                  # what is in it, and now no more
"""

import json
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import pika
import pytest

from tests.support.certs import Certificates
from tests.support.deadlines import HANG_SECONDS
from tests.support.ports import free_port
from tests.support.process import ChildProcess, ServerProcess

_PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # the one in the PATH becomes another user first
_POLL_SECONDS = 0.05
_ADMIN = "guest"
USER, PASSWORD = "bridge", "r4bbit-p4ss/w@rd"
LOCKED_OUT = "nobody"  # a user without rights, with the same password
VHOST = "second"
MAX_MESSAGE = 100_000  # bytes
_PREFETCH = 2000  # messages that a queue hands over before it hears of the first


class RabbitMqFailed(Exception):
    """RabbitMQ is not installed, or did not start; the text has the end of its log."""


class Message(NamedTuple):
    """One message of a queue."""

    id: str | None
    body: Any
    properties: Any
    redelivered: bool


class RabbitMq(ServerProcess):
    """One broker. ``with RabbitMq() as rabbit:`` or start() and stop(); ports and data stay over a restart.
    ``tls_port`` wants a client certificate.
    """

    host = "127.0.0.1"

    def __init__(self, certificates: Certificates | None = None) -> None:
        super().__init__()
        self._certificates = certificates
        self._epmd: ChildProcess | None = None
        self._cookie = secrets.token_hex(10)
        self.port, self.tls_port, self._epmd_port, self._dist_port = (free_port() for _ in range(4))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def place(self) -> str:
        """USER:PASSWORD@HOST:PORT, as a socket has it."""
        return f"{USER}:{quote(PASSWORD, '')}@{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """As amqp:, of an administrator."""
        return f"amqp://{_ADMIN}:{quote(PASSWORD, '')}@{self.host}:{self.port}"

    def start(self) -> Self:
        """Return when it lets its users in. Raises RabbitMqFailed when it is missing, dies or stays silent."""
        self.spawn()
        self.await_ready()
        return self

    def spawn(self) -> None:
        """Start it, from the main thread."""
        if self._folder is None:
            self._folder = self._prepare()
        if self._epmd is None:
            command = ["epmd", "-address", self.host, "-port", str(self._epmd_port)]
            self._epmd = ChildProcess(command, self.folder / "epmd.log")
        self._process = ChildProcess([_program()], self.folder / "log", environ=self._environ())

    def await_ready(self) -> None:
        """From any thread."""
        process = self._started()
        deadline = time.monotonic() + HANG_SECONDS
        while time.monotonic() < deadline:
            if process.exit_code is not None:
                raise RabbitMqFailed(f"it ended with code {process.exit_code}:\n{process.output[-2000:]}")
            if "Server startup complete" in process.output:
                return
            time.sleep(_POLL_SECONDS)
        raise RabbitMqFailed(f"it was not ready within {HANG_SECONDS:g} s:\n{process.output[-2000:]}")

    def restart(self) -> None:
        """As an administrator does. What is declared is on the disk then: a broker that is killed within a second never
        finds the log of a quorum queue again, whose name is written that late, and the queue takes nothing any more.
        """
        self.stop()
        self.start()

    def close(self) -> None:
        """As any other, without waiting for what its data would be worth."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
        super().close()

    @contextmanager
    def channel(self, vhost: str = "/") -> Iterator[Any]:
        """One of an administrator."""
        parameters = pika.ConnectionParameters(
            self.host,
            self.port,
            vhost,
            pika.PlainCredentials(_ADMIN, PASSWORD),
            connection_attempts=1,
            heartbeat=0,
        )
        connection = pika.BlockingConnection(parameters)
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()

    def queue(self, name: str | None = None, vhost: str = "/", arguments: dict[str, Any] | None = None) -> str:
        """A durable queue, new where it has no name; its name."""
        name = name or f"q-{secrets.token_hex(4)}"
        with self.channel(vhost) as channel:
            channel.queue_declare(name, durable=True, arguments=arguments)
        return name

    def remove(self, queue: str) -> None:
        """Delete a queue, with what it has."""
        with self.channel() as channel:
            channel.queue_delete(queue)

    def take(self, queue: str, vhost: str = "/") -> list[Message]:
        """What is in a queue at this moment, in order; it has none of that any more."""
        with self.channel(vhost) as channel:
            count = channel.queue_declare(queue, passive=True).method.message_count
            if not count:
                return []
            channel.basic_qos(prefetch_count=min(count, _PREFETCH))
            found: list[Message] = []
            for method, properties, body in channel.consume(queue):
                found.append(Message(properties.message_id, json.loads(body), properties, method.redelivered))
                if len(found) == count or len(found) % _PREFETCH == 0:
                    channel.basic_ack(method.delivery_tag, multiple=True)
                if len(found) == count:
                    break
            channel.cancel()
            return found

    def alarm(self, *, on: bool) -> None:
        """Short of memory, by its own view: it blocks who publishes. Or well again. All connections know it then: who
        tells them takes one alarm after the other, and answers behind this one.
        """
        watermark = f"[{0.0001 if on else 0.8}]"
        self._call("vm_memory_monitor set_vm_memory_high_watermark", watermark, behind="rabbit_alarm:get_alarms()")

    def close_connections(self) -> None:
        """As an operator does: each is told why."""
        self._call("rabbit_networking close_all_connections", '["maintenance"]')

    def add_vhost(self, name: str) -> None:
        """An empty one, in which its users may do what they may in the others."""
        self._call("rabbit_vhost add", f'[<<"{name}">>, <<"{_ADMIN}">>]')
        for row in _definitions()["permissions"]:
            if row["vhost"] == VHOST:
                rights = ", ".join(f'<<"{text}">>' for text in (row["configure"], row["write"], row["read"]))
                place = f'<<"{row["user"]}">>, <<"{name}">>'
                self._call("rabbit_auth_backend_internal set_permissions", f'[{place}, {rights}, <<"{_ADMIN}">>]')

    def remove_vhost(self, name: str) -> None:
        """Delete one, with its queues; whoever is connected to it is told."""
        self._call("rabbit_vhost delete", f'[<<"{name}">>, <<"{_ADMIN}">>]')

    def _call(self, function: str, arguments: str, behind: str = "ok") -> None:
        module, name = function.split()
        expression = f"ok = apply({module}, {name}, {arguments}), {behind}, ok.\n"
        command = ["erl_call", "-n", "rabbit@localhost", "-c", self._cookie, "-e"]
        done = subprocess.run(
            command, input=expression, capture_output=True, text=True, check=False, env=self._environ()
        )
        if done.returncode != 0 or "{ok, ok}" not in done.stdout:
            raise RabbitMqFailed(f"erl_call {expression}: {done.stderr}{done.stdout}")

    def _prepare(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="rabbitmq-"))
        options = [f'{{tcp_listeners, [{{"{self.host}", {self.port}}}]}}', "{vm_memory_high_watermark, 0.8}"]
        options += [f'{{load_definitions, "{folder}/definitions.json"}}', "{disk_free_limit, 1000000}"]
        options += [f"{{max_message_size, {MAX_MESSAGE}}}"]
        if self._certificates is not None:
            made = self._certificates
            files = f'{{cacertfile, "{made.ca}"}}, {{certfile, "{made.cert}"}}, {{keyfile, "{made.key}"}}'
            options += [f'{{ssl_listeners, [{{"{self.host}", {self.tls_port}}}]}}']
            options += [f"{{ssl_options, [{files}, {{verify, verify_peer}}, {{fail_if_no_peer_cert, true}}]}}"]
        # As Erlang's terms: to read a rabbitmq.conf takes it seconds.
        (folder / "advanced.config").write_text(f"[{{rabbit, [{', '.join(options)}]}}].\n")
        (folder / "definitions.json").write_text(json.dumps(_definitions()))
        (folder / "plugins").write_text("[].\n")
        cookie = folder / ".erlang.cookie"
        cookie.write_text(self._cookie)
        cookie.chmod(0o400)
        return folder

    def _environ(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": folder,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": self.host,
            "RUNNING_UNDER_SYSTEMD": "1",  # the script becomes the server
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CONFIG_FILE": f"{folder}/none.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/config",
            "RABBITMQ_SCHEMA_DIR": f"{folder}/schema",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +A 4 -kernel inet_dist_use_interface {127,0,0,1}",
        }


def _definitions() -> dict[str, Any]:
    def user(name: str, tags: str = "") -> dict[str, str]:
        return {"name": name, "password": PASSWORD, "tags": tags}

    def rights(name: str, vhost: str, everything: str = ".*") -> dict[str, str]:
        return {"user": name, "vhost": vhost, "configure": everything, "write": ".*", "read": everything}

    return {
        "users": [user(_ADMIN, "administrator"), user(USER), user(LOCKED_OUT)],
        "vhosts": [{"name": "/"}, {"name": VHOST}],
        "permissions": [rights(name, vhost) for name in (_ADMIN,) for vhost in ("/", VHOST)]
        + [rights(USER, vhost, "") for vhost in ("/", VHOST)],
    }


def _program() -> str:
    if not Path(_PROGRAM).exists():
        raise RabbitMqFailed("rabbitmq-server is not installed (Debian package of that name)")
    return _PROGRAM


@pytest.fixture(scope="session")
def rabbitmq(certificates: Certificates) -> Iterator[RabbitMq]:
    """The session-wide RabbitMQ, with TLS. Shared: make your own queues, and leave it running, thawed and well."""
    with RabbitMq(certificates) as server:
        yield server
