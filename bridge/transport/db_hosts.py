"""The hosts of one database, tried in turn.

Owns which of them comes next: the one that served last, until it does not. Must not know what is asked of them.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from bridge.errors import TableRefused, TableUnavailable

H_co = TypeVar("H_co", covariant=True)
R = TypeVar("R")


class NotServing(TableUnavailable):
    """Nothing was done there: this host was not reached, or does not serve now. Another one may."""


class ReadOnlyHost(NotServing, TableRefused):
    """It takes no changes; of a single host, a refusal."""


class HostsInTurn(Generic[H_co]):
    """``hosts``: each with the name that errors call it by."""

    def __init__(self, hosts: Sequence[tuple[str, H_co]]) -> None:
        self._hosts = tuple(hosts)
        self._at = 0

    def visit(self, attempt: Callable[[H_co], R], *, again: bool = False) -> R:
        """What ``attempt`` returns at the first host that serves; ``again``: it may be made twice, so that the next one
        is tried after any failure that may pass. Raises TableUnavailable, and TableRefused at once.
        """
        faults: list[TableUnavailable] = []
        first = self._at
        for number in range(first, first + len(self._hosts)):
            at = number % len(self._hosts)
            name, host = self._hosts[at]
            try:
                result = attempt(host)
            except TableUnavailable as exc:
                faults.append(self._named(name, exc))
                if not (isinstance(exc, NotServing) or (again and not isinstance(exc, TableRefused))):
                    raise faults[-1] from None
            else:
                self._at = at  # of a failure nothing is learned: a visit that was given up may end whenever it likes
                return result
        refused = all(isinstance(fault, TableRefused) for fault in faults)
        raise (TableRefused if refused else TableUnavailable)("; ".join(map(str, faults)))

    def next(self) -> None:
        """Begin with the next one from now on: for whoever gives a visit up."""
        self._at = (self._at + 1) % len(self._hosts)

    def _named(self, name: str, exc: TableUnavailable) -> TableUnavailable:
        return type(exc)(f"{name}: {exc}") if len(self._hosts) > 1 else exc
