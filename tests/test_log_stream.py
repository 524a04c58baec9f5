"""A log that nobody reads: lines are dropped, counted and told, and who logs never waits."""

import os
import threading
from collections.abc import Iterator

import pytest

from bridge.log_stream import LogStream

CAPACITY = 4096
LINE = "x" * 99 + "\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """An end to read, and one to write that is full."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.write(writer, b"-" * (1 << 20))
    os.set_blocking(writer, True)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def told(lost: int) -> str:
    return f"{lost} lost\n"


def lines(reader: int, stream: LogStream) -> list[str]:
    """All that comes until the stream has nothing left."""
    done = threading.Thread(target=stream.close, args=(10,))
    done.start()
    os.set_blocking(reader, False)
    text = b""
    while True:
        alive = done.is_alive()
        try:
            text += os.read(reader, 1 << 20)
        except BlockingIOError:
            if not alive:
                return text.decode().lstrip("-").splitlines()


def test_who_logs_never_waits_and_what_is_lost_is_told(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    stream = LogStream(writer, told, CAPACITY)
    for _ in range(100):
        stream.write(LINE)
    assert stream.dropped == 60  # 40 of 100 bytes have room
    assert lines(reader, stream) == [LINE[:-1]] * 40 + ["60 lost"]
    stream.write("again\n")
    assert lines(reader, stream) == ["again"]


def test_the_end_comes_in_time(pipe: tuple[int, int]) -> None:
    stream = LogStream(pipe[1], told)
    stream.write(LINE)
    stream.close(0.01)
    assert lines(pipe[0], stream) == [LINE[:-1]]


def test_a_descriptor_that_somebody_made_non_blocking(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    stream = LogStream(pipe[1], told)
    stream.write(LINE)
    assert lines(pipe[0], stream) == [LINE[:-1]]
    assert stream.dropped == 0


def test_a_reader_who_has_left_costs_lines_and_nothing_else() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = LogStream(writer, told)
    stream.write(LINE)
    stream.close(10)
    assert stream.dropped == 1
    os.close(writer)


def test_a_line_longer_than_all_room_is_written(pipe: tuple[int, int]) -> None:
    stream = LogStream(pipe[1], told, capacity=10)
    stream.write(LINE)
    assert lines(pipe[0], stream) == [LINE[:-1]]


def test_any_text_becomes_bytes(pipe: tuple[int, int]) -> None:
    stream = LogStream(pipe[1], told)
    stream.write("a\udc80é\n")
    assert lines(pipe[0], stream) == ["a\\udc80é"]
