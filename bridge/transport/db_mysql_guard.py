"""What a MySQL server gets from us before it has proved who it is, and what is taken from it: PyMySQL's connection
with an allow-list and with limits.

Owns which authentication plugins are answered and how, and how much one answer may have. Only verified TLS proves the
server; a unix socket and TLS without a CA do not. Without that proof the password leaves this process in two forms: as
the answer to a challenge (mysql_native_password, client_ed25519, the fast path of caching_sha2_password), or encrypted
for a public key that the operator configured. A key that the server sends is never used. Authority: MySQL Internals,
"Authentication Method"; PyMySQL's connections.py and _auth.py, whose every way to the password leads through the two
methods overridden here.
"""

from typing import Any, NamedTuple, NoReturn

import pymysql
from pymysql._auth import SCRAMBLE_LENGTH, scramble_caching_sha2, sha2_rsa_encrypt
from pymysql.constants import CR

from bridge.protocol.humanize import plural
from bridge.transport.db_visit import MOST_BYTES, MOST_ROWS, too_much

_MOST_READS = 2 * (MOST_ROWS + 1000)  # a packet is two reads, and a row a packet; some are not rows
# The first answer is sent before any plugin is asked for by name: these put a scrambled password into it, and
# PyMySQL's sha256_password the password itself.
_FIRST = ("mysql_native_password", "caching_sha2_password")
# PyMySQL's own answer to these is made of a challenge, and nothing follows it.
_CHALLENGED = ("mysql_native_password", "client_ed25519")
_CLEAR = ("mysql_clear_password", "dialog")
_WHOLE = ("caching_sha2_password", "sha256_password")
_FAST_PATH_TAKEN, _FULL_EXCHANGE = b"\3", b"\4"


class Trust(NamedTuple):
    """``verified``: TLS with a verified server is compulsory on this connection. ``public_key``: the server's, PEM.
    ``unix``: over a unix socket, where there is no TLS to verify.
    """

    verified: bool
    public_key: bytes | None = None
    unix: bool = False

    @property
    def ways(self) -> str:
        """Which settings give the server the password in another form."""
        return "db_tls_ca, with host and port instead of the unix socket" if self.unix else "db_tls_ca"


class GuardedConnection(pymysql.Connection):
    """Raises pymysql.OperationalError with CR_AUTH_PLUGIN_ERR and the setting that helps for what is not given."""

    _auth_plugin_name: str
    salt: bytes

    def __init__(self, trust: Trust, **arguments: Any) -> None:
        super().__init__(**arguments, defer_connect=True)
        self.trust = trust
        self.expect()

    def expect(self) -> None:
        """A new answer may come: it has the whole of its limits before it."""
        self._bytes_left = MOST_BYTES
        self._reads_left = _MOST_READS

    def _read_bytes(self, num_bytes: int) -> bytes:
        """Raises TableRefused before more than the limits is read: bytes announced, packets, columns, result sets."""
        self._bytes_left -= num_bytes
        self._reads_left -= 1
        if self._bytes_left < 0 or self._reads_left < 0:
            self._force_close()  # type: ignore[attr-defined]  # not in the stubs; nothing more is read, to no end of a query
            raise too_much(f"{MOST_ROWS:,} rows" if self._reads_left < 0 else f"{MOST_BYTES >> 20} MiB")
        read: bytes = super()._read_bytes(num_bytes)  # type: ignore[misc]
        return read

    def _get_server_information(self) -> None:
        super()._get_server_information()  # type: ignore[misc]  # not in the stubs
        # As MySQL's own clients do with a plugin that they lack: the server asks for another one if it has to.
        if not self.trust.verified and self._auth_plugin_name not in ("", *_FIRST):
            self._auth_plugin_name = _FIRST[0]

    def _get_auth_plugin_handler(self, plugin_name: bytes) -> "_Sha2 | _Refusal | None":
        """Who answers for a plugin, None for PyMySQL itself."""
        plugin = plugin_name.decode("ascii", "replace")
        if self.trust.verified or plugin in _CHALLENGED:
            return None
        return _Sha2(self, plugin) if plugin in _WHOLE else _Refusal(self.trust, plugin)


class _Refusal:
    def __init__(self, trust: Trust, plugin: str) -> None:
        how = "which gives it in clear text" if plugin in _CLEAR else "which is not known here"
        self._text = (
            f"the server asks for the password by {plugin[:64]!r}, {how}: without verified TLS ({trust.ways}) only "
            "caching_sha2_password, mysql_native_password and ed25519 are answered"
        )

    def authenticate(self, packet: Any) -> Any:
        raise pymysql.OperationalError(CR.CR_AUTH_PLUGIN_ERR, self._text)


class _Sha2:
    """Both plugins: caching_sha2_password tries its fast path first, sha256_password has none."""

    def __init__(self, connection: GuardedConnection, plugin: str) -> None:
        self._connection = connection
        self._plugin = plugin
        self._caching = plugin == "caching_sha2_password"

    def authenticate(self, packet: Any) -> Any:
        """Answer a switch to this plugin, or what the server says after its fast path; returns its next packet."""
        connection = self._connection
        if packet.is_auth_switch_request():
            connection.salt = packet.read_all().removesuffix(b"\0")
            if self._caching:
                password = connection.password
                connection.write_packet(scramble_caching_sha2(password, connection.salt) if password else b"")
            else:
                self._give()
        elif self._caching and packet.get_all_data()[1:] == _FULL_EXCHANGE:
            self._give()
        elif not (self._caching and packet.get_all_data()[1:] == _FAST_PATH_TAKEN):
            self._refuse("the server goes on in an unknown way, or sends a key of its own, which is never used")
        return connection._read_packet()  # type: ignore[no-untyped-call]  # as every handler does: PyMySQL's manual

    def _give(self) -> None:
        connection, key = self._connection, self._connection.trust.public_key
        if connection.password and key is None:
            self._refuse(
                "the server asks for the whole password: set db_server_public_key to the file of its public key, or "
                + connection.trust.ways
            )
        if len(connection.salt) != SCRAMBLE_LENGTH:
            self._refuse(f"the server's challenge has {plural(len(connection.salt), 'byte')}, not {SCRAMBLE_LENGTH}")
        if not connection.password or key is None:
            connection.write_packet(b"")
            return
        try:
            encrypted = sha2_rsa_encrypt(connection.password, connection.salt, key)
        except ValueError:
            self._refuse("the password is too long for the key of db_server_public_key")
        connection.write_packet(encrypted)

    def _refuse(self, text: str) -> NoReturn:
        raise pymysql.OperationalError(CR.CR_AUTH_PLUGIN_ERR, f"{self._plugin}: {text}")
