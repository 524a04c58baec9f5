"""Behind haproxy and nginx, which judge the upgrade request before a real Janus sees it (contract 5.3)."""

import re
import socket
from base64 import b64encode
from hashlib import sha1
from pathlib import Path
from typing import Any

import trio
import trustme

from bridge.protocol.upgrade import refusal
from bridge.transport.tls import client_context
from tests.support.fronts import haproxy, nginx
from tests.support.janus import Janus
from tests.support.linkbed import LinkBed, running

NAME = "janus.example.org"
BASIC = "auth_basic janus; auth_basic_user_file users;"


class Signpost(trio.abc.HostnameResolver):
    """Leads to one port of this machine, whatever port is asked for: 80 and 443 are not ours to listen on."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def getaddrinfo(self, host: Any, port: Any, *_rest: Any, **_more: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", self._port))]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


async def outcome(url: str, port: int | None = None, **options: Any) -> str:
    """ "ready", or why it is not."""
    bed = LinkBed()
    bed.set_options(**options)
    before = trio.socket.set_custom_hostname_resolver(None if port is None else Signpost(port))
    try:
        async with running(bed, {"gw": url}):
            link = bed.registry.find("gw")
            await bed.until(lambda: link.shown_state == "ready" or link.last_error is not None)
            if link.shown_state == "ready":
                await bed.echo(await bed.attach())
            return link.last_error or link.shown_state
    finally:
        trio.socket.set_custom_hostname_resolver(before)


def refused(code: int) -> str:
    return refusal(code)


async def test_haproxy_knows_the_host_without_the_schemes_own_port(tmp_path: Path, janus: Janus) -> None:
    with haproxy(tmp_path, janus.port, f"http-request deny unless {{ hdr(host) {NAME} }}") as port:
        assert await outcome(f"ws://{NAME}:80/janus", port) == "ready"
        assert await outcome(f"ws://{NAME}/janus", port) == refused(403)
        assert await outcome(f"ws://127.0.0.1:{port}/", headers=(("Host", NAME),)) == "ready"


async def test_nginx_knows_the_host_and_wants_a_user_agent(tmp_path: Path, janus: Janus) -> None:
    known = f"map $http_host $known {{ default 0; {NAME} 1; }}"
    rules = 'if ($known = 0) { return 404; } if ($http_user_agent = "") { return 403; }'
    with nginx(tmp_path, janus.port, known, rules) as port:
        assert await outcome(f"ws://{NAME}:80/janus", port) == "ready"
        assert await outcome(f"ws://{NAME}:443/janus", port) == refused(404)


async def test_nginx_wants_a_password(tmp_path: Path, janus: Janus) -> None:
    digest = b64encode(sha1("p:/ss%\u00e9".encode()).digest()).decode()
    (tmp_path / "users").write_text(f"us@er:{{SHA}}{digest}\n")
    with nginx(tmp_path, janus.port, server=BASIC) as port:
        assert await outcome(f"ws://us%40er:p%3A%2Fss%25%C3%A9@127.0.0.1:{port}/") == "ready"
        assert await outcome(f"ws://us%40er:wrong@127.0.0.1:{port}/") == refused(401)
        assert await outcome(f"ws://127.0.0.1:{port}/") == refused(401)
        given = (("authorization", "Basic dXNAZXI6cDovc3Mlw6k="),)
        assert await outcome(f"ws://127.0.0.1:{port}/", headers=given) == "ready"
        assert await outcome(f"ws://us%40er:wrong@127.0.0.1:{port}/", headers=given) == "ready"


async def test_nginx_wants_a_cookie_and_a_browser(tmp_path: Path, janus: Janus) -> None:
    rules = 'if ($cookie_seat != "12") { return 403; } if ($http_user_agent != "Mozilla/5.0 (X11)") { return 402; }'
    with nginx(tmp_path, janus.port, server=rules) as port:
        cookie, browser = ("Cookie", 'a="b"; seat=12'), ("User-Agent", "Mozilla/5.0 (X11)")
        assert await outcome(f"ws://127.0.0.1:{port}/", headers=(cookie, browser)) == "ready"
        assert await outcome(f"ws://127.0.0.1:{port}/", headers=(cookie,)) == refused(402)
        assert await outcome(f"ws://127.0.0.1:{port}/", headers=(browser,)) == refused(403)


async def test_nginx_has_a_certificate_with_another_name(tmp_path: Path, janus: Janus) -> None:
    """Which of its servers is meant it learns by SNI, and by Host."""
    authority = trustme.CA()
    certificate = authority.issue_cert(NAME)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "all.pem")
    context = client_context(str(tmp_path / "ca.pem"), None, None)
    lines = f"ssl_certificate {tmp_path}/all.pem; ssl_certificate_key {tmp_path}/all.pem;"
    rules = f"if ($ssl_server_name != {NAME}) {{ return 404; }} if ($http_host != {NAME}) {{ return 403; }}"
    with nginx(tmp_path, janus.port, server=rules, tls=lines) as port:
        assert await outcome(f"wss://{NAME}.:443/", port, tls=context, headers=(("Host", NAME),)) == "ready"
        assert await outcome(f"wss://{NAME}:443/", port, tls=context) == "ready"
        address = f"wss://127.0.0.1:{port}/"
        mended: dict[str, Any] = {"tls": context, "tls_server_name": NAME}
        assert await outcome(address, **mended, headers=(("Host", NAME),)) == "ready"
        assert await outcome(address, **mended) == refused(403)
        assert "certificate is not valid for '127.0.0.1'" in await outcome(address, tls=context)
        other = await outcome(address, tls=context, tls_server_name="other.example")
        assert "certificate is not valid for 'other.example'" in other


async def test_janus_itself_and_a_request_that_it_does_not_take(janus: Janus) -> None:
    assert await outcome(janus.url.replace("//", "//u:p@"), headers=(("Cookie", "a" * 3000),)) == "ready"
    assert re.fullmatch(
        "the peer closed the connection instead of upgrading to WebSocket; "
        "the request's path and headers have 50.. bytes, Janus takes about 3800",
        await outcome(janus.url, headers=(("Cookie", "a" * 5000),)),
    )


async def test_a_single_label_of_63_characters_is_a_host_as_any_other(janus: Janus) -> None:
    assert await outcome(f"ws://{'a' * 63}:{janus.port}/", janus.port) == "ready"
