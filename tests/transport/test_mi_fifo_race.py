"""A reply FIFO that is another one by the time it is opened."""

import os
from pathlib import Path

import pytest

from bridge.transport import mi_fifo


async def test_what_was_put_in_its_place_after_the_look_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply, other, lstat = tmp_path / "reply", tmp_path / "other", os.lstat
    for fifo in (reply, other):
        os.mkfifo(fifo)
    reader = os.open(other, os.O_RDONLY | os.O_NONBLOCK)

    def look(path: str) -> os.stat_result:
        found = lstat(path)
        if path == str(reply):
            other.rename(reply)  # between the look and the open
        return found

    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", look)
        before = os.listdir("/proc/self/fd")
        with pytest.raises(ValueError, match=f"'{reply}' cannot be used: it was replaced while it was opened"):
            await mi_fifo._open_reply(f"{tmp_path}/", "reply")
        assert os.listdir("/proc/self/fd") == before
    assert os.read(reader, 1) == b""  # nobody has it open for writing
    os.close(reader)
