"""What a node of a cluster knows of itself and of the others over a restart: the file ``node.json``.

Owns the file. With it a bridge knows at its start, without waiting, whether the row of its node_id is its own: the
state directory is locked, so that no other process can have written it. Must not know what follows. Authority:
contract 11.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.files import read_file
from bridge.protocol.cluster import Node, NodeState
from bridge.transport.private_file import replace_file

log = logging.getLogger("bridge.state")

_FILE_MAX = 4 << 20  # bytes; a hundred nodes have 30 KB


class NodeFile:
    """A NodeMemory of one node of one cluster: of another one's, nothing counts."""

    def __init__(self, state_dir: Path, cluster_id: int, node_id: int) -> None:
        self._path = state_dir / "node.json"
        self._whose = [cluster_id, node_id]
        self.epochs: Sequence[int] = ()
        self.nodes: Sequence[Node] | None = None

    def load(self) -> None:
        """Read it; a file that cannot be used is logged and left alone."""
        try:
            content = json.loads(read_file(self._path, _FILE_MAX))
            if content["node"] != self._whose:
                return
            nodes = [
                Node(int(one), str(url), int(epoch), 0, NodeState(state)) for one, url, epoch, state in content["nodes"]
            ]
            self.epochs, self.nodes = [int(epoch) for epoch in content["epochs"]], nodes
        except FileNotFoundError:
            pass
        except OSError as exc:
            log.warning("%s: %s; the row of this node is watched until it stands still", self._path, exc.strerror)
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
            log.warning("%s: the file is damaged; the row of this node is watched until it stands still", self._path)

    async def keep(self, epochs: Sequence[int], nodes: Sequence[Node]) -> None:
        """On the disk once this returns; a failure is logged."""
        import trio  # who only reads the file has no loop, and no time to load it (cluster release)

        self.epochs, self.nodes = list(epochs), list(nodes)
        content: dict[str, Any] = {
            "node": self._whose,
            "epochs": self.epochs,
            "nodes": [[one.node_id, one.url, one.epoch, int(one.state)] for one in nodes],
        }
        try:
            await trio.to_thread.run_sync(lambda: replace_file(self._path, json.dumps(content).encode()))
        except OSError as exc:
            log.error(
                "%s cannot be written: %s; a restart waits until this node's row stands still", self._path, exc.strerror
            )
