"""A private, real Galera of three MariaDB nodes on loopback (Debian packages ``mariadb-server-core`` and ``galera-4``):
nodes are frozen, killed and brought back by a test.

Owns the nodes, and how they come together again. Their data begin as copies of one folder, so that a node only ever
lacks what the others have in their caches, and none of the programs is needed that copy whole databases
(``wsrep_sst_ist``). Authority: Galera's manual, "Galera Parameters" and "State Transfers".

    with Galera() as galera:
        url = galera.create_database("opensips")  # mysql://opensips:PASSWORD@127.0.0.1:A,127.0.0.1:B,127.0.0.1:C/opensips
        galera.nodes[0].kill()
        galera.heal()
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.deadlines import HANG_SECONDS
from tests.support.mariadb import MariaDb, MariaDbFailed
from tests.support.ports import free_port
from tests.support.process import ChildProcess

LIBRARY = Path("/usr/lib/galera/libgalera_smm.so")
NODES = 3
SUSPECT = 1.0  # seconds of silence until a node is thought dead; 5 is Galera's default

_POLL_SECONDS = 0.02
_POSITION = re.compile(r"Recovered position: (\S+)")
# What a node leaves beside its data that is its own.
_OWN = ("galera.cache", "gvwstate.dat")


class GaleraNode(MariaDb):
    """One of them. ``start`` returns when it is one of a majority and has caught up."""

    def __init__(self, number: int, ports: Sequence[int], suspect: float) -> None:
        """``ports``: where each of the nodes hears the others. ``suspect`` as SUSPECT."""
        super().__init__()
        self._number, self._ports, self._suspect = number, ports, suspect
        self._state_port = free_port()
        self._environ = {**os.environ, "PATH": f"{Path(__file__).parent}:{os.environ['PATH']}"}  # wsrep_sst_ist
        self._first = False
        self._position: Sequence[str] = ()

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}"

    def start_first(self) -> Self:
        """As start(), without anybody to join."""
        self._first = True
        try:
            return self.start()
        finally:
            self._first = False

    def copy(self, other: "GaleraNode") -> None:
        """Take the data of one that is stopped."""
        self._folder = Path(tempfile.mkdtemp(prefix="galera-"))
        shutil.copytree(other.folder / "data", self.folder / "data", ignore=shutil.ignore_patterns(*_OWN))

    def launch(self) -> None:
        """Begin to start: where all nodes are down, each waits for the others."""
        self._process = self._spawn(self.folder)

    @property
    def synced(self) -> int:
        """How many nodes its cluster has, while it takes part in it; else 0."""
        if not self.listening:
            return 0
        status = dict(self.execute("SHOW STATUS LIKE 'wsrep_%'"))
        caught_up = status["wsrep_ready"] == "ON" and status["wsrep_local_state_comment"] == "Synced"
        return int(status["wsrep_cluster_size"]) if caught_up else 0

    def _await_ready(self, process: ChildProcess) -> None:
        super()._await_ready(process)
        _wait(lambda: self.synced > 0, self)

    def _spawn(self, folder: Path) -> ChildProcess:
        self._position = ()
        saved = folder / "data" / "grastate.dat"
        if saved.exists() and "seqno:   -1" in saved.read_text():  # it was killed: its data know how far it came
            command = [*self._command(folder), "--wsrep-recover"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
            self._position = (f"--wsrep-start-position={_POSITION.findall(done.stderr)[-1]}",)
        return super()._spawn(folder)

    def _command(self, folder: Path) -> list[str]:
        here = f"tcp://{self.host}"
        suspect = self._suspect
        provider = {
            "gmcast.listen_addr": f"{here}:{self._ports[self._number]}",
            "ist.recv_addr": f"{here}:{self._state_port}",
            "gcache.size": "16M",
            "evs.suspect_timeout": f"PT{suspect:g}S",
            "evs.inactive_timeout": f"PT{2 * suspect:g}S",
            "evs.install_timeout": f"PT{suspect:g}S",
            "evs.keepalive_period": f"PT{suspect / 5:g}S",
            "evs.join_retrans_period": f"PT{suspect / 5:g}S",
            "evs.inactive_check_period": f"PT{suspect / 10:g}S",
        }
        return [
            *super()._command(folder),
            *("--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--wsrep-on=ON", f"--wsrep-provider={LIBRARY}"),
            *(f"--wsrep-node-address={self.host}", f"--wsrep-node-name=node{self._number + 1}"),
            f"--wsrep-cluster-address=gcomm://{','.join(f'{self.host}:{port}' for port in self._ports)}",
            f"--wsrep-provider-options={';'.join(f'{name}={value}' for name, value in provider.items())}",
            *("--wsrep-sst-method=ist", *self._position, *(["--wsrep-new-cluster"] if self._first else [])),
        ]


class Galera:
    """Three nodes, running. ``with Galera() as galera:``."""

    def __init__(self, suspect: float = SUSPECT) -> None:
        ports = [free_port() for _ in range(NODES)]
        self.nodes = [GaleraNode(number, ports, suspect) for number in range(NODES)]

    def __enter__(self) -> Self:
        if not LIBRARY.exists():
            raise MariaDbFailed(f"{LIBRARY} is not installed (Debian package galera-4)")
        try:
            first, *others = self.nodes
            first.start_first().stop()  # what it writes then is where the history of all begins
            for node in others:
                node.copy(first)
            first.start_first()
            for node in others:  # one after the other: two who join at once hold each other up
                node.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all of them and remove their folders."""
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            node.close()

    def heal(self) -> None:
        """Whatever befell them: return when all three are one cluster again."""
        for node in self.nodes:
            if node.running:
                node.thaw()
            else:
                node.launch()
        for node in self.nodes:
            _wait(lambda node=node: node.synced == NODES, node)  # type: ignore[misc]

    def execute(self, *statements: str, database: str | None = None) -> list[tuple[object, ...]]:
        """On the first node that takes part; the rows of the last statement, as all nodes have them. Raises
        RuntimeError where none does.
        """
        node = next((node for node in self.nodes if node.running and node.synced), None)
        if node is None:
            raise RuntimeError("no node takes part in the Galera")
        return node.execute("SET SESSION wsrep_sync_wait = 1", *statements, database=database)

    def create_database(self, name: str | None = None) -> str:
        """As MariaDb's; its URL names every node."""
        url = self.nodes[0].create_database(name)
        return url.replace(self.nodes[0].place, ",".join(node.place for node in self.nodes))

    def beginning_with(self, number: int, url: str) -> str:
        """The URL that tries this node first, as a bridge beside it would have it."""
        places = [node.place for node in self.nodes]
        return url.replace(",".join(places), ",".join(places[number:] + places[:number]))


def _wait(condition: Callable[[], bool], node: GaleraNode) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while not condition():
        if time.monotonic() > deadline or not node.running:
            raise MariaDbFailed(f"{node!r} is not in its cluster:\n{(node.folder / 'mariadb.log').read_text()[-4000:]}")
        time.sleep(_POLL_SECONDS)
