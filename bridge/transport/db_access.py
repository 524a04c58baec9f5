"""What a MySQL server wants to see of a client, by the files that hold it.

Owns their list, which the configuration fills and ``db_mysql`` reads at every visit. SQLite has none of it.
"""

from pathlib import Path
from typing import NamedTuple

from bridge.transport.tls import Tls


class MysqlAccess(NamedTuple):
    """``password_file``: its password replaces the URL's, and errors call it by ``password_setting``.
    ``public_key_file``: the server's.
    """

    password_file: Path | None = None
    tls: Tls = Tls()
    public_key_file: Path | None = None
    password_setting: str = "janus_db_password_file"
