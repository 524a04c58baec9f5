"""HTTP over TLS: the same conversations, each socket's bytes moved by a task."""

import ssl
from typing import Any

import pytest
import trio

from bridge.protocol.caller import Caller
from bridge.protocol.jsonrpc import Abandon, TakeAnswer
from bridge.transport.http_ends import HttpLimits
from tests.support.batches import FullBatch
from tests.support.certs import Certificates
from tests.support.deadlines import HANG_SECONDS
from tests.support.http_peer import Client, Served, Slow, echo, post, serve


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
    assert await client.closed(1.0)  # without waiting for us to close


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


async def test_tls_pipelines_slow_and_quick(nursery: trio.Nursery, certificates: Certificates) -> None:
    slow = Slow()

    def dispatch(body: bytes, caller: Caller, answer: TakeAnswer) -> Abandon | None:
        if body == b"slow":
            return slow.dispatch(body, caller, answer)
        echo(body, caller, answer)
        return None

    served = await serve(nursery, dispatch, tls=certificates.server_context())
    client = await tls_client(served, certificates.context())
    for _ in range(2):
        await client.send(post(b"1") + post(b"slow") + post(b"2") + post(b"3", "Expect: 100-continue")[:-1])
        assert (await client.answer()).body == b"<1>"
        await slow.until(lambda: bool(slow.asked))
        slow.go()
        assert [(await client.answer()).body for _ in range(3)] == [b"late slow", b"<2>", b""]
        assert (await client.ask(b"3")).body == b"<3>"


async def test_tls_times_out(nursery: trio.Nursery, certificates: Certificates) -> None:
    served = await serve(
        nursery, echo, tls=certificates.server_context(), limits=HttpLimits(idle=0.1, head=HANG_SECONDS)
    )
    client = await tls_client(served, certificates.context())
    assert (await client.ask(post())).status == 200
    assert await client.closed()
    await served.until(connections=0)


async def test_a_refusal_over_tls_is_read_by_a_client_that_goes_on_sending(
    nursery: trio.Nursery, certificates: Certificates
) -> None:
    served = await serve(nursery, echo, tls=certificates.server_context(), limits=HttpLimits(max_body=1000))
    client = await tls_client(served, certificates.context())
    async with trio.open_nursery() as both:
        both.start_soon(client.send, post(b"x" * (1 << 20)))
        assert (await client.answer()).status == 413
    await client.stream.aclose()
    await served.until(connections=0)


async def test_a_fault_over_tls_ends_one_connection(
    nursery: trio.Nursery, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    def dispatch(_body: bytes, _caller: object, _answer: object) -> None:
        raise RuntimeError("broken")

    served = await serve(nursery, dispatch, tls=certificates.server_context())
    client = await tls_client(served, certificates.context())
    await client.send(post())
    assert await client.closed()
    await served.until(connections=0)
    assert "the HTTPS connection of loopback failed" in caplog.text


async def test_what_tls_sends_counts_in_the_turn_of_all(nursery: trio.Nursery, certificates: Certificates) -> None:
    served = await serve(nursery, echo, tls=certificates.server_context())
    client = await tls_client(served, certificates.context())
    bodies = [b"x" * 100_000, b"y" * 10]
    for body in bodies * 3:
        async with trio.open_nursery() as both:
            both.start_soon(client.send, post(body))
            assert (await client.answer()).body == b"<%b>" % body


async def test_one_more_than_the_kernel_can_watch_is_dropped_alone(
    nursery: trio.Nursery, certificates: Certificates
) -> None:
    served = await serve(nursery, tls=certificates.server_context())
    full: Any = FullBatch(served.http._batch, times=1)
    served.http._batch = full
    assert await (await tls_client(served, certificates.context())).closed()
    assert full.times == 0
    assert (await (await tls_client(served, certificates.context())).ask(post(b"1"))).body == b"<1>"


async def test_at_a_stop_who_connects_with_tls_is_answered_and_who_is_idle_is_told(
    nursery: trio.Nursery, certificates: Certificates
) -> None:
    with trio.fail_after(HANG_SECONDS):
        async with trio.open_nursery() as serving:  # ends when serve() returns
            served = await serve(serving, tls=certificates.server_context(), limits=HttpLimits(last=HANG_SECONDS))
            served.keep_in(nursery)
            idle, half, new = [await tls_client(served, certificates.context()) for _ in range(3)]
            for client in (idle, half):
                assert (await client.ask(post(b"1"))).header("Connection") is None
            await half.send(post(b"2", "Expect: 100-continue")[:-1])
            assert (await half.answer()).status == 100
            await served.has(connections=3)  # the third has still to shake hands
            served.http.stop()
            assert (await idle.answer()).status == 503
            assert await idle.closed()
            await half.send(b"2")
            await new.send(post(b"3"))
            for client, body in ((half, b"<2>"), (new, b"<3>")):
                answer = await client.answer()
                assert (answer.body, answer.header("Connection")) == (body, "close")
                await client.stream.aclose()


async def test_an_answer_over_tls_is_not_lost_to_a_client_that_goes_on_sending(
    nursery: trio.Nursery, certificates: Certificates
) -> None:
    """The kernel would reset a connection that is closed with bytes unread."""
    served = await serve(nursery, tls=certificates.server_context())
    client = await tls_client(served, certificates.context())
    await client.send(post(b"1", "Connection: close") + post(b"never asked") * 3000)
    assert (await client.answer()).body == b"<1>"
    assert await client.stream.receive_some() == b""  # raises for a reset
