"""One debug line a command, at its outcome: what an operator sees at ``log_level 4``.

Owns the words. Neither body nor secrets of a command stand in them. Callers ask ``ON()`` first: a command must not pay
for a line that is not written.
"""

import logging
from functools import partial
from typing import Final

from bridge.core.pending import PendingRequest
from bridge.errors import BridgeError
from bridge.protocol.codec import JsonObject

log = logging.getLogger("bridge.command")

ON: Final = partial(log.isEnabledFor, logging.DEBUG)


def answered(janus_id: str, request: PendingRequest, answer: JsonObject, seconds: float) -> None:
    """Janus answered so many seconds after the command was accepted."""
    error = answer.get("error") if answer.get("janus") == "error" else None
    code = error.get("code") if isinstance(error, dict) else error
    _write(janus_id, request, "answered" if code is None else f"error {code}", seconds)


def failed(janus_id: str, request: PendingRequest, error: BridgeError, seconds: float) -> None:
    """It was not accepted, or ended without an answer."""
    _write(janus_id, request, f"{error.code} {error.data or error}", seconds)


def _write(janus_id: str, request: PendingRequest, outcome: str, seconds: float) -> None:
    handle = "-" if request.handle_id is None else request.handle_id
    transaction = "-" if request.caller is None else ascii(request.caller)
    words = "%s: %s handle=%s transaction=%s ms=%.3f outcome: %s"
    log.debug(words, janus_id, ascii(request.command.name)[1:-1], handle, transaction, seconds * 1000, outcome)
