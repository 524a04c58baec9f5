"""The program where its surroundings are unusual: a FIFO, a default table that cannot be used, files that change."""

import json
import os
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from bridge.protocol.jsonrpc import RpcError
from bridge.transport.mi_client import MiClient
from tests.e2e.test_main_job import ready
from tests.support.bridge import PROGRAM, Bridge
from tests.support.certs import Certificates
from tests.support.janus import Janus
from tests.support.site import SECONDS, Site
from tests.support.tables import sqlite_table


async def over_fifo(fifo: Path, method: str) -> Any:
    """The result of an MI method, asked for as a shell script does."""
    reply = fifo.with_name("reply")
    os.mkfifo(reply)
    async with trio.lowlevel.FdStream(os.open(reply, os.O_RDONLY | os.O_NONBLOCK)) as answer:
        await trio.Path(fifo).write_text(f':reply:{{"jsonrpc": "2.0", "id": 1, "method": "{method}"}}\n')
        await trio.lowlevel.wait_readable(answer.fileno())
        result = json.loads(b"".join([chunk async for chunk in answer]))["result"]
    reply.unlink()
    return result


def site_with_fifo(folder: Path) -> Site:
    return Site(folder, **{"mi.fifo": str(folder / "fifo"), "mi.fifo_reply_dir": str(folder)})


async def test_a_fifo_is_served_and_made_anew_at_a_reload(tmp_path: Path) -> None:
    site, fifo = site_with_fifo(tmp_path), tmp_path / "fifo"
    with site.bridge as bridge:
        assert (await over_fifo(fifo, "version"))["Server"].startswith("janus-bridge")
        assert bridge.logged(f"listening on fifo {fifo}")
        fifo.unlink()
        await site.reload(f"{fifo}: the MI FIFO was removed by someone else; recreated it")
        assert (await over_fifo(fifo, "version"))["Server"].startswith("janus-bridge")


def test_a_bridge_with_a_fifo_ends_as_any_other(tmp_path: Path) -> None:
    with site_with_fifo(tmp_path).bridge as bridge:
        assert bridge.stop() == 0
    assert bridge.log.splitlines()[-1].endswith("stopped")
    assert not (tmp_path / "fifo").exists()


def test_a_default_table_of_another_version_ends_it(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    sqlite_table(tmp_path / "state" / "janus.db", {})
    with closing(sqlite3.connect(tmp_path / "state" / "janus.db")) as database, database:
        database.execute("UPDATE version SET table_version = 7")
    done = subprocess.run(Bridge(tmp_path).command, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.endswith("invalid version 7 for table 'janus' found, expected version 1; the bridge does not start")


def test_a_default_table_that_cannot_be_made_is_said_and_keeps_nobody_out(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "janus.db").write_text("this is no database, whatever its name says" * 100)
    with Bridge(tmp_path) as bridge:
        assert bridge.mi("janus_list") == {"Gateways": []}
        [line] = [line for line in bridge.log.splitlines() if "cannot create" in line]
    assert "ERROR:bridge: cannot create the default table: " in line
    assert f"{tmp_path}/state/janus.db" in line
    assert "file is not a database" in line
    assert line.endswith("fix that, then run `janus-bridge db init`")


def test_a_file_with_secrets_that_everybody_may_read_is_warned_of(tmp_path: Path) -> None:
    site = Site(tmp_path, **{"mi.token": "hunter2"})
    site.file.chmod(0o644)
    with site.bridge as bridge:
        warning = bridge.log.splitlines()[0]
    assert "WARNING" in warning
    assert warning.endswith(f"{site.file}: every user of this machine can read mi.token in it (chmod o-r)")
    assert "hunter2" not in bridge.log


def test_a_database_that_hangs_in_a_reload_does_not_delay_the_end(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as black_hole, site.bridge as bridge:
        black_hole.settimeout(SECONDS)
        site.write(janus__janus_db_url=f"mysql://u:p@127.0.0.1:{black_hole.getsockname()[1]}/d")
        bridge.reload()
        with black_hole.accept()[0]:  # it is asked, and answers nothing for the 5 s that an attempt may take
            assert bridge.process.stop(SECONDS) == 0
        assert "no answer" not in bridge.log


class OfFile(Bridge):
    """With nothing on its command line but the file."""

    @property
    def command(self) -> list[str]:
        return [str(PROGRAM), "run", *self._arguments]


async def test_a_reload_that_would_open_the_mi_to_everybody_is_refused(tmp_path: Path) -> None:
    # "127.1" is this machine, but not in so many words: a listener there needs a token.
    site = Site(tmp_path, **{"mi.http": ["127.1:0"], "mi.token": "hunter2"})
    site.bridge = OfFile(tmp_path, arguments=["-c", str(site.file)])
    with site.bridge as bridge:
        del site.options["mi.token"]
        site.write(mi__http=["127.0.0.1:0"])
        await site.reload("everything stays as it is")
        assert bridge.logged("reload: mi.http '127.1:0' can be reached from other machines")
        with pytest.raises(RpcError, match="Unauthorized"):
            MiClient(bridge.mi_url).call("version")
        assert MiClient(bridge.mi_url, token="hunter2").call("version")


async def test_a_gateway_whose_tls_file_was_changed_is_connected_anew(
    tmp_path: Path, janus_factory: Callable[..., Janus], certificates: Certificates
) -> None:
    janus = janus_factory(cert_pem=certificates.cert, cert_key=certificates.key)
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certificates.ca.read_bytes())
    url = sqlite_table(tmp_path / "t.db", {"gw1": janus.url})
    site = Site(tmp_path, **{"janus.janus_db_url": url, "janus.gateways.gw1.tls_ca": str(ca)})
    with site.bridge as bridge:
        await ready(bridge)
        await site.reload("reload: done")
        assert "leaving the connection" not in bridge.log  # the same file as before
        ca.write_bytes(certificates.stranger_ca.read_bytes())
        await site.reload("TLS: the certificate is not accepted")
        before = len(bridge.log)
        ca.unlink()
        await site.reload(f"tls_ca {ca}: No such file or directory", before)
        ca.write_bytes(certificates.ca.read_bytes())
        await site.reload("reload: done")
        await ready(bridge)


async def test_every_door_tells_and_counts_what_it_refuses(tmp_path: Path) -> None:
    """Before a method sees it: a name in CP1251, a datagram that is cut, bytes in the FIFO that are no request."""
    site = site_with_fifo(tmp_path)
    site.write(mi__datagram=[f"unix:{tmp_path}/mi.sock"])
    name = b'{"jsonrpc":"2.0","id":1,"method":"janus_send_request","params":["gw","\xc8\xe2\xe0\xed"]}'
    with site.bridge as bridge, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "client.sock"))
        sock.setblocking(False)
        client = trio.socket.from_stdlib_socket(sock)
        for request, reason in (
            (name, 'not UTF-8 at "params": byte 0xc8'),
            (name.ljust(70_000), "more than 65457 bytes"),
        ):
            await client.sendto(request, f"{tmp_path}/mi.sock")
            assert reason in json.loads(await client.recv(65_536))["error"]["data"]
        os.mkfifo(tmp_path / "reply")
        async with trio.lowlevel.FdStream(os.open(tmp_path / "reply", os.O_RDONLY | os.O_NONBLOCK)) as answer:
            (tmp_path / "fifo").write_bytes(b"nothing\n:../reply:" + name + b":reply:" + name)
            await trio.lowlevel.wait_readable(answer.fileno())
            assert b"byte 0xc8" in b"".join([chunk async for chunk in answer])
        assert (await bridge.ami("get_statistics", [["mi_refused"]]))["janus:mi_refused"] == 5
        assert bridge.logged("refused a request from ", times=5)
