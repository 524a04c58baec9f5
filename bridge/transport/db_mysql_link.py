"""A connection to a MySQL or MariaDB server: how it is opened, what is run on it, and what its errors mean.

Owns the socket and its end from another thread. Must not know URLs, settings or statements.
Authority: PyMySQL's documentation; "Server Error Message Reference" of MySQL and MariaDB.
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pymysql
from pymysql.constants import CR, ER

from bridge.errors import TableRefused, TableUnavailable
from bridge.protocol.redaction import Redaction
from bridge.transport.db_hosts import NotServing, ReadOnlyHost
from bridge.transport.db_mysql_guard import GuardedConnection
from bridge.transport.db_sql import Duplicate, NoSuchTable, one_line
from bridge.transport.db_visit import Ending, bounded, ended_by

TRANSACTION_IDLE = 2  # seconds

# The server's own errors that pass by themselves.
_TEMPORARY = {
    ER.CON_COUNT_ERROR,
    ER.SERVER_SHUTDOWN,
    ER.USER_LIMIT_REACHED,
    ER.LOCK_WAIT_TIMEOUT,
    ER.LOCK_DEADLOCK,
    ER.ERROR_DURING_COMMIT,  # of a Galera that loses its quorum in the middle of it: the outcome is not known
    ER.QUERY_INTERRUPTED,
    ER.DISK_FULL,
    ER.GET_ERRNO,  # the storage engine's, as that its disk is full
    1203,  # ER_TOO_MANY_USER_CONNECTIONS, which PyMySQL does not name; nor
    1927,  # ER_CONNECTION_KILLED (MariaDB)
    1969,  # ER_STATEMENT_TIMEOUT (MariaDB)
    ER.CHECKREAD,  # "Record has changed since last read": innodb_snapshot_isolation of MariaDB, by default since 11.6
    3024,  # ER_QUERY_TIMEOUT (MySQL)
    3101,  # ER_TRANSACTION_ROLLBACK_DURING_COMMIT (group replication)
}
# What a host says, before anything was done, where only another one of its cluster can help: it is without quorum
# (Galera: "WSREP has not yet prepared node for application use"), or not the primary (read_only, super_read_only).
_NO_QUORUM = ER.UNKNOWN_COM_ERROR
_READ_ONLY = {
    ER.OPTION_PREVENTS_STATEMENT,
    1792,  # ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
    1836,  # ER_READ_ONLY_MODE
}
# The client's own that do not.
_REFUSALS = {CR.CR_AUTH_PLUGIN_ERR, CR.CR_AUTH_PLUGIN_CANNOT_LOAD, CR.CR_SSL_CONNECTION_ERROR}
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


class MysqlLink:
    """A connection. Another thread can end what happens on it, whatever PyMySQL and TLS make of the socket: by its
    twin. Errors are TableUnavailable and its subclasses.
    """

    def __init__(self, connection: GuardedConnection, sock: socket.socket, hide: Redaction) -> None:
        self._connection = connection
        self._twin = sock.dup()
        self._hide = hide
        self._begun = False

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement with values for its "?"s; the rows of its answer."""
        return self._run(sql, values)[0]

    def change(self, sql: str, *values: Any) -> int:
        """Run one that changes rows; how many it changed."""
        return self._run(sql, values)[1]

    def wait(self) -> None:
        """For any length from now on: to connect was to be quick, so that another host had its turn."""
        self._connection._read_timeout = self._connection._write_timeout = None  # type: ignore[attr-defined]

    def begin(self) -> None:
        """Begin a transaction, which the server undoes where it hears nothing of it for TRANSACTION_IDLE: that of a
        machine which dies in the middle would keep its locks for as long as the server keeps connections, hours.
        """
        self.rows(f"SET SESSION wait_timeout = {TRANSACTION_IDLE}")
        self._begun = True
        with translated_errors(self._hide):
            self._connection.begin()

    def locked(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows as they are now, which nobody changes, and to which nobody adds, before the transaction is over."""
        return self.rows(f"{sql} FOR UPDATE", *values)

    def commit(self) -> None:
        """End what was begun, or was all along. After an error nobody knows whether it holds, but for those of
        NotServing.
        """
        with translated_errors(self._hide):
            self._connection.commit()
        self._over()

    def undo(self) -> None:
        """End it with nothing changed."""
        with translated_errors(self._hide):
            self._connection.rollback()
        self._over()

    def _over(self) -> None:
        if self._begun:
            self._begun = False
            self.rows("SET SESSION wait_timeout = DEFAULT")

    def shut(self) -> None:
        """End what happens on it, from any thread."""
        _shut(self._twin)

    def close(self) -> None:
        """Whatever was not committed is undone."""
        with suppress(pymysql.Error, OSError):
            self._connection.close()
        self._twin.close()

    def _run(self, sql: str, values: tuple[Any, ...]) -> tuple[list[tuple[Any, ...]], int]:
        self._connection.expect()
        with translated_errors(self._hide), self._connection.cursor() as cursor:
            changed = cursor.execute(sql.replace("?", "%s"), values or None)
            return bounded(cursor.fetchall()), changed


class Dial:
    """Connects so that another thread can end it."""

    def __init__(self, patience: float, ending: Ending) -> None:
        self._patience = patience
        self._ending = ending

    def unix(self, path: str) -> socket.socket:
        try:
            return self._connected(socket.AF_UNIX, path)
        except OSError as exc:
            raise NotServing(f"cannot connect to {path}: {exc.strerror or exc}") from None

    def tcp(self, host: str, port: int) -> socket.socket:
        try:
            return self._tcp(host, port)
        except (OSError, UnicodeError) as exc:
            raise NotServing(f"Can't connect to MySQL server on {host!r} ({exc})") from None

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
            with sock.dup() as twin, ended_by(self._ending, partial(_shut, twin)):
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
def translated_errors(hide: Redaction) -> Iterator[None]:
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
    if code == ER.DUP_ENTRY:
        return Duplicate(text)
    if code == _NO_QUORUM:
        return NotServing(text)
    if code in _READ_ONLY:
        return ReadOnlyHost(text)
    # 2000 to 2999 are the client's own: nothing was reached, or it fell silent.
    answered = (1000 <= code < 2000 or code >= 3000) and code not in _TEMPORARY
    return TableRefused(text) if answered or code in _REFUSALS else TableUnavailable(text)
