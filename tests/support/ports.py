"""Free loopback ports for servers that want to be told one (Janus, MariaDB).

They come from below Linux's ephemeral range, so that no outgoing connection of a parallel test can take one between its
release here and its use, nor while a server is restarted on it. Each process of a run has a part of them to itself, and
goes through it in turn: none gives what another has just given, or leaves closed for a while. Nothing is reserved: who
loses a race with a program that is none of ours tries another.
"""

import os
import random
import socket
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

_LOWEST = 10_000


def _highest() -> int:
    first_ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0]
    return max(int(first_ephemeral) - 1, _LOWEST + 1_000)


def own(worker: str, workers: int) -> range:
    """The ports of pytest-xdist's ``gw0``, ``gw1`` ...: disjoint, and together all that there are."""
    return range(_LOWEST, _highest() + 1)[int(worker.removeprefix("gw")) :: workers]


def _in_turn() -> Iterator[int]:
    ports = own(os.environ.get("PYTEST_XDIST_WORKER", "gw0"), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    return islice(cycle(ports), random.SystemRandom().randrange(len(ports)), None)


_PORTS = _in_turn()


def is_free(port: int) -> bool:
    """Whether a server could listen on this TCP port of 127.0.0.1 at this moment."""
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: connections in TIME_WAIT do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on at this moment."""
    for port in islice(_PORTS, 1_000):
        if is_free(port):
            return port
    raise RuntimeError("no free port on 127.0.0.1: of 1,000 that were tried each is taken")
