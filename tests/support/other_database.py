"""A kind of database that the program does not have: what is hidden and reached must not depend on which it is."""

from dataclasses import dataclass, replace
from typing import Any, Final

from bridge.config import Config


@dataclass(frozen=True)
class OtherUrl:
    """What any URL of a database says of itself."""

    host: str = ""
    password: str = ""
    unix_socket: str | None = None

    @property
    def each(self) -> tuple["OtherUrl", ...]:
        return (self,)

    @property
    def place(self) -> str:
        return self.host


def with_database(config: Config, url: OtherUrl) -> Config:
    other: Final[Any] = url
    return replace(config, janus=replace(config.janus, janus_db_url=other))
