"""When a line about a trouble is due."""

from bridge.throttle import Throttle


def test_it_is_due_once_until_it_is_over_or_another() -> None:
    trouble = Throttle()
    assert trouble.due("refused")
    assert not trouble.due("refused")
    assert trouble.due("timed out")
    assert trouble.over() == "timed out"
    assert trouble.over() is None
    assert trouble.due("timed out")


def test_a_pause_lies_between_two_lines() -> None:
    trouble = Throttle(60.0)
    assert trouble.due("refused", 10.0)
    assert trouble.over() == "refused"
    assert not trouble.due("refused", 69.9)
    assert not trouble.due("timed out", 69.9)
    assert trouble.over() is None
    assert trouble.due("timed out", 70.0)


def test_what_repeats_is_due_after_each_pause_with_what_was_held() -> None:
    drops = Throttle(60.0, repeat=True)
    assert drops.due("full", 0.0, times=3) == 3
    assert drops.due("full", 30.0, times=2) == 0
    assert drops.due("full", 59.0) == 0
    assert drops.due("full", 60.0, times=0) == 3
    assert drops.due("full", 200.0, times=0) == 0
    assert drops.due("full", 200.0) == 1


def test_the_rest_is_told_once() -> None:
    drops = Throttle(60.0, repeat=True)
    drops.due("full", 0.0)
    drops.due("full", 1.0, times=4)
    assert (drops.rest(), drops.rest()) == (4, 0)
