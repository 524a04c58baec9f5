"""The links of all gateways, by janus_id.

Owns which links exist, and acts on the difference when the table is read again (contract 4.4): mark what is still
there, sweep what is not. Must not know where rows come from.
"""

import gc
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import trio

from bridge.core.environment import LinkEnvironment
from bridge.core.link import JanusLink
from bridge.core.supervise import supervise
from bridge.errors import BridgeError, LinkDown, UnknownJanusId
from bridge.protocol.credentials import Credentials
from bridge.protocol.gateway import Gateway
from bridge.protocol.humanize import plural
from bridge.protocol.session import JanusSession, SavedSession

log = logging.getLogger("bridge.link")

CredentialsOf = Callable[[str], Credentials]
SavedOf = Callable[[Gateway], tuple[SavedSession, ...]]

TURN = 16  # rows that are acted upon before other tasks run; a new link's first step is a fraction of a millisecond
MANY = 1000  # new links: about 300,000 objects, in which the garbage collector is busy for 30 ms
MOST_PLUGINS = 10  # in a line of the log
DRAIN = 2.0  # seconds in which commands in flight may still be answered when the bridge stops


@dataclass(slots=True)
class TableChanges:
    """janus_ids, by what a reload did with them."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)


class LinkRegistry:
    """``credentials_of`` gives the configured secrets of a janus_id, ``saved_of`` the sessions of the last process.

    ``draining``: the janus_ids of gateways that take no new sessions and handles, whether they have a row now or not.
    """

    def __init__(
        self,
        environment: LinkEnvironment,
        credentials_of: CredentialsOf,
        saved_of: SavedOf,
        draining: Iterable[str] = (),
    ) -> None:
        self._env = environment
        self._credentials_of = credentials_of
        self._saved_of = saved_of
        self._draining = set(draining)
        self._links: dict[str, JanusLink] = {}
        self._scopes: dict[JanusLink, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None
        self.news = environment.news  # set where what ``daemon/news.py`` says of the gateways may be different
        self.stopping = False
        self._ends = False

    def __iter__(self) -> Iterator[JanusLink]:
        return iter(list(self._links.values()))

    def __len__(self) -> int:
        return len(self._links)

    def get(self, janus_id: str) -> JanusLink | None:
        """The link of a gateway; None where no row has that janus_id."""
        return self._links.get(janus_id)

    def find(self, janus_id: str) -> JanusLink:
        """The link of a gateway. Raises UnknownJanusId; LinkDown at a stop, once commands in flight are waited for, and
        where that may be why there is none.
        """
        link = self._links.get(janus_id)
        if self._ends or (link is None and self.stopping):
            raise LinkDown("the bridge is stopping")
        if link is None:
            raise UnknownJanusId(f"no row of the table has janus_id {janus_id!r}")
        return link

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Host the links until cancelled. ``started()`` when ``reconcile`` may be called."""
        async with trio.open_nursery() as self._nursery:
            if self._env.cluster is not None:
                self._nursery.start_soon(supervise, self._env.cluster.fenced.run, "the fence of the cluster", log)
            task_status.started()
            await trio.sleep_forever()

    def reconcile(self, gateways: Mapping[str, Gateway]) -> TableChanges:
        """Make the links what the table says. A row that did not change keeps everything it has."""
        difference = TableChanges()
        for _ in self._steps(gateways, difference):
            pass
        return difference

    async def reconcile_in_turns(self, gateways: Mapping[str, Gateway]) -> TableChanges:
        """``reconcile``, with the other tasks in between: a table may have tens of thousands of rows."""
        difference = TableChanges()
        for number, _ in enumerate(self._steps(gateways, difference), 1):
            if number % TURN == 0:
                await trio.lowlevel.checkpoint()
            if len(difference.added) % MANY == MANY - 1:
                gc.freeze()  # or the collector looks through all links again whenever they are a quarter more
        return difference

    def _steps(self, gateways: Mapping[str, Gateway], difference: TableChanges) -> Iterator[None]:
        """One row a step."""
        for janus_id in [janus_id for janus_id in self._links if janus_id not in gateways]:
            if self.stopping:
                return
            if janus_id in self._links:
                self._remove(janus_id, UnknownJanusId("removed"))
                difference.removed.append(janus_id)
                yield
        for janus_id, gateway in gateways.items():
            if self.stopping:
                return
            link = self._links.get(janus_id)
            if link is None:
                self._add(gateway)
                difference.added.append(janus_id)
            elif link.gateway.janus_url == gateway.janus_url:
                difference.unchanged.append(janus_id)
            else:
                self._change(link, gateway)
                difference.changed.append(janus_id)
            yield

    def _add(self, gateway: Gateway) -> None:
        link = JanusLink(gateway, self._env, self._credentials_of(gateway.janus_id), self._saved_of(gateway))
        link.book.draining = gateway.janus_id in self._draining
        self._links[gateway.janus_id] = link
        self.news.set()
        scope = self._scopes[link] = trio.CancelScope()
        assert self._nursery is not None, "run() hosts the links"
        self._nursery.start_soon(self._host, link, scope)

    async def _host(self, link: JanusLink, scope: trio.CancelScope) -> None:
        with scope:
            await link.run()

    def _change(self, link: JanusLink, gateway: Gateway) -> None:
        if link.gateway.fault is None and gateway.fault is None:
            link.retarget(gateway)
            return
        self._remove(gateway.janus_id, LinkDown(gateway.fault or "the row changed"))
        self._add(gateway)

    def _remove(self, janus_id: str, error: BridgeError) -> None:
        assert self._nursery is not None, "run() hosts the links"
        _warn_of_handles(janus_id, self._links[janus_id].book, str(error))
        gc.unfreeze()  # so that what is left of the link can be collected
        link = self._links.pop(janus_id)
        self.news.set()
        self._nursery.start_soon(self._end, link, partial(link.stop, error, destroy=True))

    def left_behind(self, gateway: Gateway, saved: Iterable[SavedSession]) -> None:
        """Since the last process the row of these sessions went, or got another URL: they have ended."""
        sessions = [JanusSession.restored(record) for record in saved if not record.ended]
        link = self._links.get(gateway.janus_id)
        if link is None:
            _warn_of_handles(gateway.janus_id, sessions, "removed")
        for session in sessions:
            if session.session_id is not None:
                self._env.save(gateway, SavedSession(session.session_id, session.managed, ended=True))
            if link is not None:
                link.status.session_lost(session, "the row points to another Janus")
                self._env.stats.add("sessions_lost")

    async def _end(self, link: JanusLink, ending: Callable[[], Awaitable[None]]) -> None:
        await supervise(ending, f"the end of gateway {link.gateway.janus_id}", log)
        self._scopes.pop(link).cancel()

    def drain(self, janus_id: str, switch: bool) -> frozenset[str]:
        """Let a gateway take nothing new, or end that; the janus_ids of all that drain. Raises UnknownJanusId."""
        self.find(janus_id).book.draining = switch
        (self._draining.add if switch else self._draining.discard)(janus_id)
        if switch:
            text = "%s: draining: no new sessions and handles until `janus-bridge mi janus_drain %s off`"
            log.warning(text, janus_id, janus_id)
        else:
            log.warning("%s: draining has ended", janus_id)
        return frozenset(self._draining)

    def credentials_changed(self, janus_ids: set[str]) -> None:
        """The secrets or TLS files of these gateways are others now."""
        for janus_id in janus_ids:
            link = self._links.get(janus_id)
            if link is not None and link.gateway.fault is None:
                link.retarget(link.gateway, self._credentials_of(janus_id))

    async def reunited(self) -> None:
        """Wait until each connection of the last process goes on, or will not."""
        for connection in [connection for link in self for connection in link.connections.values()]:
            if connection.adopted:
                await connection.known.wait()

    async def stop(self, *, hand_over: bool) -> None:
        """Let commands in flight be answered, then disconnect from every Janus; or ``hand_over`` the open connections,
        and with them the sessions, to whoever keeps the sockets.

        Else sessions are left for the next process to claim where their Janus keeps them without a connection, or
        destroyed (contract 2).
        """
        self.stopping = self._ends = True
        with trio.move_on_after(DRAIN):
            while busy := [link for link in self if link.requests.in_flight]:
                await busy[0].requests.drained()
        error = LinkDown("the bridge is stopping")
        async with trio.open_nursery() as nursery:
            for link in self:
                # What was handed over has left nothing but an empty session. What another bridge may be claiming ends
                # with the connection, unless it has: nobody ends it on purpose.
                claimed = link.transfer.claimer is not None
                given = link.transfer.given_to is not None and not link.book.of_worth
                stop = partial(link.stop, error, destroy=given or not (link.reclaims or claimed))
                parts = hand_over and (claimed or not given)
                nursery.start_soon(self._end, link, partial(link.part, error) if parts else stop)
        self._links.clear()


def _warn_of_handles(janus_id: str, sessions: Iterable[JanusSession], why: str) -> None:
    sessions = [session for session in sessions if session.handles]
    plugins = Counter(plugin or "unknown" for session in sessions for plugin in session.handles.values())
    if plugins:
        log.warning(
            "%s: its row is gone (%s), and with it %s in %s: %s",
            janus_id,
            why,
            plural(plugins.total(), "handle"),
            plural(len(sessions), "session"),
            ", ".join(f"{number} {plugin}" for plugin, number in plugins.most_common(MOST_PLUGINS)),
        )
