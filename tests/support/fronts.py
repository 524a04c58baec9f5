"""Real web fronts before a Janus: haproxy and nginx (Debian ``haproxy``, ``nginx-light``), private, on a free port.

Owns the processes and what is around the lines that a test is about. Synchronous, as janus.py and for the same reasons.
"""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.deadlines import HANG_SECONDS
from tests.support.ports import free_port
from tests.support.process import ChildProcess

UPGRADE = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"


class FrontFailed(Exception):
    """It did not start; the text is what it printed."""


@contextmanager
def nginx(folder: Path, janus_port: int, http: str = "", server: str = "", *, tls: str = "") -> Iterator[int]:
    """An nginx that hands everything to a Janus; its port. ``http`` and ``server`` are lines for these blocks;
    ``tls`` those with the certificate.
    """
    port = free_port()
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{http}\n"
        f"server {{ listen 127.0.0.1:{port} {'ssl' if tls else ''}; {tls}\n{server}\n"
        f"location / {{ proxy_pass http://127.0.0.1:{janus_port}; {UPGRADE} }} }} }}\n"
    )
    with _running(["nginx", "-p", str(folder), "-e", "stderr", "-c", "nginx.conf"], folder / "nginx.log", port):
        yield port


@contextmanager
def haproxy(folder: Path, janus_port: int, *rules: str, beside: Sequence[int] = ()) -> Iterator[int]:
    """A haproxy that hands everything to a Janus; its port. ``rules`` stand in its frontend. ``beside``: the ports of
    others, which take turns with it, a connection each.
    """
    port = free_port()
    lines = [
        "defaults",
        "mode http",
        "timeout connect 5s",
        "timeout client 60s",
        "timeout server 60s",
        "frontend front",
        f"bind 127.0.0.1:{port}",
        *rules,
        "default_backend janus",
        "backend janus",
        "balance roundrobin",
        *(f"server janus{number} 127.0.0.1:{server}" for number, server in enumerate((janus_port, *beside))),
    ]
    (folder / "haproxy.cfg").write_text("\n".join(lines) + "\n")
    with _running(["haproxy", "-db", "-f", str(folder / "haproxy.cfg")], folder / "haproxy.log", port):
        yield port


@contextmanager
def _running(command: list[str], log: Path, port: int) -> Iterator[None]:
    process = ChildProcess(command, log)
    try:
        until = time.monotonic() + HANG_SECONDS
        while not _accepts(port):
            if process.exit_code is not None or time.monotonic() > until:
                raise FrontFailed(process.output)
            time.sleep(0.005)
        yield
    finally:
        process.stop(HANG_SECONDS)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
