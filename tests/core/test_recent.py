"""The ring of samples, and what a histogram says of a part of its answers."""

import math

import pytest

from bridge.core.recent import SAMPLES, Ring, quantile
from bridge.protocol.snapshot import BUCKETS


def test_the_oldest_sample_goes() -> None:
    ring = Ring(2)
    for number in range(SAMPLES + 5):
        ring.add(number, -number)
    first, second = ring.columns
    assert list(first) == list(range(5, SAMPLES + 5))
    assert list(second) == [-number for number in range(5, SAMPLES + 5)]


def answers(**by_step: int) -> list[int]:
    return [by_step.get(f"s{step}", 0) for step in range(len(BUCKETS) + 1)]


@pytest.mark.parametrize(
    ("buckets", "q", "seconds"),
    [
        (answers(s0=10), 0.5, BUCKETS[0] / 2),
        (answers(s0=10), 1.0, BUCKETS[0]),
        (answers(s0=50, s1=50), 0.5, BUCKETS[0]),
        (answers(s0=50, s1=50), 0.75, (BUCKETS[0] + BUCKETS[1]) / 2),
        (answers(s0=99, s5=1), 0.99, BUCKETS[0]),
        (answers(s0=98, s14=2), 0.99, BUCKETS[-1]),  # longer than the last step says
    ],
)
def test_a_part_of_the_answers_came_within(buckets: list[int], q: float, seconds: float) -> None:
    assert quantile(buckets, q) == pytest.approx(seconds)


def test_without_answers_nothing_is_known() -> None:
    assert math.isnan(quantile(answers(), 0.99))
