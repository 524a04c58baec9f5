"""What the schema says of a value beyond its type: the pattern of a text, the items of a list.

Owns these pieces of schemas/config.schema.json, which ``python -m tools.settings`` puts together. Must not know any
setting by name. Authority: JSON Schema 2020-12.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from bridge.protocol.caller import ROLES
from bridge.protocol.event_filter import MEMBERS
from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS
from bridge.protocol.reply_socket import FORMS

Shape: TypeAlias = Mapping[str, Any]

TEXTS: Final[Shape] = {"items": {"type": "string"}}
TEXTS_BY_NAME: Final[Shape] = {"additionalProperties": {"type": "string"}}


def matching(pattern: str) -> Shape:
    """A text that matches as a whole."""
    return {"pattern": f"^{pattern}$"}


def tables(required: tuple[str, ...], members: Mapping[str, Shape]) -> Shape:
    """A list of tables with these members and no others."""
    table = {"type": "object", "required": list(required), "additionalProperties": False, "properties": dict(members)}
    return {"items": table}


SUBSCRIBERS: Final = tables(
    ("event", "socket"),
    {
        "event": {"description": "which event", "enum": [E_JANUS_EVENT, E_JANUS_STATUS]},
        "socket": {
            "description": FORMS,
            "type": "string",
        },
        "reliable": {"description": "tcp: only: await an answer to each event", "type": "boolean", "default": False},
        "filter": {
            "description": "only events of these gateways, of these kinds of Janus message, of these plugins",
            "type": "object",
            "additionalProperties": False,
            "properties": {name: {"type": "array", **TEXTS} for name in MEMBERS},
        },
    },
)
GRANTS: Final = tables(
    ("role",),
    {
        "role": {"description": "what they may do", "enum": list(ROLES)},
        "token": {"description": "what they show over HTTP", "type": "string"},
        "users": {"description": "who they are on unix sockets: names or numbers", "type": "array", **TEXTS},
        "groups": {"description": "or a group that they are in", "type": "array", **TEXTS},
    },
)
