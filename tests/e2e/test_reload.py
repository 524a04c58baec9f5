"""SIGHUP (contract 3.4): what is applied, what is named, what is refused; and where settings come from (3.1)."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from bridge.protocol.jsonrpc import RpcError
from bridge.transport.mi_client import MiClient
from tests.e2e.test_main_job import ready
from tests.support.bridge import Bridge
from tests.support.certs import Certificates, issue
from tests.support.janus import Janus
from tests.support.mariadb import MariaDb
from tests.support.ports import free_port
from tests.support.receivers import udp_receiver
from tests.support.site import SECONDS, Site
from tests.support.tables import mariadb_table, sqlite_table


async def test_sighup_applies_table_secrets_subscribers_and_level(tmp_path: Path, janus: Janus) -> None:
    url = sqlite_table(tmp_path / "t.db", {"gw1": janus.url})
    site = Site(tmp_path, **{"janus.janus_db_url": url, "mi.token": "old"})
    with site.bridge as bridge, udp_receiver() as events:
        other = sqlite_table(tmp_path / "other.db", {"gw1": janus.url, "gw2": janus.url})
        site.write(
            janus__janus_db_url=other,
            mi__token="new",
            events__subscribers=[{"event": "E_JANUS_STATUS", "socket": events.name}],
            log__level=4,
        )
        keys = "janus.janus_db_url, mi.token, events.subscribers, log.level"
        await site.reload(f"reload: done; changed: {keys}, table: added gw2")
        with pytest.raises(RpcError, match="Unauthorized"):
            MiClient(bridge.mi_url, token="old").call("version")
        assert _level(MiClient(bridge.mi_url, token="new").call("log_level")) == 4
        assert "connected" in (await events.receive()).decode()
        assert "restart" not in bridge.log


async def test_sighup_names_what_needs_a_restart(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.bridge as bridge:
        site.write(mi__max_body=4096, log__format="json", state__dir=str(tmp_path / "elsewhere"))
        await site.reload("reload: done")
        for key in ("mi.max_body", "log.format", "state.dir"):
            assert bridge.logged(f"reload: {key} has changed; restart the service to apply it")
        assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("mi.htp = []\n", "[mi] htp: unknown key, did you mean http?"),
        ("mi.http = [\n", "not valid TOML at "),
        ("log.level = 9\n", "[log] level = 9: must be from -3 to 4"),
    ],
)
async def test_sighup_with_a_bad_file_changes_nothing(tmp_path: Path, text: str, complaint: str) -> None:
    site = Site(tmp_path)
    with site.bridge as bridge:
        site.file.write_text(text)
        await site.reload("everything stays as it is")
        assert bridge.logged(f"reload: {site.file}: {complaint}")
        assert bridge.mi("version")


async def test_sighup_without_the_database_keeps_the_gateways(tmp_path: Path, janus: Janus) -> None:
    url = sqlite_table(tmp_path / "t.db", {"gw1": janus.url})
    site = Site(tmp_path, **{"janus.janus_db_url": url})
    with site.bridge as bridge:
        await ready(bridge)
        (tmp_path / "t.db").rename(tmp_path / "away.db")
        await site.reload(f"reload: {url}: no such file; the gateways stay as they are")
        await ready(bridge)


async def test_sighup_takes_a_new_certificate_and_keeps_the_old_one_where_it_is_bad(
    tmp_path: Path, certificates: Certificates
) -> None:
    first, second = tmp_path / "mi.pem", issue(_folder(tmp_path / "second"))
    first.write_bytes(certificates.cert.read_bytes() + certificates.key.read_bytes())
    site = Site(tmp_path, **{"mi.http_tls_cert": str(first)})
    with site.bridge as bridge:
        assert _trusts(bridge, certificates)
        first.write_text("no certificate")
        await site.reload("the certificate from before stays in use")
        assert _trusts(bridge, certificates)
        first.write_bytes(second.cert.read_bytes() + second.key.read_bytes())
        await site.reload("reload: done; changed: the content of mi.http_tls_cert")
        assert _trusts(bridge, second)
        assert not _trusts(bridge, certificates)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _trusts(bridge: Bridge, certificates: Certificates) -> bool:
    host, _, port = bridge.mi_url.removeprefix("https://").removesuffix("/mi").rpartition(":")
    with socket.create_connection((host, int(port)), SECONDS) as plain:
        try:
            certificates.context().wrap_socket(plain, server_hostname=host).close()
        except OSError:
            return False
    return True


async def test_a_password_from_systemd_and_one_that_is_wrong(tmp_path: Path, mariadb: MariaDb, janus: Janus) -> None:
    url = mariadb_table(mariadb, {"gw1": janus.url})
    _, password = url.removeprefix("mysql://").partition("@")[0].split(":")
    credential = tmp_path / "db-password"  # as LoadCredential= leaves it: mode 0400
    credential.write_text(f"{password}\n")
    credential.chmod(0o400)
    bare = url.replace(f":{password}@", "@")
    options = {"janus.janus_db_url": bare, "janus.janus_db_password_file": str(credential)}
    site = Site(tmp_path, **options)
    with site.bridge as bridge:
        await ready(bridge)
        credential.unlink()
        credential.write_text("wrong")
        await site.reload("the gateways stay as they are")
        assert bridge.logged("Access denied")
        assert password not in bridge.log
        credential.unlink()
        await site.reload(f"janus_db_password_file {credential}: No such file or directory")
        await ready(bridge)


def test_options_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    site = Site(tmp_path, **{"log.level": 1})
    environ = {**os.environ, "JANUS_BRIDGE_LOG__LEVEL": "4", "JANUS_BRIDGE_MI__HTTP_ROOT": "api"}
    arguments = ["-c", str(site.file), "-o", "log.level=2"]
    site.bridge = Bridge(tmp_path, {"log.level": 3}, arguments=arguments, environ=environ)
    with site.bridge as bridge:
        assert bridge.mi_url.endswith("/api")
        assert _level(bridge.mi("log_level")) == 3


def _level(answer: Any) -> Any:
    [process] = answer["Processes"]
    return process["Log level"]


def test_a_free_port_is_told(tmp_path: Path) -> None:
    port = free_port()
    with Bridge(tmp_path, {"mi.http": [f"127.0.0.1:{port}", "127.0.0.1:0"]}) as bridge:
        assert bridge.mi_urls[0] == f"http://127.0.0.1:{port}/mi"
