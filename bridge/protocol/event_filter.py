"""Which events a subscriber wants, beyond their name.

Owns what a filter says and how it is written. Must not know queues. Authority: contract 7.7.

Each part that is given has to hold: the gateway is one of ``janus_ids``; the ``janus`` member of Janus's message is one
of ``kinds`` ("event", "hangup", "webrtcup" ...); the plugin that the message names is one of ``plugins``, where it
names one: a hangup names none, and is wanted with any. Status events have a gateway alone.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from bridge.protocol import codec
from bridge.protocol.event_payload import E_JANUS_EVENT

MEMBERS: Final = ("janus_id", "kind", "plugin")
MOST, MOST_TEXT = 256, 8192  # texts of a filter, and their characters: it is kept on disk


class EventFilter(NamedTuple):
    """Empty sets let everything pass."""

    janus_ids: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    plugins: frozenset[str] = frozenset()

    @classmethod
    def read(cls, members: Mapping[str, Any]) -> "EventFilter":
        """From lists of texts by MEMBERS. Raises ValueError with one line that names the part at fault."""
        for name, value in members.items():
            if name not in MEMBERS:
                raise ValueError(f"a filter has {', '.join(MEMBERS)}, and no {name!r}")
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise ValueError(f"{name} of a filter is a list of texts")
        texts = [one for value in members.values() for one in value]
        if len(texts) > MOST or sum(map(len, texts)) > MOST_TEXT:
            raise ValueError(f"a filter has {MOST} texts and {MOST_TEXT} characters at most")
        return cls(*(frozenset(members.get(name, ())) for name in MEMBERS))

    def lists(self) -> dict[str, list[str]]:
        """As ``read`` takes it."""
        return {name: sorted(part) for name, part in zip(MEMBERS, self, strict=True) if part}

    def passes(self, name: str, origin: str | None, body: str, members: codec.JsonObject | None) -> bool:
        """Whether this one is wanted. ``body`` is Janus's message as text, and ``members`` as an object, where that is
        known, whatever is in them; what MI raised has no ``origin``, and passes no filter of gateways.
        """
        if self.janus_ids and origin not in self.janus_ids:
            return False
        if name != E_JANUS_EVENT or not (self.kinds or self.plugins):
            return True
        message = codec.parse_object(body) if members is None else members
        kind = message.get("janus")
        if self.kinds and not (isinstance(kind, str) and kind in self.kinds):
            return False
        data = message.get("plugindata")
        plugin = data.get("plugin") if isinstance(data, dict) else None
        return not self.plugins or plugin is None or (isinstance(plugin, str) and plugin in self.plugins)
