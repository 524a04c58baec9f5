"""Listening addresses, TLS and IPv6, and the stream under everything."""

import os
import socket
from typing import Any

import pytest
import trio
import trio.testing

from bridge.errors import ConfigError
from bridge.transport.http_access import Access
from bridge.transport.http_listener import bound_address, close_listener, listening, open_listeners
from tests.support.batches import serve_http
from tests.support.http_peer import Client, echo, post, serve


def has_ipv6() -> bool:
    """Whether ::1 can be bound here."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_the_bound_address_has_the_real_port() -> None:
    [listener] = await open_listeners("127.0.0.1:0")
    host, _, port = str(listener).rpartition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
    close_listener(listener)
    close_listener(listener)  # twice is the same as once


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6")
async def test_ipv6(nursery: trio.Nursery) -> None:
    served = await serve(nursery, address="[::1]:0")
    assert served.http.addresses == [f"[::1]:{served.port}"]
    assert (await (await served.connect()).ask(post(host=f"[::1]:{served.port}"))).status == 200


async def test_localhost_listens_wherever_it_can(nursery: trio.Nursery) -> None:
    served = await serve(nursery, address="localhost:0")
    hosts = {address.rpartition(":")[0] for address in served.http.addresses}
    assert "127.0.0.1" in hosts
    assert hosts <= {"127.0.0.1", "[::1]"}
    assert (await (await served.connect()).ask(post(host="localhost"))).status == 200


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("8889", "there is no port"),
        (":8889", "host '' is empty or not a host name"),
        ("127.0.0.1", "there is no port"),
        ("::1:8889", "IPv6 is written in brackets, [::1]:8889"),
        ("127.0.0.1:x", "port 'x' is not a number up to 65535"),
        ("127.0.0.1:65536", "port '65536' is not a number up to 65535"),
        ("127.0.0.1:-1", "port '-1' is not a number up to 65535"),
        ("127.0.0.1:", "port '' is not a number up to 65535"),
        ("192.0.2.1:0", "Cannot assign requested address"),
        ("no.such.host.invalid:0", ""),
        (f"{'x' * 64}.example.org:0", ""),
    ],
)
async def test_an_address_that_cannot_be_had_is_named(address: str, reason: str) -> None:
    with pytest.raises(ConfigError) as raised:
        await open_listeners(address)
    assert str(raised.value).startswith(f"{address}: {reason}")
    assert "\n" not in str(raised.value)


async def test_a_port_that_is_taken() -> None:
    [listener] = await open_listeners("127.0.0.1:0")
    address = bound_address(listener)
    with pytest.raises(ConfigError) as raised:
        await open_listeners(address)
    close_listener(listener)
    assert str(raised.value).startswith(f"{address}: Address already in use by ")
    assert f" (process {os.getpid()}); " in str(raised.value)


class TwoAddresses(trio.abc.HostnameResolver):
    """A name of this machine, and of one that is elsewhere."""

    def __init__(self, *ips: str) -> None:
        self._ips = ips or ("192.0.2.1", "127.0.0.1")

    async def getaddrinfo(self, host: Any, port: Any, *_: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in self._ips]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


async def test_an_address_that_this_machine_has_not_is_left_out() -> None:
    trio.socket.set_custom_hostname_resolver(TwoAddresses())
    [listener] = await open_listeners("here.example.org:0")
    assert bound_address(listener).startswith("127.0.0.1:")
    close_listener(listener)


async def test_a_port_that_is_taken_at_one_address_is_given_up_at_the_other() -> None:
    trio.socket.set_custom_hostname_resolver(TwoAddresses("127.0.0.1", "127.0.0.2"))
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"^two.example.org:{port}: Address already in use by .+ [(]process "):
            await open_listeners(f"two.example.org:{port}")
        with socket.create_server(("127.0.0.1", port)):  # nobody listens there any more
            pass


async def test_connections_have_their_options_from_the_listener() -> None:
    [listener] = await open_listeners("127.0.0.1:0")
    with socket.create_connection(listener.sock.getsockname()):
        accepted, _ = listener.sock.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 16_384
    close_listener(listener)


async def test_callers_wait_in_the_backlog_until_it_is_served(nursery: trio.Nursery) -> None:
    """What was bound long before, or by another process, is served from when it is asked for."""
    [listener] = await open_listeners("127.0.0.1:0")
    inherited = listening(socket.socket(fileno=listener.sock.detach()))
    host, _, port = bound_address(inherited).rpartition(":")
    client = Client(await trio.open_tcp_stream(host, int(port)))
    await client.send(post(b"early"))
    async with client.stream:
        await nursery.start(serve_http, [inherited], echo, Access())
        assert (await client.answer()).body == b"<early>"
