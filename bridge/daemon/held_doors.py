"""The MI's sockets over a restart: callers wait in them, in place of being refused.

Owns which of the sockets that were found is whose, by the text of its address, and whether they go on after this
process (`[mi] hold_listeners`). One that is found is used in any case: nobody else could bind its address. Must not
know what is said through them.
"""

import os
from collections.abc import Iterable

from bridge.transport.fd_store import LISTENER, FdStore, KeptSocket, base_of


class HeldDoors:
    """``holds``: what is bound goes on after this process."""

    def __init__(self, store: FdStore) -> None:
        self._store = store
        self._kept: list[KeptSocket] = []
        self.holds = False

    def only(self, addresses: Iterable[str]) -> None:
        """Let go of what was found for others: their ports may be wanted under another name."""
        wanted = set(map(_base, addresses))
        for base in {held.base for held in self._store.held if held.base.startswith(f"{LISTENER}.")} - wanted:
            self._store.end(base)

    def take(self, address: str) -> list[int]:
        """The descriptors that were found for an address, for the caller to close."""
        taken = []
        while (held := self._store.take(_base(address))) is not None:
            taken.append(held.fd)
            self._store.drop(held.name)
        return taken[::-1]  # as they were bound

    def take_one(self, address: str) -> int | None:
        """The descriptor that was found for an address that has one, for the caller to close."""
        fds = self.take(address)
        for fd in fds[:-1]:
            os.close(fd)
        return fds[-1] if fds else None

    def keep(self, address: str, fd: int) -> None:
        """It is bound, or was found and is of use."""
        if self.holds:
            self._kept.append(self._store.keep(_base(address), fd))

    def leave(self) -> None:
        """Whoever serves them goes; what is kept goes on."""
        for kept in self._kept:
            kept.leave()


def _base(address: str) -> str:
    return base_of(address, kind=LISTENER)
