"""What a command says, to be compared."""

from typing import Any

from bridge.protocol.command import JanusCommand

_FIELDS = [
    "name",
    "members",
    "text",
    "caller",
    "session_id",
    "handle_id",
    "new_id",
    "plugin",
    "strange",
    "kind",
    "verb",
]


def shape(command: JanusCommand) -> list[Any]:
    """All of it."""
    return [getattr(command, name) for name in _FIELDS]
