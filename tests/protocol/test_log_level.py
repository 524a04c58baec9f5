import logging

import pytest

from bridge.protocol.log_level import from_python, to_python


@pytest.mark.parametrize("level", [-3, -2, -1, 1, 2, 3, 4])
def test_levels_go_there_and_back(level: int) -> None:
    assert from_python(to_python(level)) == level


def test_levels_mean_what_logging_means() -> None:
    assert [to_python(level) for level in (-2, -1, 1, 3, 4)] == [
        logging.CRITICAL,
        logging.ERROR,
        logging.WARNING,
        logging.INFO,
        logging.DEBUG,
    ]
    assert logging.INFO < to_python(2) < logging.WARNING
    assert to_python(-3) > logging.CRITICAL


def test_numbers_that_are_no_level_are_taken_as_the_next_that_is() -> None:
    assert to_python(99) == logging.DEBUG
    assert to_python(-99) == to_python(-3)
    assert to_python(0) == logging.ERROR
    assert [from_python(threshold) for threshold in (0, 15, 22, 45, 1000)] == [4, 3, 2, -2, -3]
