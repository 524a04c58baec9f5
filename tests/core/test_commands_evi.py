"""MI of the Event Interface through the registry: texts and shapes as OpenSIPS has them."""

import json
from typing import Any

import jsonschema
import pytest
import trio

from bridge.core.commands_evi import commands
from bridge.core.evi import EventInterface
from bridge.core.mi import Registry
from bridge.core.stats import Stats
from bridge.protocol.event_delivery import NotSent, Parcel
from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS
from bridge.protocol.reply_socket import ReplySocket
from bridge.resources import schema
from tests.support.callers import OPERATOR, ask

OK = {"result": "OK"}
BAD_VALUE = {"error": {"code": 400, "message": "Bad parameter value"}}
A, B, MI = "udp:127.0.0.1:5001", "unix:/run/s", "mi:udp:127.0.0.1:8080"


def invalid(data: str) -> dict[str, Any]:
    return {"error": {"code": -32602, "message": "Invalid params", "data": data}}


def error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


class Memory:
    def __init__(self, got: list[bytes]) -> None:
        self._got = got

    def try_send(self, parcel: Parcel) -> bool:
        self._got.append(parcel.payload)
        return True

    async def send(self, parcel: Parcel, patience: float) -> None:
        raise AssertionError

    def close(self) -> None:
        pass


class Mi:
    """The four methods on an Event Interface with a clock that stands still, and what its subscribers got."""

    def __init__(self) -> None:
        self.now = 1_800_000_000
        self.got: dict[str, list[bytes]] = {}
        self.evi = EventInterface(self._open, Stats(), clock=lambda: float(self.now))
        self._registry = Registry()
        self._registry.add(*commands(self.evi, self._admit))

    async def call(self, method: str, params: Any = None) -> Any:
        request = {"jsonrpc": "2.0", "id": "1", "method": method, "params": params if params is not None else {}}
        answer = await ask(self._registry, json.dumps(request).encode(), OPERATOR)
        assert answer is not None
        message = json.loads(answer)
        assert (message.pop("jsonrpc"), message.pop("id")) == ("2.0", "1")
        if "result" in message:
            jsonschema.validate(message["result"], schema(f"result-{method}"), jsonschema.Draft202012Validator)
        return message

    def _open(self, socket: ReplySocket) -> Memory:
        return Memory(self.got.setdefault(str(socket), []))

    async def _admit(self, socket: ReplySocket, caller: str) -> None:
        if socket.host.startswith("8."):
            raise NotSent(f"{socket.host} is not in [events].allow")


@pytest.fixture
def mi() -> Mi:
    return Mi()


async def test_events_list(mi: Mi) -> None:
    events = [{"name": E_JANUS_EVENT, "id": 0}, {"name": E_JANUS_STATUS, "id": 1}]
    assert await mi.call("events_list") == {"result": {"Events": events}}


async def test_subscribe_and_list_as_in_opensips(mi: Mi) -> None:
    mi.evi.configure([(E_JANUS_EVENT, ReplySocket.parse(MI))])
    assert await mi.call("event_subscribe", [E_JANUS_EVENT, A]) == OK
    assert await mi.call("event_subscribe", {"event": E_JANUS_EVENT, "socket": B, "expire": 20}) == OK
    mi.now += 1
    listed = [
        {"socket": B, "expire": 20, "ttl": 19},
        {"socket": A, "expire": 3600, "ttl": 3599},
        {"socket": MI, "expire": "never"},
    ]
    event = {"name": E_JANUS_EVENT, "id": 0, "Subscribers": listed}
    assert await mi.call("subscribers_list") == {"result": {"Events": [event]}}
    assert await mi.call("subscribers_list", [E_JANUS_EVENT]) == {"result": {"Event": event}}
    assert await mi.call("subscribers_list", [E_JANUS_STATUS]) == {"result": {"Event": {}}}
    one = {"name": E_JANUS_EVENT, "id": 0, "Subscriber": listed[1]}
    assert await mi.call("subscribers_list", [E_JANUS_EVENT, A]) == {"result": {"Event": one}}
    assert await mi.call("subscribers_list", [E_JANUS_EVENT, A.replace("5001", "05001")]) == {"result": {"Event": one}}
    assert await mi.call("subscribers_list", [E_JANUS_EVENT, "no socket"]) == error(404, "Subscriber does not exist")


async def test_expire_0_shows_expired_until_the_second_is_over(mi: Mi) -> None:
    assert await mi.call("event_subscribe", [E_JANUS_EVENT, A, 0]) == OK
    subscriber = {"socket": A, "expire": 0, "ttl": "expired"}
    event = {"name": E_JANUS_EVENT, "id": 0, "Subscriber": subscriber}
    assert await mi.call("subscribers_list", [E_JANUS_EVENT, A]) == {"result": {"Event": event}}
    mi.now += 1
    assert await mi.call("subscribers_list", [E_JANUS_EVENT, A]) == error(404, "Subscriber does not exist")
    assert await mi.call("subscribers_list") == {"result": {"Events": []}}


async def test_a_renewal_counts_from_itself(mi: Mi) -> None:
    await mi.call("event_subscribe", [E_JANUS_EVENT, A, 10])
    mi.now += 10
    await mi.call("event_subscribe", [E_JANUS_EVENT, A, "30"])
    listed = await mi.call("subscribers_list", [E_JANUS_EVENT])
    assert listed["result"]["Event"]["Subscribers"] == [{"socket": A, "expire": 30, "ttl": 30}]


@pytest.mark.parametrize(
    ("params", "answer"),
    [
        (["E_NONE", A], BAD_VALUE),
        ([E_JANUS_EVENT, "kafka:h/k"], BAD_VALUE),
        ([E_JANUS_EVENT, "udp:h:0"], BAD_VALUE),
        ([E_JANUS_EVENT, "udp:8.8.8.8:5000"], BAD_VALUE),
        ([E_JANUS_EVENT, "\ud800"], BAD_VALUE),
        (["", A], invalid("Bad type for parameter 'event'")),
        ([E_JANUS_EVENT, ""], invalid("Bad type for parameter 'socket'")),
        ([E_JANUS_EVENT, A, None], invalid("Bad type for parameter 'expire'")),
        ([E_JANUS_EVENT, A, -1], invalid("Negative expire value")),
        ([E_JANUS_EVENT, A, 2**31], invalid("Bad type for parameter 'expire'")),
        ([E_JANUS_EVENT, A, 10**4000], invalid("Bad type for parameter 'expire'")),
        (["", A, -1], invalid("Negative expire value")),
        ([E_JANUS_EVENT], invalid("Too few or too many parameters")),
        ({"event": E_JANUS_EVENT, "sock": A}, invalid("Named parameters do not match")),
    ],
)
async def test_what_event_subscribe_refuses(mi: Mi, params: Any, answer: Any) -> None:
    assert await mi.call("event_subscribe", params) == answer
    assert await mi.call("subscribers_list") == {"result": {"Events": []}}


async def test_the_log_says_what_the_answer_does_not(mi: Mi, caplog: pytest.LogCaptureFixture) -> None:
    await mi.call("event_subscribe", [E_JANUS_EVENT, "udp:8.8.8.8:5000"])
    assert caplog.messages == [
        "event_subscribe 'E_JANUS_EVENT' 'udp:8.8.8.8:5000' refused: 8.8.8.8 is not in [events].allow"
    ]


async def test_256_subscriptions(mi: Mi) -> None:
    for port in range(256):
        assert await mi.call("event_subscribe", [E_JANUS_EVENT, f"udp:127.0.0.1:{port + 1000}"]) == OK
    assert await mi.call("event_subscribe", [E_JANUS_EVENT, "udp:127.0.0.1:999"]) == BAD_VALUE
    assert await mi.call("event_subscribe", [E_JANUS_EVENT, "udp:127.0.0.1:1000"]) == OK


async def test_subscribers_of_an_event_that_is_none(mi: Mi) -> None:
    assert await mi.call("subscribers_list", ["E_NONE"]) == error(404, "Event not published")
    assert await mi.call("subscribers_list", ["E_NONE", A]) == error(404, "Event not published")
    assert await mi.call("subscribers_list", [E_JANUS_EVENT, A]) == error(404, "Subscriber does not exist")
    assert await mi.call("subscribers_list", [E_JANUS_EVENT, "x"]) == error(404, "Subscriber does not exist")


@pytest.mark.parametrize(
    ("params", "payload"),
    [
        ([], ""),
        ([[]], ""),
        (["{}"], ""),
        ([["a", 1, 2.9]], ',"params":["a","1","2"]'),
        ({"params": ["a"]}, ',"params":["a"]'),
        (['{"janus_id":"g1","n":5,"w":5363881119604597}'], ',"params":{"janus_id":"g1","n":5,"w":"5363881119604597"}'),
        (
            ['{"o":{"a":[1]},"t":true,"z":null,"f":1.5}'],
            r',"params":{"o":"{\"a\":[1]}","t":"true","z":"null","f":"1.5"}',
        ),
    ],
)
async def test_raise_event(mi: Mi, nursery: trio.Nursery, params: Any, payload: str) -> None:
    await nursery.start(mi.evi.run)
    await mi.call("event_subscribe", [E_JANUS_EVENT, A])
    call = {"event": E_JANUS_EVENT, **params} if isinstance(params, dict) else [E_JANUS_EVENT, *params]
    assert await mi.call("raise_event", call) == OK
    await mi.evi.drain(trio.current_time() + 5)
    assert mi.got[A] == [f'{{"jsonrpc":"2.0","method":"E_JANUS_EVENT"{payload}}}'.encode()]


@pytest.mark.parametrize(
    ("params", "answer"),
    [
        ({"a": "b"}, "No Params"),
        (None, "No Params"),
        (True, "No Params"),
        (5, "Bad Params"),
        ("", "Bad Params"),
        ("text", "Bad Params"),
        ('["a"]', "Bad Params"),
        ('{"a":1e999}', "Bad Params"),
        ([{"a": 1}], "Bad Params"),
        ([None], "Bad Params"),
        ([True], "Bad Params"),
        ([float("inf")], "Bad Params"),
        ([float("nan")], "Bad Params"),
    ],
)
async def test_what_raise_event_refuses(mi: Mi, params: Any, answer: str) -> None:
    await mi.call("event_subscribe", [E_JANUS_EVENT, A])
    assert await mi.call("raise_event", {"event": E_JANUS_EVENT, "params": params}) == error(400, answer)


async def test_raise_event_reaches_nobody(mi: Mi) -> None:
    assert await mi.call("raise_event", ["E_NONE"]) == error(404, "Event not registered")
    assert await mi.call("raise_event", [E_JANUS_EVENT]) == error(480, "Temporarily Unavailable")
    mi.evi.configure([(E_JANUS_EVENT, ReplySocket.parse(MI))])  # which is not for such events
    assert await mi.call("raise_event", [E_JANUS_EVENT]) == error(480, "Temporarily Unavailable")
    await mi.call("event_subscribe", [E_JANUS_EVENT, A, 0])
    assert await mi.call("raise_event", [E_JANUS_EVENT]) == OK
    mi.now += 1
    assert await mi.call("raise_event", [E_JANUS_EVENT]) == error(480, "Temporarily Unavailable")


async def test_both_spellings(mi: Mi) -> None:
    registry = Registry()
    registry.add(*commands(mi.evi, mi._admit))
    assert registry.which() == [
        *("event_subscribe", "events_list", "subscribers_list", "raise_event"),
        *("evi:subscribe", "evi:list", "evi:subscribers", "evi:raise"),
    ]


@pytest.mark.parametrize("wanted", [{"janus_id": ["g2"]}, '{"janus_id": ["g2"]}'])
async def test_a_subscription_with_a_filter(mi: Mi, wanted: Any) -> None:
    assert await mi.call("event_subscribe", ["E_JANUS_EVENT", "udp:127.0.0.1:1", 100, wanted]) == {"result": "OK"}
    (subscription, _) = mi.evi.subscribers("E_JANUS_EVENT")[0]
    assert subscription.filter is not None
    assert subscription.filter.janus_ids == {"g2"}


@pytest.mark.parametrize("wanted", ["no JSON", "[]", {"x": []}, {"kind": "event"}, 5])
async def test_a_bad_filter_is_a_bad_parameter(mi: Mi, wanted: Any, caplog: pytest.LogCaptureFixture) -> None:
    answer = await mi.call("event_subscribe", ["E_JANUS_EVENT", "udp:127.0.0.1:1", 100, wanted])
    assert answer["error"]["code"] == 400
    assert "filter" in caplog.text


async def test_a_name_needs_a_log_and_from_seq_is_a_number(mi: Mi, caplog: pytest.LogCaptureFixture) -> None:
    socket = "tcp:127.0.0.1:1"
    answer = await mi.call("event_subscribe", ["E_JANUS_EVENT", socket, 100, "billing", ""])
    assert answer["error"]["code"] == 400
    assert "a name needs [events] store" in caplog.text
    answer = await mi.call("event_subscribe", ["E_JANUS_EVENT", socket, 100, "billing", "7"])
    assert answer["error"]["data"] == "Bad type for parameter 'from_seq': it is EPOCH-N, as 0-0"
