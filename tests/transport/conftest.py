"""The real MariaDB for the tests of the table."""

from tests.support.mariadb import mariadb

__all__ = ["mariadb"]
