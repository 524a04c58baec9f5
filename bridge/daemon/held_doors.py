"""The MI's sockets over a restart: callers wait in them, in place of being refused.

Owns which of the sockets that were found is whose, by the text of its address, and whether they go on after this
process (`[mi] hold_listeners`). One that is found is used in any case: nobody else could bind its address. Must not
know what is said through them.
"""

import os
from collections.abc import Iterable

from bridge.transport.fd_store import LISTENER, FdStore, KeptSocket, base_of
from bridge.transport.unix_path import path_of, remove_left


class HeldDoors:
    """``holds``: what is bound goes on after this process."""

    def __init__(self, store: FdStore) -> None:
        self._store = store
        self._kept: list[KeptSocket] = []
        self._taken: dict[str, list[str]] = {}  # by their bases: names in the store, of nobody's yet
        self.holds = False

    async def only(self, addresses: Iterable[str]) -> None:
        """Let go of what was found for others, with its name in the file system: the port may be wanted under another
        address, and is free once systemd has closed its copy.
        """
        wanted = set(map(_base, addresses))
        others = [one for one in self._store.held if one.base.startswith(f"{LISTENER}.") and one.base not in wanted]
        paths = {path for one in others if (path := path_of(one.fd)) is not None}
        for base in {one.base for one in others}:
            self._store.end(base)
        if others:
            await self._store.heard()
        for path in paths:
            remove_left(path)

    def take(self, address: str) -> list[int]:
        """The descriptors that were found for an address, for the caller to close. They stay in the store until one is
        kept for this address: a start that fails leaves them to the next one.
        """
        base = _base(address)
        found = [self._store.take(base, number) for number in self._store.streams(base)]  # as they were bound
        self._taken.setdefault(base, []).extend(held.name for held in found if held is not None)
        return [held.fd for held in found if held is not None]

    def take_one(self, address: str) -> int | None:
        """The descriptor that was found for an address that has one, for the caller to close."""
        fds = self.take(address)
        for fd in fds[:-1]:
            os.close(fd)
        return fds[-1] if fds else None

    def keep(self, address: str, fd: int) -> None:
        """It is bound, or was found and is of use: what was found for its address is in the store no longer, and what
        is to go on is, anew.
        """
        base = _base(address)
        for name in self._taken.pop(base, ()):
            self._store.drop(name)
        if self.holds:
            self._kept.append(self._store.keep(base, fd))

    def leave(self) -> None:
        """Whoever serves them goes; what is kept goes on. Twice is the same as once."""
        kept, self._kept = self._kept, []
        for one in kept:
            one.leave()


def _base(address: str) -> str:
    return base_of(address, kind=LISTENER)
