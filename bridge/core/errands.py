"""The commands that a bridge of a cluster cannot just send: a ``create``, and whatever names what is not known here.

Owns their way: an id is written before its session is made; what lives at another bridge goes there, one hop, in the
order in which it came. Must not know where something lives (``whereabouts``). Authority: contract 11, 5.4, 5.5.
"""

import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVarTuple

import trio

from bridge.core.arrivals import Arrivals
from bridge.core.chosen_id import CONFLICTS, chosen_id
from bridge.core.cluster_faces import AskPeer
from bridge.core.environment import LinkCluster, LinkEnvironment
from bridge.core.errand import Errand, Order
from bridge.core.link import JanusLink
from bridge.core.mi import MiRequest
from bridge.core.whereabouts import NOWHERE, Residence, Wanted, Whereabouts
from bridge.errors import BridgeError, LinkDown, PeerSilent, TakeOverPending, TransactionTimeout
from bridge.protocol.cluster import SEND, Node
from bridge.protocol.command import JanusCommand, read_command
from bridge.protocol.janus import Success, classify
from bridge.protocol.jsonrpc import MISDIRECTED, RpcError

DETOURS: Final = 3  # bridges that did not have it, though somebody said so
MARGIN: Final = 0.02  # seconds by which the time limit at a peer is shorter than the caller's

_Ts = TypeVarTuple("_Ts")


class Errands:
    """``run`` hosts them."""

    def __init__(
        self, environment: LinkEnvironment, cluster: LinkCluster, whereabouts: Whereabouts, ask: AskPeer
    ) -> None:
        self.whereabouts = whereabouts
        self._cluster = cluster
        self._ask = ask
        self._stats = environment.stats
        self._timers = environment.timers
        self._start = environment.start
        self._numbers = itertools.count(1)
        self._nursery: trio.Nursery | None = None
        self._queues: dict[tuple[str, int | None], list[Errand]] = {}  # behind one that is looked for
        self._last: dict[tuple[str, int | None], str] = {}  # the number of the last one on its way to a peer
        self._held: dict[str, list[Errand]] = {}  # of gateways that are being handed over
        self._arrivals = Arrivals()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def stop(self) -> None:
        """What has no outcome by now has none that its caller could hear of."""
        for errand in itertools.chain(*self._queues.values(), *self._held.values()):
            if errand.go():
                errand.fail(LinkDown("the bridge is stopping"))
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    # What a caller asks for

    def take(self, call: MiRequest, link: JanusLink, command: JanusCommand, value: Any, timeout: float) -> bool:
        """Whether this command is one; then its caller is told, or ``call.leave`` ends it."""
        janus_id = link.gateway.janus_id
        alone = command.session_id is None and command.handle_id is None
        given = self._given(link)
        if not (
            command.kind == "create"
            or janus_id in self._held
            or (alone and given is not None)
            or not link.book.knows(command.session_id, command.handle_id)
            or Wanted(janus_id, command.session_id, command.handle_id).key in self._queues
        ):
            return False
        errand = Errand(call, link, command, value, trio.current_time() + timeout)
        call.leave = errand.leave
        if janus_id in self._held:
            errand.wait(self._timers)
            self._held[janus_id].append(errand)
        else:
            self._begin(errand)
        return True

    def _given(self, link: JanusLink) -> Node | None:
        """Whom this gateway was handed over to, as long as that one lives the same life."""
        transfer = link.transfer
        if transfer.given_to is not None and not self.whereabouts.lives(transfer.given_to):
            transfer.given_to = None
        return transfer.given_to

    def _begin(self, errand: Errand) -> None:
        given = self._given(errand.link)
        if errand.wanted.session_id is None and errand.wanted.handle_id is None:
            if given is not None:
                self._dispatch(errand, Residence(given))
            elif errand.command.kind == "create":
                self._start_task(errand, self._create)
            else:
                self._dispatch(errand, NOWHERE)
            return
        key = errand.wanted.key
        place = self.whereabouts.known(errand.link, errand.wanted)
        if key in self._queues:
            errand.wait(self._timers)
            self._queues[key].append(errand)
        elif self._known(errand):
            self._dispatch(errand, NOWHERE)
        elif place is not None:
            self._dispatch(errand, place)
        else:
            errand.wait(self._timers)
            self._queues[key] = [errand]
            self._host(self._look, errand)

    async def _look(self, errand: Errand) -> None:
        """Find out where it lives, and let all that named it meanwhile go on, in their order."""
        key = errand.wanted.key
        error: BridgeError | None = None
        place = NOWHERE
        try:
            place = await self.whereabouts.find(errand.link, errand.wanted)
        except BridgeError as exc:
            error = exc
        for one in self._queues.pop(key):
            if error is None:
                self._dispatch(one, place)
            elif one.go():
                one.fail(error)

    def _dispatch(self, errand: Errand, place: Residence) -> None:
        if not errand.go():
            return
        if place.node is None:
            self._send_here(errand, place)
        else:
            order = Order(f"{self._start}.{next(self._numbers)}", self._last.get(errand.wanted.key, ""))
            self._last[errand.wanted.key] = order.number
            self._start_task(errand, self._forward, place.node, order)

    def _send_here(self, errand: Errand, place: Residence) -> None:
        command, call = errand.command, errand.call
        if place.session_id is not None and command.session_id != place.session_id:
            command.session_id = place.session_id
        try:
            if errand.notification:
                errand.link.post(command, errand.rest, call)
                errand.succeed("OK")
            else:
                call.leave = errand.link.request(command, errand.rest, call).abandon
        except BridgeError as exc:
            errand.fail(exc)

    async def _create(self, errand: Errand) -> None:
        """The id of the session is in the database before Janus hears of it."""
        gateway = errand.link.gateway
        if errand.command.new_id:
            await self._create_named(errand, errand.command.new_id)
            return
        for _ in range(CONFLICTS):
            command = read_command(errand.value)
            async with chosen_id(self._cluster, gateway, managed=False) as choice:
                command.new_id = command.members["id"] = choice.session_id
                if errand.notification:
                    choice.made = True  # as far as anybody will know
                    errand.link.post(command, errand.rest, errand.call)
                    errand.succeed("OK")
                    return
                answer = await errand.answer_to(command)
                choice.judge(answer)
            if not choice.conflict:
                break
        errand.succeed(answer)

    async def _create_named(self, errand: Errand, session_id: int) -> None:
        """A caller chose the id: another bridge may have that session, so it is ours only once Janus says so, and in
        the database before the caller hears of it.
        """
        if errand.notification:
            self._send_here(errand, NOWHERE)
            return
        answer = await errand.answer_to(read_command(errand.value))
        if isinstance(classify(answer), Success):
            await self._cluster.sessions.reserve(errand.link.gateway, session_id, managed=False)
        errand.succeed(answer)

    # To another bridge

    async def _forward(self, errand: Errand, node: Node, order: Order) -> None:
        key = errand.wanted.key
        self._stats.add("forwarded")
        try:
            limit = max(1, round((errand.rest - MARGIN) * 1000))
            notification = int(errand.notification)
            params = [errand.wanted.janus_id, errand.value, limit, *order, notification]
            errand.succeed(await self._ask(node.url, SEND, params, errand.rest))
        except RpcError as exc:
            if exc.code != MISDIRECTED:
                raise
            errand.misdirected += 1
            if errand.misdirected > DETOURS:
                raise TakeOverPending("it is on its way from one bridge to another") from None
            self.whereabouts.forget(errand.wanted)
            if errand.link.transfer.given_to == node:
                errand.link.transfer.given_to = None
            self._begin(errand)
        except PeerSilent as exc:
            if errand.rest <= 0:
                raise TransactionTimeout("no answer") from None
            raise PeerSilent(f"node {node.node_id} has this session, and may have executed it: {exc.data}") from None
        except LinkDown as exc:
            words = f"node {node.node_id} has this session, and cannot be reached: {exc.data}; nothing was sent"
            raise type(exc)(words) from None
        finally:
            if self._last.get(key) == order.number:
                del self._last[key]

    # From another bridge

    def accept(self, errand: Errand, order: Order) -> None:
        """A command that another bridge sent on; it goes no further."""
        errand.call.leave, errand.order = errand.leave, order
        if errand.wanted.janus_id in self._held:
            errand.wait(self._timers)
            self._held[errand.wanted.janus_id].append(errand)
        elif errand.command.kind != "create" and self._known(errand) and self._arrivals.may_go(order.after):
            self._send_here(errand, NOWHERE)
            self._arrivals.arrive(order.number)
        else:
            self._start_task(errand, self._accept, order)

    async def _accept(self, errand: Errand, order: Order) -> None:
        try:
            await self._arrivals.turn(order.after, errand.rest)
            place = NOWHERE if self._known(errand) else await self._place_here(errand)
            if errand.command.kind != "create":
                self._dispatch(errand, place)
        finally:
            self._arrivals.arrive(order.number)
        if errand.command.kind == "create":
            await self._create(errand)

    async def _place_here(self, errand: Errand) -> Residence:
        place = self.whereabouts.known(errand.link, errand.wanted)
        if place is None or place.session_id is None:
            place = await self.whereabouts.find_here(errand.link, errand.wanted)
        if place is None:
            raise RpcError(MISDIRECTED, "Misdirected", "this bridge does not have it; nothing was sent")
        self.whereabouts.remember(errand.wanted, place)
        return place

    def _known(self, errand: Errand) -> bool:
        return errand.link.book.knows(errand.wanted.session_id, errand.wanted.handle_id)

    # While a gateway is handed over

    def hold(self, janus_id: str) -> None:
        """Let new commands for this gateway wait."""
        self._held[janus_id] = []

    def release(self, janus_id: str) -> None:
        """They go on, in their order."""
        for errand in self._held.pop(janus_id, []):
            if not errand.go():
                continue
            if errand.order is None:
                self._begin(errand)
            else:
                self._start_task(errand, self._accept, errand.order)

    # Tasks

    def _host(self, task: Callable[[*_Ts], Awaitable[None]], *args: *_Ts) -> None:
        assert self._nursery is not None, "run() hosts errands"
        self._nursery.start_soon(task, *args)

    def _start_task(self, errand: Errand, task: Callable[[Errand, *_Ts], Awaitable[None]], *args: *_Ts) -> None:
        errand.end = scope = trio.CancelScope()

        async def in_scope() -> None:
            with scope, errand.told():
                await task(errand, *args)

        self._host(in_scope)
