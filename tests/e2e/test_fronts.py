"""A Janus behind an nginx with TLS: what is secret reaches the front, changes by SIGHUP, and is shown nowhere."""

import json
from pathlib import Path

import trio
import trustme

from tests.e2e.test_main_job import attach, message, ready
from tests.e2e.test_pages import PATHS, get
from tests.support.bridge import Bridge
from tests.support.fronts import nginx
from tests.support.janus import Janus
from tests.support.receivers import udp_receiver
from tests.support.site import Site
from tests.support.tables import sqlite_table

NAME, OTHER = "janus.example.org", "other.example.org"
SECRET = "S3CR3T"


async def reconnected(bridge: Bridge, times: int) -> None:
    while True:
        [gateway] = (await bridge.ami("janus_list"))["Gateways"]
        if (gateway["state"], gateway["reconnects"]) == ("ready", times):
            return
        await trio.sleep(0.005)


async def logged(bridge: Bridge, text: str) -> None:
    while text not in bridge.log:  # noqa: ASYNC110 - a file tells nobody
        await trio.sleep(0.005)


async def test_headers_and_the_name_in_tls_are_reloaded_and_secrets_shown_nowhere(tmp_path: Path, janus: Janus) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert(NAME, OTHER)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "all.pem")
    lines = f"ssl_certificate {tmp_path}/all.pem; ssl_certificate_key {tmp_path}/all.pem;"
    rules = f'if ($cookie_seat !~ "^{SECRET}") {{ return 403; }} if ($http_authorization = "") {{ return 401; }}'
    gateway = "janus.gateways.gw1"
    with nginx(tmp_path, janus.port, server=rules, tls=lines) as port, udp_receiver() as events:
        url = f"wss://user:{SECRET}%2F@127.0.0.1:{port}/janus"
        site = Site(
            tmp_path,
            **{
                "janus.janus_db_url": sqlite_table(tmp_path / "t.db", {"gw1": url}),
                "events.subscribers": [{"event": "E_JANUS_STATUS", "socket": events.name}],
                "log.level": 4,
                f"{gateway}.tls_ca": str(tmp_path / "ca.pem"),
                f"{gateway}.tls_server_name": NAME,
                f"{gateway}.headers": {"Cookie": "seat=none"},
            },
        )
        with site.bridge as bridge:
            await logged(bridge, "the peer answered the WebSocket upgrade with HTTP 403")
            site.write(janus__gateways__gw1__headers={"Cookie": f"seat={SECRET}1"})
            await site.reload("reload: done")
            await ready(bridge)
            handle = await attach(bridge)
            await site.reload("reload: done")
            assert "leaving the connection" not in bridge.log  # nothing changed
            site.write(janus__gateways__gw1__headers={"Cookie": f"seat={SECRET}2"})
            await site.reload("reload: done")
            await reconnected(bridge, 1)
            site.write(janus__gateways__gw1__tls_server_name=OTHER)
            await site.reload("reload: done")
            await reconnected(bridge, 2)
            assert (await bridge.send("gw1", message(handle, {"n": 1})))["janus"] == "success"
            shown = [bridge.log, json.dumps([bridge.mi("janus_list"), bridge.mi("arg")])]
            shown += [(await get(bridge, path)).body.decode() for path in PATHS]
            event = (await events.receive()).decode()
            assert f"wss://127.0.0.1:{port}/janus" in event
            assert not [text for text in (*shown, event) if SECRET in text or "user:" in text]
