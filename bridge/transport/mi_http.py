"""MI over HTTP: ``POST /mi``, and a few pages by GET on the same listeners.

Owns the routes and the status codes. Must not know any method, nor how bytes become requests (``http_parser``) and
connections are kept (``http_server``). Authority: OpenSIPS modules httpd and mi_http, less their faults: every answer
is complete, and what they answer by closing the connection has a status (contract 6.1, 6.2).
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

import trio

from bridge.errors import MalformedMessage
from bridge.protocol.budget import Budget
from bridge.protocol.jsonrpc import Abandon, Dispatch, Refused, render_error
from bridge.transport.batch import Batch
from bridge.transport.http_access import Access
from bridge.transport.http_ends import Answerable, HttpLimits
from bridge.transport.http_listener import Listener
from bridge.transport.http_messages import JSON, HttpRequest, Reply, refuse
from bridge.transport.http_server import HttpServer

# What is shown at a path, now; called with the query as it came. It must not raise.
Page: TypeAlias = Callable[[bytes], Reply | Awaitable[Reply]]

OPEN_PATHS: Final = frozenset({b"/healthz"})  # for everybody: a load balancer has no token (contract 8.2)

# As OpenSIPS says it, where it says something.
_UNKNOWN_PATH = refuse(400, "Unable to parse URL!")
_WRONG_METHOD = refuse(406, "Unsupported HTTP request!", close=True)
_NO_GET = Reply(405, JSON, headers=b"Allow: POST\r\n", reason="MI is asked by POST")
_NO_BODY = Reply(400, JSON, reason="There is no body")
# Where OpenSIPS closes the connection without a word.
_WRONG_TYPE = refuse(415, "Content-Type has to be application/json")
_CODED = refuse(415, "A body with a Content-Encoding is not understood", headers=b"Accept-Encoding: identity\r\n")
_ONLY_GET = refuse(405, "Only GET here", headers=b"Allow: GET, HEAD\r\n")


async def serve_mi_http(
    listeners: Sequence[Listener],
    dispatch: Dispatch,
    access: Access,
    batch: Batch,
    *,
    root: str = "mi",
    limits: HttpLimits = HttpLimits(),  # noqa: B008 - frozen
    pages: Mapping[str, Page] | None = None,
    pending: Budget | None = None,
    refused: Refused = lambda who, reason: None,
    task_status: trio.TaskStatus[HttpServer] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve MI at ``/<root>`` and ``pages`` at their paths, in ``batch``. Reports an HttpServer by ``started``.

    ``pending`` is the budget of what waits to be read whole or taken, unset: as much as every client may send.
    Returns when cancelled, or after ``HttpServer.stop()`` when all requests in flight are answered. Closes the
    listeners.
    """
    async with trio.open_nursery() as nursery:
        handler = MiHttp(dispatch, access, root, pages or {}, refused, nursery)
        await HttpServer(listeners, handler, limits, batch, pending).serve(task_status)
        nursery.cancel_scope.cancel()


class MiHttp:
    """The routes: an ``http_ends.HttpHandler``."""

    def __init__(
        self,
        dispatch: Dispatch,
        access: Access,
        root: str,
        pages: Mapping[str, Page],
        refused: Refused,
        nursery: trio.Nursery,
    ) -> None:
        """``nursery`` is for pages that take their time."""
        self.known = access.notes()
        self._refused = refused
        self._dispatch = dispatch
        self._access = access
        self._root = b"/" + root.encode()
        self._below_root = self._root + b"/"
        self._pages = {path.encode(): page for path, page in pages.items()}
        self._nursery = nursery

    def admit(self, request: HttpRequest) -> Reply | None:
        """Whether the body of this request should be read, and ``respond`` be called."""
        method, path = request.method, request.path
        page = path in self._pages
        mi = path == self._root or path.startswith(self._below_root)
        if not (page and path in OPEN_PATHS):
            verdict = self._access.admit(request)
            if isinstance(verdict, Reply):
                return verdict
            request.caller = verdict  # every role may look at pages
        if method == b"POST":
            if mi:
                return _type_fault(request)
            return _ONLY_GET if page else _UNKNOWN_PATH
        if page and method in (b"GET", b"HEAD"):
            return None
        if method in (b"GET", b"HEAD"):
            return _NO_GET if mi else _UNKNOWN_PATH
        return _WRONG_METHOD

    def refused(self, request: HttpRequest, reply: Reply) -> None:
        """Have it counted and logged."""
        self._refused(request.peer, f"HTTP {reply.status}: {reply.reason}")

    def respond(self, request: HttpRequest, body: bytes, asker: Answerable) -> Abandon | None:
        """The answer to an admitted request."""
        if request.method != b"POST":
            return self._show(self._pages[request.path](request.query), asker)
        if not body:
            self.refused(request, _NO_BODY)
            asker.reply(_NO_BODY)
            return None
        try:
            return self._dispatch(body, request.caller, asker.answer)
        except MalformedMessage as exc:
            asker.answer(render_error(exc, None))
            return None

    def _show(self, shown: Reply | Awaitable[Reply], asker: Answerable) -> Abandon | None:
        if not inspect.isawaitable(shown):
            asker.reply(shown)
            return None
        scope = trio.CancelScope()
        self._nursery.start_soon(_finish, shown, scope, asker)
        return scope.cancel


async def _finish(shown: Awaitable[Reply], scope: trio.CancelScope, asker: Answerable) -> None:
    with scope:
        try:
            reply = await shown
        except Exception:  # noqa: BLE001 - the batch logs it, as that of a page that needs no waiting
            asker.fault()
            return
        if not scope.cancel_called:  # in its last turn, where that cannot stop it
            asker.reply(reply)


def _type_fault(request: HttpRequest) -> Reply | None:
    if request.headers.get(b"content-encoding", b"identity").lower() != b"identity":
        return _CODED
    return None if _is_json(request.headers.get(b"content-type", b"")) else _WRONG_TYPE


def _is_json(content_type: bytes) -> bool:
    """The media type is compared, its parameters are not: RFC 8259 defines none. (mi_http compares the beginning.)"""
    return content_type.partition(b";")[0].strip().lower() == b"application/json"
