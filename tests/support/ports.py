"""Free loopback ports for servers that want to be told one (Janus, MariaDB).

They come from below Linux's ephemeral range, so that no outgoing connection of a parallel test can take one between its
release here and its use, nor while a server is restarted on it. Nothing is reserved: who loses a race tries another.
"""

import random
import socket
from pathlib import Path

_LOWEST = 10_000


def _highest() -> int:
    first_ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0]
    return max(int(first_ephemeral) - 1, _LOWEST + 1_000)


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
    highest = _highest()
    for _ in range(1_000):
        port = random.SystemRandom().randint(_LOWEST, highest)
        if is_free(port):
            return port
    raise RuntimeError(f"no free port on 127.0.0.1 between {_LOWEST} and {highest}")
