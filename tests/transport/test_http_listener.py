"""Listening addresses, TLS and IPv6, and the stream under everything."""

import os
import socket
import ssl
from typing import Any

import pytest
import trio
import trio.testing

from bridge.errors import ConfigError
from bridge.transport.direct_stream import DirectStream
from bridge.transport.http_connection import HttpLimits
from bridge.transport.http_listener import bound_address, close_listener, open_listeners
from tests.support.certs import Certificates
from tests.support.http_peer import Client, Served, Slow, echo, post, serve


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
    assert str(raised.value).endswith(f" (process {os.getpid()})")


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


# DirectStream


async def test_writing_waits_for_a_reader_and_loses_nothing() -> None:
    ours, theirs = socket.socketpair()
    data = bytes(range(256)) * 16384
    received = b""
    async with DirectStream(ours) as writer, DirectStream(theirs) as reader, trio.open_nursery() as nursery:

        async def write() -> None:
            await writer.send_all(data)
            await writer.send_eof()

        nursery.start_soon(write)
        received = b"".join([chunk async for chunk in reader])
    assert received == data


async def test_an_end_that_is_gone_breaks_it() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    async with DirectStream(ours) as stream:
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"x")
        assert await stream.receive_some() == b""


async def test_closing_wakes_who_waits() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        stream = DirectStream(ours)
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await stream.receive_some()

            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()
        await stream.aclose()
        assert stream.fileno() == -1


# TLS


async def tls_client(served: Served, context: ssl.SSLContext) -> Client:
    below = await trio.open_tcp_stream(served.host, served.port)
    stream = trio.SSLStream(below, context, server_hostname="localhost", https_compatible=True)
    return served.keep(stream)


async def test_tls(nursery: trio.Nursery, certificates: Certificates) -> None:
    served = await serve(nursery, tls=certificates.server_context())
    client = await tls_client(served, certificates.context())
    assert (await client.ask(post(b"1") + post(b"2"))).body == b"<1>"
    assert (await client.answer()).body == b"<2>"
    await client.send(post(b"3", "Connection: close"))
    assert (await client.answer()).body == b"<3>"
    assert await client.closed(1.0)  # by a close_notify, without waiting for ours


async def test_tls_large_bodies(nursery: trio.Nursery, certificates: Certificates) -> None:
    served = await serve(nursery, tls=certificates.server_context())
    client = await tls_client(served, certificates.context())
    body = b"x" * (1 << 20)
    async with trio.open_nursery() as both:
        both.start_soon(client.send, post(body))
        assert (await client.answer()).body == b"<" + body + b">"


async def test_a_tls_client_that_left_is_waited_for_no_longer(
    nursery: trio.Nursery, certificates: Certificates
) -> None:
    slow = Slow()
    served = await serve(nursery, slow.dispatch, tls=certificates.server_context())
    client = await tls_client(served, certificates.context())
    await client.send(post(b"1"))
    await slow.until(lambda: slow.asked == [b"1"])
    await client.stream.aclose()
    await slow.until(lambda: slow.left == [b"1"])


async def test_who_never_shakes_hands_is_dropped(nursery: trio.Nursery, certificates: Certificates) -> None:
    served = await serve(nursery, echo, tls=certificates.server_context(), limits=HttpLimits(head=0.2))
    assert await (await served.connect()).closed()


async def test_who_speaks_no_tls_is_dropped_alone(nursery: trio.Nursery, certificates: Certificates) -> None:
    served = await serve(nursery, tls=certificates.server_context())
    plain = await served.connect()
    await plain.send(post())
    assert not (await plain.rest()).startswith(b"HTTP")
    client = await tls_client(served, certificates.context())
    assert (await client.ask(post())).status == 200
