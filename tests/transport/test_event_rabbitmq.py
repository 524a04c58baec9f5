"""Events into a real RabbitMQ: what arrives, and what is said where it does not."""

import functools
import ipaddress
import json
import socket
import sqlite3
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest
import trio

from bridge.core.event_sender import DeliverySnapshot
from bridge.core.evi import EventInterface
from bridge.core.stats import Stats
from bridge.errors import ConnectFailed
from bridge.protocol.amqp_target import AmqpTarget
from bridge.protocol.event_delivery import Sender
from bridge.protocol.event_payload import E_JANUS_EVENT, Event
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport import amqp_thread, event_rabbitmq
from bridge.transport.event_address import Addresses
from bridge.transport.event_rabbitmq import RabbitmqSender, message_id
from bridge.transport.tls import client_context
from tests.support.certs import Certificates
from tests.support.deadlines import HANG_SECONDS
from tests.support.event_logs import living, opened
from tests.support.opensips import EXAMPLES
from tests.support.process import ChildProcess
from tests.support.rabbitmq import LOCKED_OUT, MAX_MESSAGE, PASSWORD, VHOST, Message, RabbitMq

URL = "janusws://h:8188/janus"
QUOTED = PASSWORD.replace("/", "%2F").replace("@", "%40")
Made = Callable[..., "Site"]


class Site:
    """An Event Interface that is subscribed to one socket."""

    def __init__(self, text: str, tls: Callable[[str, str], tuple[ssl.SSLContext, str]] | None = None) -> None:
        self.socket = ReplySocket.parse(text)
        self.tls = tls
        self.addresses = Addresses([ipaddress.ip_network("127.0.0.0/8")], lambda _: True)
        self.stats = Stats()
        self.evi = EventInterface(self.open, self.stats)
        self.evi.configure([(E_JANUS_EVENT, self.socket)])

    def open(self, socket: ReplySocket) -> Sender:
        return RabbitmqSender(socket, self.addresses, self.tls or no_domain, lambda low, high: low)

    def janus(self, *numbers: int, size: int = 0) -> None:
        for number in numbers:
            self.evi.gateway_event("g1", URL, json.dumps({"n": number, "pad": "x" * size}))

    @property
    def figures(self) -> DeliverySnapshot:
        return self.evi.figures()[0]

    @property
    def trouble(self) -> str:
        return self.evi.troubles().get(str(self.socket), "")

    async def until(self, condition: Callable[[], object]) -> None:
        await until(condition, lambda: (self.figures, self.trouble))


def no_domain(domain: str, host: str) -> tuple[ssl.SSLContext, str]:
    raise ConnectFailed(f"there is no {domain}")


async def until(condition: Callable[[], object], otherwise: Callable[[], object] = str) -> None:
    with trio.move_on_after(HANG_SECONDS) as scope:
        while not condition():  # noqa: ASYNC110 - it is looked at, now and then
            await trio.sleep(0.01)
    assert not scope.cancelled_caught, otherwise()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Each connection ends, with its thread."""
    yield
    for thread in threading.enumerate():
        if thread.name == "rabbitmq":
            thread.join(HANG_SECONDS)
            assert not thread.is_alive()


@pytest.fixture
async def made(nursery: trio.Nursery) -> Made:
    """A site that runs, subscribed to ``rabbitmq:`` and this text."""
    sites = []

    def make(text: str, **options: Any) -> Site:
        site = Site(f"rabbitmq:{text}", **options)
        sites.append(site)
        nursery.start_soon(site.evi.run)
        return site

    return make


def numbers(messages: list[Message]) -> list[int]:
    return [json.loads(message.body["params"]["janus_body"])["n"] for message in messages]


async def test_what_arrives(rabbitmq: RabbitMq, made: Made) -> None:
    """In order, as OpenSIPS's event_rabbitmq has it, persistent and with a number; more than a window of them."""
    queue = rabbitmq.queue()
    site = made(f"{rabbitmq.place}/{queue}")
    site.janus(*range(1200))
    await site.until(lambda: site.figures.sent == 1200)
    assert site.figures == (f"rabbitmq:bridge@127.0.0.1:{rabbitmq.port}/{queue}", 0, 0, 1200, {})
    messages = rabbitmq.take(queue)
    assert numbers(messages) == list(range(1200))
    first = messages[0]
    params = {"janus_id": "g1", "janus_url": URL, "janus_body": '{"n": 0, "pad": ""}'}
    assert first.body == {"jsonrpc": "2.0", "method": "E_JANUS_EVENT", "params": params}
    assert (first.properties.delivery_mode, first.properties.content_type) == (2, "application/json")
    assert [message.id for message in messages] == [f"g1/1-{n}" for n in range(1, 1201)]


async def test_exchange_vhost_and_no_routing_key(rabbitmq: RabbitMq, made: Made) -> None:
    queue = rabbitmq.queue(vhost=VHOST)
    with rabbitmq.channel(VHOST) as channel:
        channel.exchange_declare("to all", "fanout", durable=True)
        channel.queue_bind(queue, "to all")
    site = made(f"{rabbitmq.place}/exchange=to%20all;vhost={VHOST};persistent?")
    site.janus(1, 2, 3)
    await site.until(lambda: site.figures.sent == 3)
    assert numbers(rabbitmq.take(queue, VHOST)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bridge:wrong@{place}/q", "the broker refuses the user or the password"),
        (
            "{login}@{place}/vhost=none?q",
            "the broker does not open the vhost: NOT_ALLOWED - vhost none not found",
        ),
        (
            f"{LOCKED_OUT}:{QUOTED}@{{place}}/q",
            f"the broker does not open the vhost: NOT_ALLOWED - access to vhost '/' refused for user '{LOCKED_OUT}'",
        ),
        ("{login}@{place}/exchange=none?k", "the broker closed it: NOT_FOUND - no exchange 'none' in vhost '/' (404)"),
        ("{login}@{place}/none", "no queue takes it: the broker says NO_ROUTE; routing key 'none', exchange ''"),
        ("{login}@127.0.0.1:{tls}/q", "does not speak AMQP 0-9-1, or closed the connection at once"),
        ("{login}@127.0.0.1:{tls}/tls_domain=none?q", "cannot be reached: [events.tls_domains.none] there is no none"),
    ],
)
async def test_what_is_wrong_is_named(rabbitmq: RabbitMq, made: Made, text: str, words: str) -> None:
    login = f"bridge:{QUOTED}"
    site = made(text.format(login=login, place=f"{rabbitmq.host}:{rabbitmq.port}", tls=rabbitmq.tls_port))
    site.janus(1)
    await site.until(lambda: site.trouble)
    assert site.trouble == words
    assert site.figures[3:] == (0, {})


async def test_what_no_queue_takes_is_kept_counted_and_arrives_once_there_is_one(
    rabbitmq: RabbitMq, made: Made
) -> None:
    queue = rabbitmq.queue()
    site = made(f"{rabbitmq.place}/{queue}")
    site.janus(1)
    await site.until(lambda: site.figures.sent == 1)
    rabbitmq.remove(queue)
    site.janus(*range(2, 100))
    await site.until(lambda: site.stats.totals()["events_returned"] > 1)
    assert (site.figures.sent, site.figures.queued, site.figures.drops) == (1, 98, {})
    rabbitmq.queue(queue)
    await site.until(lambda: site.figures.sent == 99)
    assert numbers(rabbitmq.take(queue)) == list(range(2, 100))


async def test_a_full_queue_gives_back_and_everything_arrives(rabbitmq: RabbitMq, made: Made) -> None:
    queue = rabbitmq.queue(arguments={"x-max-length": 5, "x-overflow": "reject-publish"})
    site = made(f"{rabbitmq.place}/{queue}")
    site.janus(*range(20))
    got: list[Message] = []
    for _ in range(3):
        returned = site.stats.totals()["events_returned"]
        await site.until(lambda: site.stats.totals()["events_returned"] > returned)  # noqa: B023
        got += rabbitmq.take(queue)
    while site.figures.sent < 20:  # also of copies, which need room
        await trio.sleep(0.05)
        got += rabbitmq.take(queue)
    assert site.figures.drops == {}
    last = {message.id: index for index, message in enumerate(got)}
    assert sorted(last, key=lambda id: last[id]) == [f"g1/1-{n}" for n in range(1, 21)]  # of copies the last


async def test_what_is_too_large_for_the_broker_costs_itself_alone(rabbitmq: RabbitMq, made: Made) -> None:
    queue = rabbitmq.queue()
    site = made(f"{rabbitmq.place}/{queue}")
    site.janus(1, 2)
    site.janus(3, size=MAX_MESSAGE)
    site.janus(4, 5)
    await site.until(lambda: site.figures.sent == 4)
    assert site.figures[1:] == (0, 0, 4, {"refused": 1})
    assert list(dict.fromkeys(numbers(rabbitmq.take(queue)))) == [1, 2, 4, 5]


async def test_a_broker_short_of_memory_is_waited_for(rabbitmq: RabbitMq, made: Made) -> None:
    queue = rabbitmq.queue()
    site = made(f"{rabbitmq.place}/{queue}")
    site.janus(1)
    await site.until(lambda: site.figures.sent == 1)
    rabbitmq.alarm(on=True)
    try:
        site.janus(*range(2, 10))
        await site.until(lambda: site.trouble)
        assert site.trouble == "the broker takes nothing just now: low on memory"
    finally:
        rabbitmq.alarm(on=False)
    await site.until(lambda: site.figures.sent == 9)
    assert site.trouble == ""
    assert numbers(rabbitmq.take(queue)) == list(range(1, 10))


async def test_a_broker_that_was_short_of_memory_before_the_connect_is_waited_for(
    rabbitmq: RabbitMq, made: Made
) -> None:
    queue = rabbitmq.queue()
    rabbitmq.alarm(on=True)
    try:
        site = made(f"{rabbitmq.place}/{queue}")
        site.janus(1, 2, 3)
        await site.until(lambda: site.trouble)
        assert site.trouble == "the broker takes nothing just now: low on memory"
    finally:
        rabbitmq.alarm(on=False)
    await site.until(lambda: site.figures.sent == 3)
    assert numbers(rabbitmq.take(queue)) == [1, 2, 3]


async def test_an_exchange_that_is_deleted_and_declared_anew(rabbitmq: RabbitMq, made: Made) -> None:
    queue = rabbitmq.queue()

    def declare() -> None:
        with rabbitmq.channel() as channel:
            channel.exchange_declare("passing", "fanout", durable=True)
            channel.queue_bind(queue, "passing")

    declare()
    site = made(f"{rabbitmq.place}/exchange=passing?")
    site.janus(1)
    await site.until(lambda: site.figures.sent == 1)
    with rabbitmq.channel() as channel:
        channel.exchange_delete("passing")
    site.janus(*range(2, 100))
    await site.until(lambda: site.trouble)
    assert site.trouble == "the broker closed it: NOT_FOUND - no exchange 'passing' in vhost '/' (404)"
    declare()
    await site.until(lambda: site.figures.sent == 99)
    assert numbers(rabbitmq.take(queue)) == list(range(1, 100))


async def test_a_vhost_that_is_deleted_and_made_anew(rabbitmq: RabbitMq, made: Made) -> None:
    rabbitmq.add_vhost("passing")
    queue = rabbitmq.queue(vhost="passing")
    site = made(f"{rabbitmq.place}/vhost=passing?{queue}")
    site.janus(1)
    await site.until(lambda: site.figures.sent == 1)
    rabbitmq.remove_vhost("passing")
    site.janus(*range(2, 100))
    await site.until(lambda: site.trouble.endswith("NOT_ALLOWED - vhost passing not found"))
    rabbitmq.add_vhost("passing")
    rabbitmq.queue(queue, "passing")
    await site.until(lambda: site.figures.sent == 99)
    assert numbers(rabbitmq.take(queue, "passing")) == list(range(2, 100))
    rabbitmq.remove_vhost("passing")


async def test_an_operator_closes_the_connection(rabbitmq: RabbitMq, made: Made) -> None:
    queue = rabbitmq.queue()
    site = made(f"{rabbitmq.place}/{queue}")
    site.janus(1)
    await site.until(lambda: site.figures.sent == 1)
    rabbitmq.close_connections()
    site.janus(*range(2, 100))
    await site.until(lambda: site.figures.sent == 99)
    assert list(dict.fromkeys(numbers(rabbitmq.take(queue)))) == list(range(1, 100))


async def test_a_node_of_several_that_is_down(rabbitmq: RabbitMq, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a broker has the addresses of all its nodes."""
    queue = rabbitmq.queue()

    async def look_up(*_: Any) -> list[tuple[int, tuple[str, int]]]:
        return [(socket.AF_INET, (node, rabbitmq.port)) for node in ("127.0.0.2", "127.0.0.1")]

    site = made(f"{rabbitmq.place}/{queue}")
    monkeypatch.setattr(site.addresses, "_look_up", look_up)
    site.janus(1)
    await site.until(lambda: site.figures.sent == 1)
    assert numbers(rabbitmq.take(queue)) == [1]


async def test_a_broker_that_hangs_is_connected_anew_and_gets_everything(
    rabbitmq: RabbitMq, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = rabbitmq.queue()
    site = made(f"{rabbitmq.place}/{queue}")
    site.janus(1)
    await site.until(lambda: site.figures.sent == 1)
    monkeypatch.setattr(event_rabbitmq, "CONFIRM_TIMEOUT", 0.1)
    rabbitmq.freeze()
    try:
        site.janus(2, size=13_000)  # it has a while longer for what is large
        site.janus(3)
        await site.until(lambda: site.trouble)
        assert site.trouble == "the broker confirmed nothing for 0.3 s"
    finally:
        rabbitmq.thaw()
        monkeypatch.undo()
    await site.until(lambda: site.figures.sent == 3)
    assert list(dict.fromkeys(numbers(rabbitmq.take(queue)))) == [1, 2, 3]


async def test_nobody_listens_or_says_anything(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amqp_thread, "STACK_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        site = made(f"127.0.0.1:{port}/k")
        site.janus(1)
        await site.until(lambda: site.trouble)
        assert site.trouble == "cannot be reached: no answer within 0.1 s"
    other = made(f"127.0.0.1:{port}/k")
    other.janus(1)
    await other.until(lambda: other.trouble)
    assert other.trouble == "cannot be reached: Connection refused"


async def test_results_are_in_the_order_of_publishing_however_the_broker_confirms() -> None:
    thread = amqp_thread.AmqpThread(AmqpTarget(routing_key="k"), ("127.0.0.1", 1), None, lambda: None)
    await until(lambda: thread.fault)
    thread._ids.extend("abcdef")
    thread._tags.update({id: tag for tag, id in enumerate("abcdef", 1)})

    def confirm(method: Any) -> None:
        thread._on_confirmation(pika.frame.Method(1, method))

    confirm(pika.spec.Basic.Ack(3))
    assert not thread.results
    thread._on_return(None, pika.spec.Basic.Return(reply_text="NO_ROUTE"), pika.BasicProperties(message_id="b"), b"")
    confirm(pika.spec.Basic.Ack(2, multiple=True))
    way = "routing key 'k', exchange ''"
    assert list(thread.results) == ["", f"no queue takes it: the broker says NO_ROUTE; {way}", ""]
    confirm(pika.spec.Basic.Nack(5))
    confirm(pika.spec.Basic.Ack(2))  # once more: of no interest
    confirm(pika.spec.Basic.Ack(4))
    assert list(thread.results)[3:] == ["", f"the broker did not keep it, as where a queue is full; {way}"]
    confirm(pika.spec.Basic.Nack(6, multiple=True))
    assert len(thread.results) == 6
    confirm(pika.spec.Basic.Ack(7))  # what was not published
    confirm(pika.spec.Basic.Ack(2**63, multiple=True))
    thread._ids.extend("gh")
    thread._tags.update(g=7, h=8)
    assert (len(thread.results), thread._settled) == (6, {})
    confirm(pika.spec.Basic.Ack(0, multiple=True))  # all there is
    assert list(thread.results)[6:] == ["", ""]
    assert [*thread._ids, *thread._tags, *thread._settled] == []


async def test_over_tls(rabbitmq: RabbitMq, made: Made, certificates: Certificates) -> None:
    """Verified, with a client certificate."""
    queue = rabbitmq.queue()
    made_of = certificates

    def contexts(domain: str, host: str) -> tuple[ssl.SSLContext, str]:
        ca = made_of.stranger_ca if domain == "stranger" else made_of.ca
        cert = (None, None) if domain == "anonymous" else (str(made_of.client_cert), str(made_of.client_key))
        return client_context(str(ca), *cert), "example.org" if domain == "other" else host

    words = {
        "stranger": "TLS: the certificate is not accepted: self-signed certificate in certificate chain",
        "other": "TLS: the certificate is not accepted: Hostname mismatch",
        "anonymous": "",
        "good": "",
    }
    for domain, said in words.items():
        place = f"bridge:{QUOTED}@127.0.0.1:{rabbitmq.tls_port}"
        site = made(f"{place}/tls_domain={domain}?{queue}", tls=contexts)
        site.janus(1)
        if domain == "good":
            await site.until(lambda: site.figures.sent == 1)  # noqa: B023
        else:
            await site.until(lambda: site.trouble)  # noqa: B023
            assert said in site.trouble
    assert numbers(rabbitmq.take(queue)) == [1]


async def test_what_was_confirmed_is_the_place_in_the_log_and_a_broker_that_is_away_finds_the_rest(
    rabbitmq: RabbitMq, tmp_path: Path
) -> None:
    """Over a restart of the bridge, with another password meanwhile."""
    queue = rabbitmq.queue()
    good = ReplySocket.parse(f"rabbitmq:{rabbitmq.place}/{queue}")
    wrong = ReplySocket.parse(f"rabbitmq:bridge:wrong@127.0.0.1:{rabbitmq.port}/{queue}")
    assert good == wrong
    addresses = Addresses([], lambda _: True)

    def life(epoch: int) -> Any:
        sender = functools.partial(RabbitmqSender, addresses=addresses, tls_of=no_domain, uniform=min)
        return opened(tmp_path / "events.db", epoch=epoch, open_sender=sender)

    async with living(life(1)) as one:
        one.evi.configure([(E_JANUS_EVENT, good)])
        one.janus(*range(1000))
        await until(lambda: one.evi.figures()[0].sent == 1000)
    async with living(life(2)) as two:
        two.evi.configure([(E_JANUS_EVENT, wrong)])
        two.janus(*range(1000, 1010))
        await until(two.evi.troubles)
    async with living(life(3)) as three:
        three.evi.configure([(E_JANUS_EVENT, wrong)])
        await until(three.evi.troubles)
        three.evi.configure([(E_JANUS_EVENT, good)])
        three.janus(1010)
        await until(lambda: three.evi.figures()[0].sent == 11)
    assert numbers(rabbitmq.take(queue)) == list(range(1011))


async def test_the_example_bills_each_event_once(rabbitmq: RabbitMq, made: Made, tmp_path: Path) -> None:
    """rabbitmq_consumer.py, which is killed in the middle."""
    file = tmp_path / "billing.db"
    with billing(rabbitmq, file) as program:
        await until(lambda: "consuming" in program.output, lambda: program.output)
        site = made(f"{rabbitmq.place}/exchange=janus?events")
        site.janus(*range(50))
        await until(lambda: billed(file))
    site.janus(50)
    with billing(rabbitmq, file):
        await until(lambda: len(billed(file)) >= 51)
    assert billed(file) == [("g1", 1, n, f"g1/1-{n}") for n in range(1, 52)]
    rabbitmq.remove("janus-events")


@contextmanager
def billing(rabbitmq: RabbitMq, file: Path) -> Iterator[ChildProcess]:
    """The example, killed in the end."""
    command = [sys.executable, str(EXAMPLES / "rabbitmq_consumer.py"), rabbitmq.url, str(file)]
    program = ChildProcess(command, file.with_suffix(".log"))
    try:
        yield program
    finally:
        print(program.output)
        program.kill()


def billed(file: Path) -> list[tuple[str, int, int, str]]:
    """What it has, in order."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        return database.execute("SELECT janus_id, epoch, n, id FROM event ORDER BY epoch, n").fetchall()


def test_ids() -> None:
    def id_of(origin: str | None, seq: str | None = "7-1") -> str:
        return message_id(Event("E", (), "p-1", 1, origin, seq))

    assert id_of("gw1") == "gw1/7-1"
    assert id_of(None) == "p-1"
    assert id_of("a\ud800") == "a?/7-1"
    assert id_of("x" * 251) == "x" * 251 + "/7-1"
    assert id_of("x" * 252) != id_of("x" * 253)
    assert len(id_of("ü" * 255)) == 64 + 4
