"""What is done with a long message of Janus outside the event loop: all of it that takes time.

Owns that work; it runs in a thread. Must not know connections, requests or sessions.
"""

import gc
from typing import Any

from bridge.protocol import codec, plugin_types
from bridge.protocol.codec import JsonObject


def prepare(text: str, wide_strings: bool) -> tuple[Any, JsonObject | None]:
    """The message as Janus means it, and a second one as others get it."""
    gc.disable()  # a hundred thousand new objects, none of them garbage, would be looked through again and again
    try:
        message = codec.parse(text)
        codec.refuse_surrogates(message)
        if not isinstance(message, dict):
            return message, None
        shown = codec.parse(text)
    finally:
        gc.enable()
    if wide_strings:
        plugin_types.widen(shown)
    return message, shown
