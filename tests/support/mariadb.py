"""A private, real MariaDB (Debian package ``mariadb-server-core``) on loopback: started, frozen, killed and restarted
by a test.

Owns the process, its data directory, port and unix socket. Synchronous on purpose: session-wide pytest fixtures start
it outside any event loop; making the data directory takes about a second, a start a tenth. Start it from the main
thread (see process.py). Authority: MariaDB's manual, "mariadbd Options" and "mariadb-install-db".

    with MariaDb() as mariadb:
        url = mariadb.create_database("opensips")          # mysql://opensips:PASSWORD@127.0.0.1:PORT/opensips
        mariadb.execute("INSERT ...", database="opensips")
"""

import getpass
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import pymysql

from tests.support.deadlines import HANG_SECONDS
from tests.support.ports import free_port, is_free
from tests.support.process import ChildProcess, ServerProcess

if TYPE_CHECKING:
    from tests.support.certs import Certificates  # whose library the demo lacks

_START_SECONDS = HANG_SECONDS
_POLL_SECONDS = 0.01
_ATTEMPTS = 5  # to start on ports that someone else took in the meantime

# As small as it goes, and careless with the disk: nothing here outlives the tests.
_SMALL = [
    "--innodb-buffer-pool-size=8M",
    "--innodb-log-file-size=4M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-fast-shutdown=2",
    "--key-buffer-size=8K",
    "--performance-schema=OFF",
    "--skip-log-bin",
]


class MariaDbFailed(Exception):
    """MariaDB is not installed, or did not start; the text has the end of its log."""


class MariaDb(ServerProcess):
    """One server. ``with MariaDb() as mariadb:`` or start() and stop(); port and data stay over a restart."""

    host = "127.0.0.1"
    _environ: Mapping[str, str] | None = None  # this process's own

    def __init__(
        self, certificates: "Certificates | None" = None, *, charset: str = "utf8mb4", durable: bool = False
    ) -> None:
        """With certificates it offers TLS. ``charset`` is the one of databases that do not name theirs.
        ``durable``: what is committed outlives a kill.
        """
        super().__init__()
        self._certificates = certificates
        self._charset = charset
        self._durable = durable
        self.port = 0

    def __repr__(self) -> str:
        return f"<MariaDb {self.host}:{self.port} {'running' if self.running else 'stopped'}>"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def socket(self) -> Path:
        """Where it listens besides its port."""
        return self.folder / "s.sock"

    @property
    def listening(self) -> bool:
        """To be asked before PyMySQL tries: that forgets to close a unix socket on which nobody listens."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def start(self) -> Self:
        """Return when it lets root in. Raises MariaDbFailed when it is missing, dies or stays silent."""
        fixed = bool(self.port)
        for _ in range(1 if fixed else _ATTEMPTS):
            self.port = self.port or free_port()
            try:
                if self._folder is None:
                    self._folder = self._install()
                self._process = self._spawn(self._folder)
                self._await_ready(self._process)
                return self
            except _PortTakenError:
                if not fixed:
                    self.port = 0
            except BaseException:
                self.kill()
                raise
        raise MariaDbFailed(f"port {self.port} is taken" if fixed else f"no free port in {_ATTEMPTS} attempts")

    def close(self) -> None:
        """As any other, without waiting for what its data would be worth."""
        self.kill()
        super().close()

    def execute(self, *statements: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run statements as root; the rows of the last one."""
        assert self.running, repr(self)
        with (
            pymysql.connect(
                unix_socket=str(self.socket), user="root", database=database, charset="utf8mb4", autocommit=True
            ) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def create_user(self, name: str, password: str, *, database: str = "*", require: str = "NONE") -> None:
        """With all rights on a database. ``require``: SSL, X509 or NONE."""
        user = f"'{name}'@'%'"
        rights = "*.*" if database == "*" else f"`{database}`.*"
        self.execute(
            f"CREATE OR REPLACE USER {user} IDENTIFIED BY '{password}' REQUIRE {require}",
            f"GRANT ALL ON {rights} TO {user}",
        )

    def create_database(self, name: str | None = None) -> str:
        """A new, empty database with a user of the same name and a random password; its URL over TCP."""
        name = name or f"db_{secrets.token_hex(4)}"
        password = secrets.token_hex(8)
        self.execute(f"CREATE DATABASE `{name}`")
        self.create_user(name, password, database=name)
        return self.url(name, user=name, password=password)

    def url(self, database: str, *, user: str = "root", password: str = "", unix: bool = False) -> str:
        """``mysql://...`` in OpenSIPS's grammar, over TCP or over the unix socket."""
        place = f"unix({self.socket})" if unix else f"{self.host}:{self.port}"
        secret = f":{quote(password, safe='')}" if password else ""
        return f"mysql://{quote(user, safe='')}{secret}@{place}/{quote(database, safe='')}"

    def _install(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
        command = [_program("mariadb-install-db"), "--no-defaults", *_folders(folder), *_user(), *_SMALL]
        command += ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            raise MariaDbFailed(f"mariadb-install-db ended with code {done.returncode}:\n{done.stderr}{done.stdout}")
        return folder

    def _spawn(self, folder: Path) -> ChildProcess:
        if not is_free(self.port):
            raise _PortTakenError
        return ChildProcess(self._command(folder), folder / "mariadb.log", cwd=folder, environ=self._environ)

    def _command(self, folder: Path) -> list[str]:
        command = [_program("mariadbd"), "--no-defaults", *_folders(folder), *_user(), *_SMALL]
        command += [f"--bind-address={self.host}", f"--port={self.port}", f"--socket={folder / 's.sock'}"]
        command += ["--innodb-flush-log-at-trx-commit=1"] if self._durable else []
        command += [f"--pid-file={folder / 'pid'}", "--skip-name-resolve", f"--character-set-server={self._charset}"]
        if self._certificates is not None:
            made = self._certificates
            command += [f"--ssl-ca={made.ca}", f"--ssl-cert={made.cert}", f"--ssl-key={made.key}"]
        return command

    def _await_ready(self, process: ChildProcess) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if process.exit_code is not None:
                if "Address already in use" in process.output:
                    raise _PortTakenError
                raise MariaDbFailed(f"mariadbd ended with code {process.exit_code}:\n{process.output[-2000:]}")
            if self.listening:
                self.execute("SELECT 1")
                return
            time.sleep(_POLL_SECONDS)
        raise MariaDbFailed(f"mariadbd was not ready within {_START_SECONDS:g} s:\n{process.output[-2000:]}")


class _PortTakenError(Exception):
    pass


def _program(name: str) -> str:
    """Debian keeps servers in a folder that is not in every user's PATH."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        raise MariaDbFailed(f"{name} is not installed (Debian package mariadb-server-core)")
    return found


def _folders(folder: Path) -> list[str]:
    """Its own folder for temporary tables too: at its start a server removes those of others that it finds in /tmp."""
    return [f"--datadir={folder / 'data'}", f"--tmpdir={folder}"]


def _user() -> list[str]:
    """mariadbd refuses to run as root unless it is told to."""
    return [f"--user={getpass.getuser()}"]
