"""The doors of the MI: opened before anything is promised, closed before anything is taken apart.

Owns their order, their secrets, and which key a fault is blamed on. Must not know methods: all lead to one
``dispatch``; nor transports, which are rows in ``doors``.
"""

import hashlib
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import trio

from bridge.config import Config, MiSettings
from bridge.daemon.doors import DOORS, Door, Hall, kinds_of_senders
from bridge.daemon.held_doors import HeldDoors
from bridge.errors import ConfigError
from bridge.files import read_file
from bridge.protocol.budget import Budget
from bridge.protocol.jsonrpc import Dispatch, Refused
from bridge.transport.batch import Batch
from bridge.transport.http_access import Access
from bridge.transport.mi_ask import Reception
from bridge.transport.mi_http import Page
from bridge.transport.peer_roles import Grant, PeerRoles
from bridge.transport.state_dir import StateDir
from bridge.transport.tls import PEM_MAX, load_chain, pem_text
from bridge.transport.trial import Once, Trial

log = logging.getLogger("bridge.mi")

LAST_CALLS = 0.05  # seconds at least, for what was sent and is still to be read


class Listeners:
    """``bind`` them, ``serve`` in a nursery, ``reload`` their secrets, ``stop``, ``end``: what was asked is answered.

    Bound before the table is read, so that an address in use is told at once; served after it, so that nobody hears of
    an unknown janus_id only because he was early.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        batch: Batch,
        pages: Mapping[str, Page],
        pending: Budget,
        wrong_token: Callable[[], None],
        refused: Refused,
        lost: Callable[[], None],
        held: HeldDoors,
    ) -> None:
        """``pending`` is the budget of requests: what waits before the dispatch and behind it counts as well.
        ``wrong_token`` is called for each; ``refused(who, reason)`` for each request that no method sees,
        ``lost`` for each answer that does not reach its caller; ``held`` has what another process has bound.
        """
        self._held = held
        self._access = Access(failed=wrong_token)
        self._roles = PeerRoles()
        reception = Reception(dispatch, self._roles, pending, lost, refused)
        self._hall = Hall(reception, batch, pages, self._access)
        self._tls: ssl.SSLContext | None = None
        self._certificate = b""  # digest of its files
        self._doors: list[Door] = []
        self._served: list[Door] = []
        self._left = False

    async def bind(self, config: Config) -> None:
        """Bind everything. Raises ConfigError that names key and address at fault."""
        mi = config.mi
        self._tls, self._certificate = server_context(mi), _digest(mi)
        with _blamed("roles:"):
            self._grant(mi)
        self._held.holds = mi.hold_listeners
        doors = list(_doors(mi))
        await self._held.only(address for _, door in doors for address in door.addresses())
        try:
            for key, door in doors:
                with _blamed(key):
                    self._doors.append(door)
                    await door.bind(self._held, self._tls)
        except ConfigError:
            await _look(mi, Once())  # what is in its own way is named so, and not as another program
            raise

    async def serve(self, nursery: trio.Nursery) -> None:
        """Answer from now on."""
        for door in self._doors:
            await self._serve(door, nursery)
            for name in door.names():
                log.info("listening on %s", name)

    async def _serve(self, door: Door, nursery: trio.Nursery) -> None:
        self._served.append(door)
        await door.serve(nursery, self._hall)

    def reload(self, config: Config) -> tuple[bool, list[str]]:
        """Take tokens, roles, networks and the certificate as they are configured now.

        Returns whether the certificate is another one, and a line for each thing that stays as it was.
        """
        before, faults = self._certificate, []
        try:
            self._grant(config.mi)
        except ConfigError as exc:
            faults.append(f"[mi] roles: {exc}; the roles and tokens from before stay in use")
        if self._tls is not None:
            try:
                _load_certificate(self._tls, config.mi)
                self._certificate = _digest(config.mi)
            except ConfigError as exc:
                faults.append(f"{exc}; the certificate from before stays in use")
        for door in self._doors:
            door.check()
        return self._certificate != before, faults

    def _grant(self, mi: MiSettings) -> None:
        """Who may do what, from now on. Raises ConfigError for a user or group that is not there."""
        grants = [Grant(grant.role, grant.users, grant.groups) for grant in mi.roles]
        self._roles.replace(kinds_of_senders(mi), grants)
        self._access.replace(mi.allow, mi.token, [(one.token, one.role) for one in mi.roles if one.token is not None])
        if self._roles.blind:
            log.warning(
                "[mi] roles: systemd's PrivateUsers= makes other users look alike to this process; name groups that it "
                "has itself (Group=), or set PrivateUsers=no"
            )

    def close(self) -> None:
        """Close what was bound and is not served; twice is the same as once."""
        for door in self._doors:
            door.close()

    def leave(self) -> None:
        """What is held goes on: callers wait there for the next process."""
        if self._held.holds:
            self._left = True
            self._held.leave()
            for door in self._doors:
                door.leave()

    async def stop(self, nursery: trio.Nursery) -> None:
        """Take nobody new; return when all who had come have asked, or had their time to, in little more than a second.
        Who came before anything was served is heard in this nursery.
        """
        for door in self._doors:
            if door not in self._served and not self._left:
                await self._serve(door, nursery)
        async with trio.open_nursery() as stopping:
            stopping.start_soon(trio.sleep, LAST_CALLS)
            for door in self._served:
                stopping.start_soon(door.stop)

    def end(self) -> None:
        """Hear nothing more: it would have no other answer than that the bridge is stopping."""
        for door in self._served:
            door.end()


async def look(config: Config) -> None:
    """Raise ConfigError, as ``bind`` does, where it could not bind what the running bridge has not; nothing changes."""
    await _look(config.mi, Trial(StateDir(config.state.dir).lock))


async def _look(mi: MiSettings, trial: Once) -> None:
    for key, door in _doors(mi):
        with _blamed(key):
            await door.look(trial)


def _doors(mi: MiSettings) -> Iterator[tuple[str, Door]]:
    return ((key, door) for key, made in DOORS.items() for door in made(mi))


def server_context(mi: MiSettings) -> ssl.SSLContext | None:
    """For HTTPS listeners; None where no certificate is configured. Raises ConfigError that names the files."""
    if mi.http_tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load_certificate(context, mi)
    return context


def _load_certificate(context: ssl.SSLContext, mi: MiSettings) -> None:
    assert mi.http_tls_cert is not None
    try:
        load_chain(context, mi.http_tls_cert, mi.http_tls_key)
    except OSError as exc:
        key = "" if mi.http_tls_key is None else f", http_tls_key {mi.http_tls_key}"
        raise ConfigError(f"[mi] http_tls_cert {mi.http_tls_cert}{key}: {pem_text(exc)}") from None


def _digest(mi: MiSettings) -> bytes:
    """Another one for another certificate or key. Raises ConfigError."""
    found = hashlib.sha256()
    try:
        for file in filter(None, (mi.http_tls_cert, mi.http_tls_key)):
            found.update(read_file(file, PEM_MAX))
    except OSError as exc:
        raise ConfigError(f"[mi] http_tls_cert {mi.http_tls_cert}: {exc.strerror}") from None
    return found.digest()


@contextmanager
def _blamed(key: str) -> Iterator[None]:
    """Transports know addresses, but not which setting they came from."""
    try:
        yield
    except ConfigError as exc:
        raise ConfigError(f"[mi] {key} {exc}") from None
