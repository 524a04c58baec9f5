"""The look before the program replaces itself, and how it is started."""

import sys

import pytest
import trio

from bridge.errors import ConfigError
from bridge.transport import successor
from bridge.transport.signals import waiting
from bridge.transport.successor import become, command, fault
from tests.support.deadlines import HANG_SECONDS

pytestmark = pytest.mark.program


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def test_the_command_is_that_of_this_process() -> None:
    assert command() == [sys.executable, *sys.orig_argv[1:]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (shell("exit 0"), None),
        (shell('test "$0" = --check'), None),
        (shell("echo one >&2; echo two >&2; exit 2"), "two"),
        (shell("exit 3"), "--check ends with code 3"),
        (["/nowhere/python"], "/nowhere/python: No such file or directory"),
    ],
)
async def test_what_would_not_start_says_why(words: list[str], said: str | None) -> None:
    assert await fault(words) == said


def test_a_program_that_is_gone_after_all_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^the new program cannot be started, /nowhere/python: No such file or dir"):
        become(["/nowhere/python"], {})


async def test_what_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signals of an end wait in it, as in this process."""
    monkeypatch.setattr(successor, "LOOK", 0.02)
    with waiting(), trio.fail_after(HANG_SECONDS):
        assert await fault(shell("exec sleep 1000")) == "--check does not end"
