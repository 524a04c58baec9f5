"""The pages beside the MI: what a browser, Prometheus and a load balancer see (contract 8.2).

``status`` is the page at ``/``, ``metrics`` what Prometheus reads, ``probes`` the two for supervisors. All of them show
``protocol.figures`` that they are given; none knows where these come from. Who may see them is ``http_access``'s.
"""

from collections.abc import Awaitable, Callable, Mapping

import trio

from bridge.protocol.snapshot import Snapshot
from bridge.transport.http_messages import Reply
from bridge.transport.mi_http import Page
from bridge.transport.pages.probes import Ready, healthz
from bridge.transport.pages.status import StatusPage

__all__ = ["pages"]


def pages(figures: Callable[[], Snapshot]) -> Mapping[str, Page]:
    """The pages by their paths. ``figures`` is asked at each request."""
    return {"/": StatusPage(figures), "/metrics": _metrics(figures), "/healthz": healthz, "/readyz": Ready(figures)}


def _metrics(figures: Callable[[], Snapshot]) -> Page:
    """Loaded when it is first asked for, in a thread: prometheus_client would be a seventh of every start."""
    page: Callable[[bytes], Awaitable[Reply]] | None = None

    def load() -> Callable[[bytes], Awaitable[Reply]]:
        from bridge.transport.pages.metrics import Metrics

        return Metrics(figures)

    async def shown(query: bytes) -> Reply:
        nonlocal page
        if page is None:
            page = await trio.to_thread.run_sync(load)
        return await page(query)

    return shown
