"""What a log line looks like, where it goes, and what becomes of a flood (contract 8.3)."""

import io
import json
import logging
import pickle
import re
from collections.abc import Callable, Iterator

import pytest

from bridge import logs

Log = Callable[..., io.StringIO]


@pytest.fixture
def log_to() -> Iterator[Log]:
    """``log_to(level, form)``: the stream that the tree "bridge" logs to."""
    root = logging.getLogger("bridge")
    before = root.handlers[:], root.level, root.propagate, logging.raiseExceptions

    def start(level: int = 3, form: str = "text", *, journal: bool = False) -> io.StringIO:
        stream = io.StringIO()
        logs.set_up(level, form, stream, journal=journal)
        return stream

    yield start
    root.handlers[:], root.level, root.propagate, logging.raiseExceptions = before
    logging.getLogger("bridge").setLevel(before[1])


@pytest.fixture
def flood() -> tuple["Clock", logging.Logger, io.StringIO]:
    """A clock, a logger of its own whose handler goes by it, and what was written."""
    clock, stream = Clock(), io.StringIO()
    logger = logging.Logger("bridge.link")
    logger.addHandler(logs.LogHandler(stream, clock))
    return clock, logger, stream


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_line_is_as_opensips_writes_it(log_to: Log) -> None:
    stream = log_to()
    logging.getLogger("bridge.link").warning("%s: %s", "gw1", "refused")
    assert re.fullmatch(
        r"[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \[\d+\] WARNING:bridge\.link: gw1: refused\n", stream.getvalue()
    )


@pytest.mark.parametrize(
    ("level", "written"),
    [
        (-3, ["ALERT"]),
        (-2, ["ALERT", "CRITICAL"]),
        (-1, ["ALERT", "CRITICAL", "ERROR"]),
        (1, ["ALERT", "CRITICAL", "ERROR", "WARNING"]),
        (2, ["ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE"]),
        (3, ["ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO"]),
        (4, ["ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"]),
    ],
)
def test_levels_are_those_of_opensips(log_to: Log, level: int, written: list[str]) -> None:
    stream = log_to(level, "json")
    for number in (60, 50, 40, 30, 25, 20, 10):
        logging.getLogger("bridge").log(number, "x")
    assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == written


@pytest.mark.parametrize(("number", "priority"), [(60, 1), (50, 2), (40, 3), (30, 4), (25, 5), (20, 6), (10, 7)])
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_journal_gets_priorities_instead_of_times(log_to: Log, form: str, number: int, priority: int) -> None:
    stream = log_to(4, form, journal=True)
    logging.getLogger("bridge.db").log(number, "down")
    prefix, text = stream.getvalue()[:3], stream.getvalue()[3:]
    assert prefix == f"<{priority}>"
    if form == "text":
        assert text.endswith(":bridge.db: down\n")
        assert text.split(":")[0].isalpha()
    else:
        assert json.loads(text)["message"] == "down"


def test_every_line_of_a_traceback_has_the_priority(log_to: Log) -> None:
    stream = log_to(journal=True)
    try:
        raise ValueError("of ours\nwith \x1b[2J in it")
    except ValueError:
        logging.getLogger("bridge.mi").exception("MI method %s failed", "which")
    lines = stream.getvalue().splitlines()
    assert len(lines) > 2
    assert all(line.startswith("<3>") and line.isprintable() for line in lines)


def test_json_has_one_object_a_line(log_to: Log) -> None:
    stream = log_to(3, "json")
    try:
        raise ValueError("of ours")
    except ValueError:
        logging.getLogger("bridge.mi").exception("MI method %s failed", "wh\nich")
    [line] = stream.getvalue().splitlines()
    row = json.loads(line)
    assert (row["level"], row["logger"], row["message"]) == ("ERROR", "bridge.mi", "MI method wh\nich failed")
    assert row["exception"].endswith("ValueError: of ours")
    assert isinstance(row["time"], float)


@pytest.mark.parametrize("hostile", ["a\nFake line", "\x1b[2J", "\r", "\u2028", "\u202e", "\udc80"])
def test_a_hostile_text_stays_in_its_line(log_to: Log, hostile: str) -> None:
    stream = log_to()
    logging.getLogger("bridge.link").warning("%s: Janus says %s", "gw1", hostile)
    [line] = stream.getvalue().split("\n")[:-1]
    assert line.isprintable()


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_hidden_in_tracebacks_too(form: str, log_to: Log) -> None:
    log_to()
    stream = io.StringIO()
    logs.set_up(3, form, stream, hide=lambda text: text.replace("hunter22", "***"))
    error = ValueError("of hunter22")
    try:
        raise error
    except ValueError:
        logging.getLogger("bridge.mi").exception("%s", "hunter22")
    assert "hunter22" not in stream.getvalue()
    assert stream.getvalue().count("***") == 2


def test_a_secret_at_the_place_of_a_cut_leaves_nothing_of_it(log_to: Log) -> None:
    log_to()
    stream = io.StringIO()
    logs.set_up(3, "text", stream, hide=lambda text: text.replace("hunter22", "***"))
    logging.getLogger("bridge.mi").error("%s", "x" * (logs.MAX_ARGUMENT - 4) + "hunter22")
    assert "x***" in stream.getvalue()
    assert "hunt" not in stream.getvalue()


def test_a_stream_that_takes_nothing_harms_nobody(capsys: pytest.CaptureFixture[str], log_to: Log) -> None:
    log_to()
    full = open("/dev/full", "w")  # noqa: SIM115 -- its close fails too
    logs.set_up(3, "text", full)
    logging.getLogger("bridge").error("x")
    with pytest.raises(OSError, match="No space left"):
        full.close()
    assert capsys.readouterr().err == ""


def test_a_flood_is_cut_and_says_so(flood: tuple[Clock, logging.Logger, io.StringIO]) -> None:
    clock, logger, stream = flood
    for number in range(1, 1001):
        clock.now += 0.01
        logger.warning("%s: message %d is dropped", "gw1", number)
    lines = stream.getvalue().splitlines()
    assert lines[:9] == [f"gw1: message {number} is dropped" for number in range(1, 10)]
    assert lines[9:] == ["gw1: message 10 is dropped; more like it are only counted for 60 s"]


def test_the_count_is_told_when_the_window_is_over(flood: tuple[Clock, logging.Logger, io.StringIO]) -> None:
    clock, logger, stream = flood
    for number in range(1, 1001):
        logger.warning("%s: message %d is dropped", "gw1", number)
    clock.now += logs.WINDOW
    logger.info("something else")
    assert stream.getvalue().splitlines()[10:] == [
        "gw1: message 1000 is dropped (the last of 990 that were only counted)",
        "something else",
    ]
    logger.warning("%s: message %d is dropped", "gw1", 1001)
    assert stream.getvalue().splitlines()[-1] == "gw1: message 1001 is dropped"


def test_a_flood_about_one_gateway_hides_nothing_about_another(
    flood: tuple[Clock, logging.Logger, io.StringIO],
) -> None:
    _, logger, stream = flood
    for number in range(100):
        logger.warning("%s: is gone", "gw1")
        if number == 50:
            logger.warning("%s: is back", "gw1")
    assert stream.getvalue().splitlines()[10:] == ["gw1: is back"]
    for janus_id in ("gw2", "gw3"):
        logger.warning("%s: is gone", janus_id)
    assert stream.getvalue().splitlines()[11:] == ["gw2: is gone", "gw3: is gone"]


def test_what_callers_name_makes_no_kind_of_its_own(flood: tuple[Clock, logging.Logger, io.StringIO]) -> None:
    """A table of what strangers wrote, and a log of it, once had hundreds of megabytes."""
    _, logger, stream = flood
    logger.name = "bridge.evi"
    for number in range(1000):
        logger.warning("event_subscribe %s refused: %s", f"{number}" + "x" * 100_000, "no such event")
    lines = stream.getvalue().splitlines()
    assert len(lines) == logs.FLOOD
    assert max(map(len, lines)) < logs.MAX_ARGUMENT + 200
    handler = logger.handlers[0]
    assert isinstance(handler, logs.LogHandler)
    assert len(pickle.dumps(handler._floods)) < 10_000


def test_what_is_told_is_cut_and_its_length_said(log_to: Log) -> None:
    stream = log_to()
    logging.getLogger("bridge.db").error("%s: %s, %d times, %r", OSError("x" * 5_000), "y" * 5_000, 3, b"z" * 50)
    line = stream.getvalue().partition("ERROR:bridge.db: ")[2]
    told = logs.MAX_ARGUMENT
    expected = f"{'x' * told}... (5000 characters): {'y' * told}... (5000 characters), 3 times, {b'z' * 50!r}\n"
    assert line == expected


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_is_longer_than_it_may_be(log_to: Log, form: str) -> None:
    stream = log_to(3, form)
    try:
        raise ValueError("x\n" * 1000 + "\x00" * 50_000)
    except ValueError:
        logging.getLogger("bridge.mi").exception("\x01" * 50_000)
    text = stream.getvalue()
    lines = (
        text.splitlines()
        if form == "text"
        else [json.loads(text)["message"], *json.loads(text)["exception"].splitlines()]
    )
    assert len(lines) <= 1 + logs.MAX_TRACEBACK
    assert max(map(len, lines)) <= logs.MAX_LINE + 100


def test_few_lines_leave_no_summary(flood: tuple[Clock, logging.Logger, io.StringIO]) -> None:
    clock, logger, stream = flood
    for _ in range(3):
        logger.warning("%s: is gone", "gw1")
        clock.now += logs.WINDOW
    assert stream.getvalue().splitlines() == ["gw1: is gone"] * 3


def test_memory_is_bounded_and_nothing_counted_is_forgotten(
    flood: tuple[Clock, logging.Logger, io.StringIO],
) -> None:
    _, logger, stream = flood
    for janus_id in ["gw1"] * 12 + [f"other-{number}" for number in range(logs.KINDS + 1)]:
        logger.warning("%s: is gone", janus_id)
    assert "gw1: is gone (the last of 2 that were only counted)" in stream.getvalue().splitlines()


def test_debug_lines_are_all_written(flood: tuple[Clock, logging.Logger, io.StringIO]) -> None:
    _, logger, stream = flood
    for number in range(3 * logs.FLOOD):
        logger.debug("%s: command %d", "gw1", number)
    assert len(stream.getvalue().splitlines()) == 3 * logs.FLOOD
