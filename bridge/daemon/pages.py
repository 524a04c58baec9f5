"""The pages of the HTTP listeners, over the figures of the core.

Owns that wiring alone.
"""

from collections.abc import Mapping

from bridge.core.metrics import MetricsCollector
from bridge.transport.mi_http import Page


def pages_of(metrics: MetricsCollector) -> Mapping[str, Page]:
    """The pages by their paths."""
    from bridge.transport.pages import pages  # prometheus_client takes 0.2 s to load, which no other command needs

    return pages(metrics.figures)
