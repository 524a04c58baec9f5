"""A MariaDB with a `janus` table of one row, until it is ended: runs beside a container, in its network.

Writes the table's URL into a file: ``python -m tests.systemd.mariadb_server JANUS_URL FILE``.
"""

import signal
import sys
from pathlib import Path

from tests.support.mariadb import MariaDb
from tests.support.tables import mariadb_table

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # and its folder is removed
    with MariaDb() as server:
        written = Path(sys.argv[2] + ".new")
        written.write_text(mariadb_table(server, {"gw1": sys.argv[1]}))
        written.rename(sys.argv[2])
        signal.pause()
