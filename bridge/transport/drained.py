"""Which gateways drain, kept in the state directory: a restart must not send new calls to a Janus under maintenance.

Owns the file. Must not know what draining means.
"""

import json
import logging
from collections.abc import Collection
from pathlib import Path

import trio

from bridge.errors import BridgeError
from bridge.files import read_file
from bridge.transport.private_file import replace_file

log = logging.getLogger("bridge.link")

_FILE_MAX = 16 << 20  # bytes


class DrainedGateways:
    """``path`` is the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def save(self, janus_ids: Collection[str]) -> None:
        """Replace the file. Raises BridgeError: it holds until the bridge ends, and no longer."""
        content = json.dumps(sorted(janus_ids)).encode()
        try:
            await trio.to_thread.run_sync(replace_file, self._path, content)
        except OSError as exc:
            raise BridgeError(f"{self._path}: {exc.strerror}; it holds until the bridge is restarted") from None

    def load(self) -> list[str]:
        """The janus_ids. A file that cannot be used is logged, and counts as empty."""
        try:
            content = json.loads(read_file(self._path, _FILE_MAX))
            if isinstance(content, list) and all(isinstance(item, str) for item in content):
                return content
            reason = "the file is damaged"
        except FileNotFoundError:
            return []
        except OSError as exc:
            reason = exc.strerror or str(exc)
        except (ValueError, RecursionError):
            reason = "the file is damaged"
        log.error("%s: %s; no gateway is drained: run janus_drain again", self._path, reason)
        return []
