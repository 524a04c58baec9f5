"""Issue 2 on real servers: the table is read, a command gets its answer, what Janus says leaves as an event."""

import json
import socket
import struct
from typing import Any

import pytest
import trio

from tests.e2e.conftest import BridgeFactory
from tests.support import mi_client
from tests.support.bridge import Bridge
from tests.support.janus import GEN, Janus
from tests.support.mariadb import MariaDb
from tests.support.mi_client import MiError
from tests.support.ports import free_port
from tests.support.receivers import Receiver
from tests.support.tables import mariadb_table


async def ready(bridge: Bridge, janus_id: str = "gw1") -> None:
    """Wait for the gateway's session."""
    while True:
        [gateway] = (await bridge.ami("janus_list", {"janus_id": janus_id}))["Gateways"]
        if gateway["state"] == "ready":
            return
        await trio.sleep(0.005)


async def attach(bridge: Bridge, janus_id: str = "gw1") -> Any:
    answer = await bridge.send(janus_id, {"janus": "attach", "plugin": GEN})
    assert answer["janus"] == "success"
    return answer["data"]["id"]


def message(handle: Any, body: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"janus": "message", "handle_id": handle, "body": body, **members}


async def test_from_mariadb_to_janus_and_back(
    mariadb: MariaDb, janus: Janus, bridge_factory: BridgeFactory, events: Receiver
) -> None:
    bridge = bridge_factory({}, **{"janus.janus_db_url": mariadb_table(mariadb, {"gw1": janus.url})})
    await ready(bridge)
    handle = await attach(bridge)

    answer = await bridge.send("gw1", message(handle, {"hello": "there"}, transaction="t-1"))
    assert answer["transaction"] == "t-1"
    assert answer["plugindata"] == {"plugin": GEN, "data": {"echo": {"hello": "there"}}}

    await bridge.send("gw1", message(handle, {"do": "say", "json": {"name": 'Zoë "/" \\', "n": 5, "wide": 1 << 40}}))
    session = answer["session_id"]
    said = json.dumps({"name": 'Zoë "/" \\', "n": 5, "wide": str(1 << 40)}, ensure_ascii=False, separators=(",", ":"))
    body = (
        f'{{"janus":"event","session_id":{json.dumps(session)},"sender":{json.dumps(handle)},'
        f'"plugindata":{{"plugin":"{GEN}","data":{said}}}}}'
    )
    assert (
        await events.receive()
        == (
            '{"jsonrpc":"2.0","method":"E_JANUS_EVENT","params":{"janus_id":"gw1",'
            f'"janus_url":"{janus.url}","janus_body":{json.dumps(body, ensure_ascii=False)}}}}}'
        ).encode()
    )


async def test_the_seed_example(bridge: Bridge) -> None:
    await ready(bridge)
    command = {
        "janus": "attach",
        "plugin": "janus.plugin.videoroom",
        "transaction": "abcdef123456",
        "session_id": 987654321,
    }
    answer = await bridge.send("gw1", command)
    assert (answer["janus"], answer["transaction"]) == ("success", "abcdef123456")
    assert int(answer["data"]["id"]) > 0


async def test_a_hundred_commands_in_flight_each_answered_to_its_own_caller(bridge: Bridge) -> None:
    await ready(bridge)
    handles = [await attach(bridge) for _ in range(4)]
    answers: dict[int, Any] = {}

    async def call(tag: int) -> None:
        command = message(handles[tag % len(handles)], {"do": "hold", "tag": tag}, transaction=f"caller-{tag}")
        answers[tag] = await bridge.send("gw1", command)

    async with trio.open_nursery() as nursery:
        for tag in range(100):
            nursery.start_soon(call, tag)
        released = 0
        while released < 100:  # Janus answers only now, and the last one first
            answer = await bridge.send("gw1", message(handles[0], {"do": "release"}))
            released += answer["plugindata"]["data"]["released"]
    for tag, answer in answers.items():
        assert (answer["transaction"], answer["plugindata"]["data"]) == (f"caller-{tag}", {"tag": tag})
    assert len(answers) == 100


async def test_an_error_of_janus_is_the_result_at_once(bridge: Bridge) -> None:
    await ready(bridge)
    answer = await bridge.send("gw1", {"janus": "attach", "plugin": "janus.plugin.nonsense", "transaction": "x"})
    assert (answer["janus"], answer["transaction"], answer["error"]["code"]) == ("error", "x", 460)
    handle = await attach(bridge)
    answer = await bridge.send("gw1", message(handle, {"do": "err"}))
    assert answer["error"] == {"code": 462, "reason": "boom"}


async def test_an_unknown_gateway_is_an_mi_error(bridge: Bridge) -> None:
    with pytest.raises(MiError) as unknown:
        await bridge.send("nobody", {"janus": "info"})
    assert (unknown.value.code, unknown.value.message) == (404, "Unknown Janus ID")


async def test_a_refusing_gateway_leaves_the_others_unharmed(janus: Janus, bridge_factory: BridgeFactory) -> None:
    dead = f"janusws://127.0.0.1:{free_port()}/janus"
    bridge = bridge_factory({"dead": dead, "gw1": janus.url})
    await ready(bridge)
    with pytest.raises(MiError) as down:
        await bridge.send("dead", {"janus": "info"})
    assert (down.value.code, down.value.message) == (503, "Janus not connected")
    assert (await bridge.send("gw1", {"janus": "info"}))["janus"] == "server_info"


async def test_a_reset_by_one_http_client_leaves_the_others_unharmed(bridge: Bridge) -> None:
    await ready(bridge)
    handle = await attach(bridge)
    answers: list[Any] = []

    async def patient() -> None:
        answers.append(await bridge.send("gw1", message(handle, {"do": "hold", "tag": 1})))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(patient)
        for sent in (b"", b"POST /mi HTTP/1.1\r\nContent-Le", _post(message(handle, {"do": "hold", "tag": 2}))):
            await _reset_after(bridge, sent)
        released = 0
        while released < 1 or not answers:
            answer = await bridge.send("gw1", message(handle, {"do": "release"}))
            released += answer["plugindata"]["data"]["released"]
    assert answers[0]["plugindata"]["data"] == {"tag": 1}


async def test_garbage_datagrams_harm_nobody(janus: Janus, bridge_factory: BridgeFactory) -> None:
    port = free_port()
    bridge = bridge_factory({"gw1": janus.url}, **{"mi.datagram": [f"udp:127.0.0.1:{port}"]})
    await ready(bridge)
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        await sender.connect(("127.0.0.1", port))
        for garbage in (b"\x00\xff\xfe", b"", b"{" * 60_000, b"[1,2]"):
            await sender.send(garbage)
        await sender.send(mi_client.request("janus_send_request", ["gw1", '{"janus":"info"}']))
        while not (answer := await sender.recv(65535)).startswith(b'{"jsonrpc":"2.0","result"'):
            pass
    assert mi_client.result(answer)["janus"] == "server_info"
    assert (await bridge.send("gw1", {"janus": "info"}))["janus"] == "server_info"


def _post(command: dict[str, Any]) -> bytes:
    body = mi_client.request("janus_send_request", ["gw1", json.dumps(command)])
    head = (
        f"POST /mi HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _reset_after(bridge: Bridge, sent: bytes) -> None:
    """Connect, send, and end the connection with a RST."""
    port = int(bridge.mi_url.rsplit(":", 1)[1].split("/")[0])
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    if sent:
        await stream.send_all(sent)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()
