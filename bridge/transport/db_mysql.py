"""The table in MySQL or MariaDB, through PyMySQL, which only this file and db_mysql_guard know.

Owns connecting, TLS and what the server's errors mean. Must not know the statements.
Authority: PyMySQL's documentation; "Server Error Message Reference" of MySQL and MariaDB; libmysqlclient for what
"localhost" means.
"""

import os
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pymysql
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pymysql.constants import CR, ER, FIELD_TYPE
from pymysql.converters import conversions

from bridge.errors import ConnectFailed, TableRefused, TableUnavailable
from bridge.files import read_file
from bridge.protocol.db_url import MysqlUrl
from bridge.protocol.redaction import Redaction
from bridge.transport.db_mysql_guard import GuardedConnection, Trust
from bridge.transport.db_sql import Execute, Mode, NoSuchTable, one_line
from bridge.transport.db_visit import Ending, bounded, ended_by
from bridge.transport.tls import client_context

# Where libmysqlclient, and so OpenSIPS, looks for the local server: Debian's place, Red Hat's. Not /tmp/mysql.sock:
# there any user of the machine can listen.
_LOCAL_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock")
# The server's own errors that pass by themselves.
_TEMPORARY = {
    ER.CON_COUNT_ERROR,
    ER.SERVER_SHUTDOWN,
    ER.USER_LIMIT_REACHED,
    ER.LOCK_WAIT_TIMEOUT,
    ER.LOCK_DEADLOCK,
    1203,  # ER_TOO_MANY_USER_CONNECTIONS, which PyMySQL does not name; nor
    1927,  # ER_CONNECTION_KILLED (MariaDB)
}
# The client's own that do not.
_REFUSALS = {CR.CR_AUTH_PLUGIN_ERR, CR.CR_AUTH_PLUGIN_CANNOT_LOAD, CR.CR_SSL_CONNECTION_ERROR}
# Values as they come, but for integers: PyMySQL's other conversions raise what they like for what a server makes up.
_CONVERSIONS = {kind: convert for kind, convert in conversions.items() if isinstance(kind, type)} | dict.fromkeys(
    (FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG), int
)
# What PyMySQL lets out when the peer's bytes are no MySQL at all, or an authentication needs a missing package.
_NO_MYSQL = (
    OSError,
    struct.error,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    NameError,
    AssertionError,
    RuntimeError,
)
_PASSWORD_FILE_MAX = 4096
_PUBLIC_KEY_FILE_MAX = 65_536


class Tls(NamedTuple):
    """PEM files. Any one of them makes TLS with a verified server compulsory; without ``ca`` the system's CAs count."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class MysqlEngine:
    """Connects anew for every session: the files with password, key and certificates are read each time."""

    script = "janus-create.mysql.sql"

    def __init__(
        self,
        url: MysqlUrl,
        patience: float,
        password_file: Path | None = None,
        tls: Tls | None = None,
        public_key_file: Path | None = None,
    ) -> None:
        """``patience``: seconds to wait for each single answer of the server."""
        self._url = url
        self._patience = patience
        self._password_file = password_file
        self._public_key_file = public_key_file
        self._tls = tls if tls is not None and any(tls) else None
        self._redaction = Redaction()

    @contextmanager
    def session(self, mode: Mode, ending: Ending) -> Iterator[Execute]:
        try:
            with self._session(mode, ending) as execute:
                yield execute
        except TableUnavailable as exc:  # a server may say what it was told
            raise type(exc)(self._redaction(str(exc))) from None

    @contextmanager
    def _session(self, mode: Mode, ending: Ending) -> Iterator[Execute]:
        with ExitStack() as stack:
            connection = self._connect(ending, stack)

            def execute(sql: str, *values: Any) -> list[tuple[Any, ...]]:
                ending.check()
                connection.expect()
                with _translated_errors(self._redaction), connection.cursor() as cursor:
                    cursor.execute(sql.replace("?", "%s"), values or None)
                    return bounded(cursor.fetchall())

            yield execute
            if mode != "read":
                with _translated_errors(self._redaction):
                    connection.commit()

    def _connect(self, ending: Ending, stack: ExitStack) -> GuardedConnection:
        url = self._url
        path = url.unix_socket or (_local_socket() if url.host in ("", "localhost") and url.port is None else None)
        context = self._tls_context() if path is None else None
        trust = Trust(context is not None, self._server_public_key(), unix=path is not None)
        host, port = url.host or "localhost", url.port or 3306
        password = self._password()
        self._redaction.know("password", [password])
        with _translated_errors(self._redaction):
            connection = GuardedConnection(
                trust,
                host=host,
                port=port,
                unix_socket=path,
                user=url.user or None,
                password=password.encode(),  # as text it would have to be Latin-1
                database=url.database,
                charset="utf8mb4",
                use_unicode=False,  # what is not UTF-8 in one row must not make the others unreadable
                conv=_CONVERSIONS,
                read_timeout=self._patience,
                write_timeout=self._patience,
                ssl=context,
            )
        dial = _Dial(self._patience, ending, stack)
        sock = dial.unix(path) if path is not None else dial.tcp(host, port)
        stack.callback(connection.close)
        with _translated_errors(self._redaction):
            connection.connect(sock)
        return connection

    def _password(self) -> str:
        if self._password_file is None:
            return self._url.password
        try:
            return read_file(self._password_file, _PASSWORD_FILE_MAX).decode().rstrip("\r\n")
        except OSError as exc:
            raise TableRefused(f"janus_db_password_file {self._password_file}: {exc.strerror}") from None
        except UnicodeDecodeError:
            raise TableRefused(f"janus_db_password_file {self._password_file}: not UTF-8") from None

    def _server_public_key(self) -> bytes | None:
        if self._public_key_file is None:
            return None
        try:
            pem = read_file(self._public_key_file, _PUBLIC_KEY_FILE_MAX)
            if isinstance(serialization.load_pem_public_key(pem), rsa.RSAPublicKey):
                return pem
        except OSError as exc:
            raise TableRefused(f"db_server_public_key {self._public_key_file}: {exc.strerror}") from None
        except (ValueError, UnsupportedAlgorithm):
            pass
        raise TableRefused(f"db_server_public_key {self._public_key_file}: not an RSA public key in PEM form")

    def _tls_context(self) -> ssl.SSLContext | None:
        if self._tls is None:
            return None
        try:
            return client_context(*(None if file is None else str(file) for file in self._tls))
        except ConnectFailed as exc:
            raise TableRefused(f"db_{exc}") from None


def _local_socket() -> str | None:
    """The local server's socket, None if there is none: then "localhost" is reached over TCP."""
    for path in (os.environ.get("MYSQL_UNIX_PORT"), *_LOCAL_SOCKETS):
        if path and Path(path).is_socket():
            return path
    return None


class _Dial:
    """Connects so that another thread can end it, whatever PyMySQL and TLS make of the socket: by its twin."""

    def __init__(self, patience: float, ending: Ending, stack: ExitStack) -> None:
        self._patience = patience
        self._ending = ending
        self._stack = stack

    def unix(self, path: str) -> socket.socket:
        try:
            return self._connected(socket.AF_UNIX, path)
        except OSError as exc:
            raise TableUnavailable(f"cannot connect to {path}: {exc.strerror or exc}") from None

    def tcp(self, host: str, port: int) -> socket.socket:
        try:
            return self._tcp(host, port)
        except (OSError, UnicodeError) as exc:
            raise TableUnavailable(f"Can't connect to MySQL server on {host!r} ({exc})") from None

    def _tcp(self, host: str, port: int) -> socket.socket:
        failure = OSError("the name has no address")
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                sock = self._connected(family, address)
            except OSError as exc:
                failure = exc
            else:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
        raise failure

    def _connected(self, family: int, address: Any) -> socket.socket:
        sock = socket.socket(family)
        try:
            twin = self._stack.enter_context(sock.dup())
            self._stack.enter_context(ended_by(self._ending, partial(_shut, twin)))
            sock.settimeout(self._patience)
            sock.connect(address)
        except BaseException:
            sock.close()
            raise
        return sock


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


@contextmanager
def _translated_errors(hide: Redaction) -> Iterator[None]:
    try:
        yield
    except pymysql.Error as exc:
        raise _translated(exc, hide) from None
    except _NO_MYSQL as exc:
        raise TableUnavailable(f"the server's answer was not understood: {one_line(hide(str(exc)))}") from None


def _translated(exc: pymysql.Error, hide: Redaction) -> TableUnavailable:
    code = exc.args[0] if exc.args and isinstance(exc.args[0], int) else 0
    # A server may say what it was told: hidden before it is cut, or half of it would no longer be known.
    text = one_line(hide(" ".join(map(str, exc.args[1:] if code else exc.args))))
    if code == ER.NO_SUCH_TABLE:
        return NoSuchTable(text)
    # 2000 to 2999 are the client's own: nothing was reached, or it fell silent.
    answered = (1000 <= code < 2000 or code >= 3000) and code not in _TEMPORARY
    return TableRefused(text) if answered or code in _REFUSALS else TableUnavailable(text)
