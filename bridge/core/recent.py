"""The last ten minutes in samples of five seconds: what the status page draws.

Owns what is kept of them, and for how long. Must not know who samples or draws. A bounded ring of single-precision
numbers, 0.5 KiB a figure: six of the bridge and three of each gateway, 1.5 MiB with a thousand gateways.
"""

from array import array
from collections.abc import Sequence
from typing import Final

from bridge.protocol.snapshot import BUCKETS

SAMPLES: Final = 120
UNKNOWN: Final = float("nan")  # in a sample without an answer to measure


class Ring:
    """The samples of some figures, so many in each."""

    __slots__ = ("_figures", "_samples")

    def __init__(self, figures: int) -> None:
        self._figures = figures
        self._samples = array("f")  # one behind the other

    def add(self, *values: float) -> None:
        """One sample, a value for each figure."""
        self._samples.extend(values)
        if len(self._samples) > SAMPLES * self._figures:
            del self._samples[: self._figures]

    @property
    def columns(self) -> tuple[Sequence[float], ...]:
        """Each is one figure, the oldest first."""
        return tuple(self._samples[figure :: self._figures] for figure in range(self._figures))


def quantile(buckets: Sequence[int], q: float) -> float:
    """The seconds within which that part of the answers came, as near as the histogram says; UNKNOWN without any.

    ``buckets``: answers by BUCKETS, not summed up, and one more for those that took longer, which count as the end of
    the last step.
    """
    rank = q * sum(buckets)
    if rank == 0:
        return UNKNOWN
    below = 0.0
    for end, many in zip(BUCKETS, buckets, strict=False):
        if rank <= many:
            return below + (end - below) * rank / many
        rank -= many
        below = end
    return below
