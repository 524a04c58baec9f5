"""Name look-ups that cannot pile up.

Owns how a host name becomes addresses for every connection of this program: getaddrinfo has no time limit and cannot be
interrupted, so each look-up gets a thread of its own limiter, there is at most one for a name at any time, and who asks
again for a name that is still being looked up joins that look-up (contract 5.2). Each kind of asker has a Resolver of
its own: gateways, the other bridges of a cluster, configured subscribers, sockets that MI subscribed, and callers of
MI, who are strangers to each other and get a share each. The database has its own threads. Numeric addresses never come
here.
"""

import socket
from typing import Any

import trio

# One thread for a name is the bound that counts: with fewer threads than names, names whose server is silent would keep
# other gateways from theirs.
MAX_THREADS = 1000
_Answer = list[tuple[Any, ...]]


class _Lookup:
    def __init__(self, owner: str | None) -> None:
        self.owner = owner
        self.done = trio.Event()
        self.answer: _Answer = []
        self.error: OSError | None = None


class Resolver(trio.abc.HostnameResolver):
    """Install with ``trio.socket.set_custom_hostname_resolver`` inside ``trio.run``, or ``look_up``.

    With a ``share`` nothing ever waits for a thread: at most so many names of each owner are looked up at a time, at
    most ``threads`` of all, and the next one is refused. A look-up counts until its thread ends, whoever still waits.
    """

    def __init__(self, threads: int | None = None, share: int | None = None) -> None:
        """``threads``: None for MAX_THREADS."""
        self._threads = MAX_THREADS if threads is None else threads
        self._share = share
        self._limiter = trio.CapacityLimiter(self._threads)
        self._lookups: dict[tuple[Any, ...], _Lookup] = {}

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """As socket.getaddrinfo. Raises socket.gaierror."""
        return await self.look_up(host, port, family, type, proto, flags)

    async def look_up(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
        *,
        owner: str | None = None,
    ) -> _Answer:
        """As socket.getaddrinfo, for ``owner``. Raises socket.gaierror, also for a share that is used up."""
        # A number is no part of the question: gateways on one host share a look-up whatever their ports.
        number = port if isinstance(port, int) else None
        key = (host, port if number is None else None, family, type, proto, flags)
        lookup = self._lookups.get(key)
        if lookup is None:
            self._admit(owner)
            lookup = self._lookups[key] = _Lookup(owner)
            trio.lowlevel.spawn_system_task(self._run, key, lookup)
        await lookup.done.wait()
        if lookup.error is not None:
            raise lookup.error
        return lookup.answer if number is None else [_with_port(row, number) for row in lookup.answer]

    def _admit(self, owner: str | None) -> None:
        if self._share is None:
            return
        under_way = [lookup.owner for lookup in self._lookups.values()]
        if under_way.count(owner) >= self._share:
            raise socket.gaierror(socket.EAI_AGAIN, f"{self._share} names of this caller are being looked up already")
        if len(under_way) >= self._threads:
            raise socket.gaierror(socket.EAI_AGAIN, f"{self._threads} names of callers are being looked up already")

    async def _run(self, key: tuple[Any, ...], lookup: _Lookup) -> None:
        try:
            lookup.answer = await trio.to_thread.run_sync(
                lambda: list(socket.getaddrinfo(*key)), abandon_on_cancel=True, limiter=self._limiter
            )
        except OSError as exc:
            lookup.error = exc
        # An exception that left a system task would end the program.
        except ValueError:  # no name at all
            lookup.error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        except RuntimeError:  # no more threads are to be had
            lookup.error = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        finally:
            del self._lookups[key]
            lookup.done.set()

    async def getnameinfo(self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int) -> tuple[str, str]:
        """As socket.getnameinfo."""
        return await trio.to_thread.run_sync(
            socket.getnameinfo, sockaddr, flags, abandon_on_cancel=True, limiter=self._limiter
        )


def _with_port(row: tuple[Any, ...], port: int) -> tuple[Any, ...]:
    *kind, (address, _, *rest) = row
    return (*kind, (address, port, *rest))
