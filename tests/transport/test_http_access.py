"""Who may ask: networks, token, Host and Origin. Without sockets, but for one connection that a reload reaches."""

import base64
import ipaddress

import pytest
import trio

from bridge.protocol.caller import Caller, Role
from bridge.protocol.host_port import Network
from bridge.transport.http_access import Access
from bridge.transport.http_messages import HttpRequest, Reply
from tests.support.http_peer import post, serve


def networks(*texts: str) -> list[Network]:
    return [ipaddress.ip_network(text) for text in texts]


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def verdict(access: Access, peer: str = "127.0.0.1", method: str = "POST", **headers: str) -> int | None:
    request = HttpRequest(peer)
    request.method = method.encode()
    request.headers = {name.encode(): value.encode() for name, value in headers.items()}
    found = access.admit(request)
    return found.status if isinstance(found, Reply) else None


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_allowed(peer: str) -> None:
    assert verdict(Access(), peer) is None


@pytest.mark.parametrize("peer", ["192.0.2.1", "::2", "::ffff:192.0.2.1", "fe80::1%lo"])
def test_others_are_not(peer: str) -> None:
    assert verdict(Access(), peer) == 403


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("192.0.2.7", None),
        ("::ffff:192.0.2.7", None),
        ("192.0.3.1", 403),
        ("2001:db8::9", None),
        ("2001:db9::9", 403),
        ("127.0.0.1", 403),
    ],
)
def test_networks(peer: str, status: int | None) -> None:
    assert verdict(Access(networks("192.0.2.0/24", "2001:db8::/32")), peer) == status


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8889", "192.0.2.1", "[::1]", "[::1]:8889", "localhost", "LocalHost:8889", "127.0.0.1:"],
)
def test_hosts_without_a_token(host: str) -> None:
    assert verdict(Access(), host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "example.org:8889",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "127.0.0.1:8889.example.org",
        "[::1].example.org",
        "[::1]x:80",
        "[example.org]",
        "::1",
        "127.1",
        "",
        ":8889",
        "grüße",
        "127.0.0.1:x",
    ],
)
def test_foreign_hosts_without_a_token(host: str) -> None:
    assert verdict(Access(), host=host) == 403


def test_no_host_is_an_old_client_and_no_browser() -> None:
    assert verdict(Access()) is None


def test_with_a_token_the_host_may_be_a_name() -> None:
    assert verdict(Access(token="secret"), host="example.org", authorization="Bearer secret") is None


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8889", "https://example.org", "null", ""])
@pytest.mark.parametrize("token", [None, "secret"])
def test_browsers_are_refused(origin: str, token: str | None) -> None:
    access = Access(token=token)
    assert verdict(access, host="127.0.0.1", origin=origin, authorization="Bearer secret") == 403


@pytest.mark.parametrize("shown", ["Bearer sécret", "bearer sécret", "BEARER  sécret "])
def test_the_right_token(shown: str) -> None:
    assert verdict(Access(token="sécret"), authorization=shown) is None


@pytest.mark.parametrize(
    "shown", ["", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Bearer SECRET", "Basic secret", "secret"]
)
def test_the_wrong_token(shown: str) -> None:
    access = Access(token="secret")
    assert verdict(access, authorization=shown) == 401
    assert verdict(access) == 401


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("shown", [":se:crét", "anybody:se:crét"])
def test_a_browser_may_look_with_the_token_as_its_password(method: str, shown: str) -> None:
    access = Access(token="se:crét")
    assert verdict(access, method=method, authorization=basic(shown)) is None
    assert verdict(access, method=method, authorization=basic(shown).replace("Basic ", "bASIC  ")) is None
    assert verdict(access, method=method, authorization="Bearer se:crét") is None


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "PUT", "get"])
def test_what_a_browser_shows_by_itself_does_nothing(method: str) -> None:
    """A foreign page can make it POST; that other things would stop it too is no reason to rely on them."""
    assert verdict(Access(token="secret"), method=method, authorization=basic("u:secret")) == 401


@pytest.mark.parametrize(
    "shown",
    [
        basic("u:secre"),
        basic("u:secrets"),
        basic("secret"),
        basic("secret:"),
        basic("secret:u"),
        basic(""),
        basic("u:"),
        "Basic",
        "Basic secret",
        "Basic u:secret",
        "Basic !" + basic("u:secret")[6:],
        basic("u:secret") + "é",
        basic("u:secret").replace("Basic", "Digest"),
    ],
)
def test_the_wrong_password(shown: str) -> None:
    assert verdict(Access(token="secret"), method="GET", authorization=shown) == 401


def test_a_foreign_page_gets_nothing_by_the_password_that_its_browser_knows() -> None:
    access = Access(token="secret")
    assert verdict(access, method="GET", origin="https://example.org", authorization=basic("u:secret")) == 403


def test_the_network_comes_before_the_token() -> None:
    assert verdict(Access(token="secret"), "192.0.2.1") == 403


# Over a connection


async def test_a_refusal_names_its_reason(nursery: trio.Nursery) -> None:
    served = await serve(nursery, access=Access(token="secret"))
    answer = await (await served.connect()).ask(post())
    assert answer.status == 401
    assert answer.header("WWW-Authenticate") == 'Bearer realm="janus-bridge"'
    assert answer.body == b"<html><body>Unauthorized</body></html>"
    assert answer.header("Connection") == "close"


async def test_a_browser_is_asked_for_the_password_where_it_helps(nursery: trio.Nursery) -> None:
    served = await serve(nursery, access=Access(token="secret"))
    answer = await (await served.connect()).ask(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
    challenges = [value for name, value in answer.headers if name == "WWW-Authenticate"]
    assert (answer.status, challenges) == (401, ['Bearer realm="janus-bridge"', 'Basic realm="janus-bridge"'])


async def test_a_reload_holds_for_connections_that_are_there(nursery: trio.Nursery) -> None:
    access = Access()
    client = await (await serve(nursery, access=access)).connect()
    assert (await client.ask(post())).status == 200
    access.replace(networks("127.0.0.0/8"), "secret")
    assert (await client.ask(post(b"1", "Authorization: Bearer secret"))).status == 200
    access.replace(networks("192.0.2.0/24"), "secret")
    assert (await client.ask(post(b"1", "Authorization: Bearer secret"))).status == 403


async def test_healthz_is_for_everybody_and_nothing_else_is(nursery: trio.Nursery) -> None:
    def page(_query: bytes) -> Reply:
        return Reply(200, b"text/plain", b"ok\n")

    access = Access(networks("192.0.2.0/24"), "secret")
    served = await serve(nursery, access=access, pages={"/healthz": page, "/metrics": page})

    async def get(path: str) -> int:
        client = await served.connect()
        return (await client.ask(f"GET {path} HTTP/1.1\r\nHost: example.org\r\nOrigin: null\r\n\r\n".encode())).status

    assert await get("/healthz") == 200
    assert await get("/metrics") == 403
    assert await get("/healthz/x") == 403
    assert await get("/mi") == 403
    served = await serve(nursery, access=access)  # without such a page it is no way in
    assert await get("/healthz") == 403


def role(access: Access, method: str = "POST", **headers: str) -> Role | int:
    request = HttpRequest("127.0.0.1")
    request.method = method.encode()
    request.headers = {name.encode(): value.encode() for name, value in headers.items()}
    found = access.admit(request)
    return found.status if isinstance(found, Reply) else found.role


def test_a_token_of_a_role_opens_that_role() -> None:
    roles = [("look", Role.READ_ONLY), ("call", Role.COMMANDS)]
    access = Access(token="all", roles=roles)
    assert role(access, authorization="Bearer all") is Role.EVERYTHING
    assert role(access, authorization="Bearer look") is Role.READ_ONLY
    assert role(access, authorization="Bearer call") is Role.COMMANDS
    assert role(access, authorization="Bearer other") == 401
    assert role(access) == 401
    assert role(access, method="GET", authorization=basic("me:look")) is Role.READ_ONLY
    assert role(access, authorization=basic("me:call")) == 401


def test_tokens_of_roles_alone_leave_nothing_open() -> None:
    access = Access(roles=[("look", Role.READ_ONLY)])
    assert role(access, host="127.0.0.1") == 401
    assert role(access, authorization="Bearer look") is Role.READ_ONLY


def test_without_tokens_whoever_is_allowed_may_do_everything() -> None:
    assert role(Access()) is Role.EVERYTHING


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("fe80::1%lo", "fe80::/64"),
    ],
)
def test_addresses_that_one_has_many_of_are_one_caller(peer: str, name: str) -> None:
    found = Access(networks("0.0.0.0/0", "::/0")).admit(HttpRequest(peer))
    assert found == Caller(Role.EVERYTHING, name)
