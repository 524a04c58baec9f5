"""The table in MySQL or MariaDB, through PyMySQL, which only this file, db_mysql_link and db_mysql_guard know.

Owns what a connection is made of: place, password, keys and TLS. Must not know the statements.
Authority: PyMySQL's documentation; libmysqlclient for what "localhost" means.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions

from bridge.errors import ConnectFailed, TableRefused, TableUnavailable
from bridge.files import read_file
from bridge.protocol.db_url import MysqlUrl
from bridge.protocol.redaction import Redaction
from bridge.transport.db_access import MysqlAccess
from bridge.transport.db_hosts import NotServing
from bridge.transport.db_mysql_guard import GuardedConnection, Trust
from bridge.transport.db_mysql_link import Dial, MysqlLink, translated_errors
from bridge.transport.db_sql import Execute, Mode
from bridge.transport.db_visit import Ending, ended_by
from bridge.transport.tls import client_context

# Where libmysqlclient, and so OpenSIPS, looks for the local server: Debian's place, Red Hat's. Not /tmp/mysql.sock:
# there any user of the machine can listen.
_LOCAL_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock")
# Values as they come, but for integers: PyMySQL's other conversions raise what they like for what a server makes up.
_CONVERSIONS = {kind: convert for kind, convert in conversions.items() if isinstance(kind, type)} | dict.fromkeys(
    (FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG), int
)
_PASSWORD_FILE_MAX = 4096
_PUBLIC_KEY_FILE_MAX = 65_536


class MysqlEngine:
    """Connects anew for every session: the files with password, key and certificates are read each time."""

    def __init__(self, url: MysqlUrl, patience: float, access: MysqlAccess) -> None:
        """``patience``: seconds to wait for each single answer of the server."""
        self._url = url
        self._patience = patience
        self._access = access
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
        with closing(self.open(ending, kept=False)) as link, ended_by(ending, link.shut):

            def execute(sql: str, *values: Any) -> list[tuple[Any, ...]]:
                ending.check()
                return link.rows(sql, *values)

            yield execute
            if mode != "read":
                link.commit()

    def open(self, ending: Ending, *, kept: bool = True) -> MysqlLink:
        """Connect. ``kept``: each statement is a transaction of its own, unless one is begun, at REPEATABLE READ, and
        whoever keeps it ends what takes too long. Raises NotServing, TableRefused.
        """
        url = self._url
        path = url.unix_socket or (_local_socket() if url.host in ("", "localhost") and url.port is None else None)
        context = self._tls_context() if path is None else None
        trust = Trust(context is not None, self._server_public_key(), unix=path is not None)
        host, port = url.host or "localhost", url.port or 3306
        password = self._password()
        self._redaction.know("password", [password])
        with translated_errors(self._redaction):
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
                autocommit=kept,
            )
        dial = Dial(self._patience, ending)
        sock = dial.unix(path) if path is not None else dial.tcp(host, port)
        link = MysqlLink(connection, sock, self._redaction)
        try:
            with ended_by(ending, link.shut), translated_errors(self._redaction):
                connection.connect(sock)
                if kept:  # with less, what a transaction has locked could be added to; a server may have it as default
                    link.rows("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        except TableRefused:
            link.close()
            raise
        except TableUnavailable as exc:
            link.close()
            raise NotServing(str(exc)) from None
        if kept:
            link.wait()
        return link

    def _password(self) -> str:
        file, setting = self._access.password_file, self._access.password_setting
        if file is None:
            return self._url.password
        try:
            return read_file(file, _PASSWORD_FILE_MAX).decode().rstrip("\r\n")
        except OSError as exc:
            raise TableRefused(f"the password in {setting} {file}: {exc.strerror}") from None
        except UnicodeDecodeError:
            raise TableRefused(f"the password in {setting} {file}: not UTF-8") from None

    def _server_public_key(self) -> bytes | None:
        file = self._access.public_key_file
        if file is None:
            return None
        try:
            pem = read_file(file, _PUBLIC_KEY_FILE_MAX)
            if isinstance(serialization.load_pem_public_key(pem), rsa.RSAPublicKey):
                return pem
        except OSError as exc:
            raise TableRefused(f"db_server_public_key {file}: {exc.strerror}") from None
        except (ValueError, UnsupportedAlgorithm):
            pass
        raise TableRefused(f"db_server_public_key {file}: not an RSA public key in PEM form")

    def _tls_context(self) -> ssl.SSLContext | None:
        tls = self._access.tls
        if not any(tls):
            return None
        try:
            return client_context(*(None if file is None else str(file) for file in tls))
        except ConnectFailed as exc:
            raise TableRefused(f"db_{exc}") from None


def _local_socket() -> str | None:
    """The local server's socket, None if there is none: then "localhost" is reached over TCP."""
    for path in (os.environ.get("MYSQL_UNIX_PORT"), *_LOCAL_SOCKETS):
        if path and Path(path).is_socket():
            return path
    return None
