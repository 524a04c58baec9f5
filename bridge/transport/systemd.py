"""What systemd wants to hear: sd_notify(3).

Owns the datagrams to ``$NOTIFY_SOCKET``. Does nothing where there is none.
"""

import os
import socket

from bridge.protocol.numbers import read_decimal


class Notifier:
    """``environ`` is the process's environment."""

    def __init__(self, environ: "os._Environ[str] | dict[str, str]") -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        usec = read_decimal(environ.get("WATCHDOG_USEC", ""), 2**64 - 1)
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # Seconds between two signs of life: half of what systemd waits, as its manual advises.
        self.watchdog_interval = usec / 2_000_000 if usec and mine else None

    def tell(self, *lines: str) -> None:
        """Send ``READY=1``, ``STATUS=...``, ``WATCHDOG=1`` ... A systemd that does not listen is no reason to stop."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto("\n".join(lines).encode(), address)
        except OSError:
            pass
