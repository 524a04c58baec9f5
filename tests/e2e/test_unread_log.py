"""A bridge whose log nobody reads: its pipe is full before it starts."""

import os
import signal
import socket
import subprocess
from pathlib import Path

from tests.support.bridge import PROGRAM
from tests.support.deadlines import HANG_SECONDS
from tests.support.mi_client import call
from tests.support.ports import free_port


def test_an_unread_log_delays_nobody(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/mi"
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.write(writer, b"-" * (1 << 20))
    os.set_blocking(writer, True)
    options = ["-o", f'mi.http=["{url[7:-3]}"]', "-o", f'state.dir="{tmp_path}/state"', "-o", "log.level=4"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(HANG_SECONDS)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        command = [str(PROGRAM), "run", *options]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=writer, env=environ) as process:
            try:
                assert b"READY=1" in systemd.recv(4096)
                assert call(url, "get_statistics", [["log_drops"]]) == {"janus:log_drops": 0}
                process.send_signal(signal.SIGTERM)
                assert process.wait(HANG_SECONDS) == 0
            finally:
                process.kill()
    os.close(writer)
    os.close(reader)
