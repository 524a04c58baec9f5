"""When to try again (contract 5.3)."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.backoff import EAGER_SECONDS, Backoff

seconds = st.floats(0.01, 100)


def longest(_a: float, b: float) -> float:
    return b


def shortest(a: float, _b: float) -> float:
    return a


def test_refused_connects_are_retried_at_least_once_a_second_for_the_first_minute() -> None:
    backoff = Backoff(0.5, 15.0, longest)
    now = 1000.0
    while now < 1000.0 + EAGER_SECONDS:
        delay = backoff.failed(now, refused=True)
        assert 0 < delay <= 1.0
        now += delay


@given(minimum=seconds, maximum=seconds, seed=st.integers())
def test_that_holds_for_any_configuration(minimum: float, maximum: float, seed: int) -> None:
    backoff = Backoff(minimum, maximum, random.Random(seed).uniform)
    assert all(0 < backoff.failed(now, refused=True) < 1.0 for now in range(int(EAGER_SECONDS)))


def test_after_the_first_minute_it_backs_off() -> None:
    backoff = Backoff(0.5, 15.0, longest)
    backoff.failed(0.0, refused=True)
    assert [backoff.failed(60.0 + n, refused=True) for n in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


@given(st.lists(st.booleans(), min_size=1, max_size=60), seconds, seconds, st.integers())
def test_no_delay_is_longer_than_the_maximum(fails: list[bool], minimum: float, maximum: float, seed: int) -> None:
    backoff = Backoff(minimum, maximum, random.Random(seed).uniform)
    for n, refused in enumerate(fails):
        assert 0 < backoff.failed(n * 10.0, refused=refused) <= max(minimum, maximum)


@pytest.mark.parametrize("uniform", [longest, shortest])
def test_everything_else_backs_off_at_once(uniform: Callable[[float, float], float]) -> None:
    backoff = Backoff(0.5, 15.0, uniform)
    delays = [backoff.failed(n * 0.1, refused=False) for n in range(10)]
    jitter = 1.0 if uniform is longest else 0.5
    assert delays == [jitter * delay for delay in (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 15.0, 15.0)]


def test_gateways_that_fell_together_do_not_come_back_together() -> None:
    random_source = random.Random(7)
    backoffs = [Backoff(0.5, 15.0, random_source.uniform) for _ in range(100)]
    for refused in (True, False):
        assert len({backoff.failed(0.0, refused=refused) for backoff in backoffs}) == 100


def test_silence_does_not_make_the_refusals_after_it_slow() -> None:
    """A host that restarts is silent first and refuses then: from then on it is usable within 2 s."""
    backoff = Backoff(0.5, 15.0, longest)
    for n in range(4):
        backoff.failed(n * 5.0, refused=False)
    assert backoff.failed(20.0, refused=True) <= 1.0


def test_reset_begins_anew() -> None:
    backoff = Backoff(0.5, 15.0, longest)
    for _ in range(5):
        backoff.failed(0.0, refused=False)
    assert backoff.failures == 5
    backoff.reset()
    assert backoff.failures == 0
    assert backoff.failed(1000.0, refused=False) == 0.5
    assert backoff.failed(1059.0, refused=True) == 0.5
    assert backoff.failures == 2


def test_after_real_service_the_next_failure_is_the_first() -> None:
    backoff = Backoff(0.5, 15.0, longest)
    for _ in range(5):
        backoff.failed(0.0, refused=False)
    assert backoff.served() == 0.5
    assert backoff.failures == 0
    assert backoff.failed(1000.0, refused=False) == 0.5
