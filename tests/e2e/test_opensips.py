"""The examples that call Janus, in a real OpenSIPS beside the installed bridge and a real Janus."""

import itertools
import json
import re
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.conftest import BridgeFactory
from tests.e2e.test_main_job import attach, message, ready
from tests.support.bridge import Bridge
from tests.support.janus import Janus
from tests.support.mi_client import MiError
from tests.support.opensips import EXAMPLES, NEEDS_OPENSIPS, OpenSips, check, needs_modules, write_examples
from tests.support.ports import free_port
from tests.support.sip import SipCaller
from tests.support.tables import sqlite_table

pytestmark = NEEDS_OPENSIPS

VIDEOROOM = "janus.plugin.videoroom"
AUDIOBRIDGE = "janus.plugin.audiobridge"
BEFORE, AFTER = "module_before.cfg", "module_after.cfg"
MODULES = {BEFORE: ("janus", "db_mysql"), "rabbitmq_consumer.cfg": ("rabbitmq_consumer",)}  # not every build has them
EXAMPLE_NAMES = sorted(path.name for path in EXAMPLES.glob("*.cfg"))
MODULE_TIMEOUT = "3000"  # ms, of module_before.cfg
MYSQL = 'loadmodule "db_mysql.so"'
MYSQL_URL = '"mysql://opensips:opensipsrw@localhost/opensips"'

OFFER = """v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 {}
a=setup:actpass
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
""".replace("\n", "\r\n").format(":".join(["AB"] * 32))

TELEPHONE_OFFER = """v=0
o=- 1 1 IN IP4 {0}
s=-
c=IN IP4 {0}
t=0 0
m=audio {1} RTP/AVP 9 0 8 101
a=rtpmap:101 telephone-event/8000
m=video 9 RTP/AVP 31
""".replace("\n", "\r\n")


@pytest.fixture
def own(bridge_factory: BridgeFactory, janus_factory: Callable[[], Janus]) -> Bridge:
    """A bridge whose "gw1" is a Janus of this test alone: rooms are made there."""
    return bridge_factory({"gw1": janus_factory().url})


@pytest.mark.parametrize(
    "example", [pytest.param(name, marks=needs_modules(*MODULES.get(name, ()))) for name in EXAMPLE_NAMES]
)
def test_opensips_accepts(example: str, tmp_path: Path) -> None:
    write_examples(tmp_path / "opensips", {})
    exit_code, said = check(tmp_path / "opensips" / example)
    assert exit_code == 0, said
    assert "CRITICAL" not in said
    assert "ERROR" not in said


@pytest.mark.parametrize("example", ["sync.cfg", "async.cfg"])
async def test_a_sip_request_is_answered_with_what_janus_said(example: str, bridge: Bridge, tmp_path: Path) -> None:
    await ready(bridge)
    with OpenSips(tmp_path / "opensips", example, bridge=bridge.mi_url) as opensips:
        async with SipCaller(opensips.sip_port) as caller:
            reply = await caller.request("OPTIONS", "gw1")
            assert reply.status == 200
            assert reply.headers["x-janus"].startswith("Janus WebRTC Server ")
            reply = await caller.request("OPTIONS", "nobody")
            assert (reply.status, reply.reason) == (404, "No Such Janus")
            bridge.stop()
            reply = await caller.request("OPTIONS", "gw1")
            assert (reply.status, reply.reason) == (503, "Janus Unavailable")
            line = await opensips.until_logged("Janus gw1: ")
            # A worker that has kept a connection finds there what the bridge said as it stopped.
            stopping = "janus-bridge refuses: HTTP 503 The bridge is stopping; nothing was done"
            assert "no answer from janus-bridge" in line or stopping in line


async def test_slow_answers_come_over_async(bridge: Bridge, tmp_path: Path) -> None:
    """Two, because the fault of older releases shows from the second on: the kept connection's."""
    await ready(bridge)
    late = json.dumps(message(await attach(bridge), {"do": "late", "ms": 1300}))  # connection_timeout is 1 s
    told = {
        '"{\\"janus\\": \\"info\\"}"': "$rb",
        "$json(info/name) $json(info/version_string)": "$avp(answer)",
        "udp_workers = 4": "udp_workers = 1",
    }
    with OpenSips(tmp_path / "opensips", "async.cfg", bridge=bridge.mi_url, replace=told) as opensips:
        async with SipCaller(opensips.sip_port) as caller:
            for _ in range(2):
                reply = await caller.request("OPTIONS", "gw1", late)
                assert reply.status == 200, opensips.log
                assert json.loads(reply.headers["x-janus"])["janus"] == "event"


async def test_a_refusal_is_an_error_in_the_log_once_a_minute(bridge: Bridge, tmp_path: Path) -> None:
    await ready(bridge)
    told = {'"{\\"janus\\": \\"info\\"}"': "$rb", "udp_workers = 4": "udp_workers = 1"}
    with OpenSips(tmp_path / "opensips", "sync.cfg", bridge=bridge.mi_url, replace=told) as opensips:
        async with SipCaller(opensips.sip_port) as caller:
            for _ in range(3):
                assert (await caller.request("OPTIONS", "gw1", '{"handle_id": $var(h)}')).status == 503
                assert (await caller.request("OPTIONS", "nobody", '{"janus": "info"}')).status == 404
            await opensips.until_logged("ERROR:", "janus_send_request: 400 Invalid Janus command")
            await opensips.until_logged("ERROR:", "janus_send_request: 404 Unknown Janus ID")
            assert opensips.log.count("janus_send_request: ") in (2, 4)  # 4: a minute began meanwhile


async def test_why_there_is_no_answer_is_said(bridge_factory: BridgeFactory, tmp_path: Path) -> None:
    dead = f"janusws://127.0.0.1:{free_port()}/janus"
    bridge = bridge_factory({"dead": dead}, **{"mi.token": "s3cret"})
    header = '#rest_append_hf("Authorization: Bearer SECRET")'
    without, withal = tmp_path / "without", tmp_path / "with"
    with OpenSips(without, "sync.cfg", bridge=bridge.mi_url) as opensips:
        async with SipCaller(opensips.sip_port) as caller:
            assert (await caller.request("OPTIONS", "dead")).status == 503
            await opensips.until_logged("Janus dead: janus-bridge refuses: HTTP 401")
    token = {header: header[1:].replace("SECRET", "s3cret")}
    with OpenSips(withal, "sync.cfg", bridge=bridge.mi_url, replace=token) as opensips:
        async with SipCaller(opensips.sip_port) as caller:
            assert (await caller.request("OPTIONS", "dead")).status == 503
            await opensips.until_logged("Janus dead: 503 Janus not connected: ")


async def test_whatever_janus_says_is_an_answer_and_what_it_cannot_read_is_not_sent(
    bridge: Bridge, tmp_path: Path
) -> None:
    await ready(bridge)
    told = {
        '"{\\"janus\\": \\"info\\"}"': "$rb",
        "$json(info/name) $json(info/version_string)": "$avp(answer)",
    }
    with OpenSips(tmp_path / "opensips", "sync.cfg", bridge=bridge.mi_url, replace=told) as opensips:
        async with SipCaller(opensips.sip_port) as caller:
            command = {"janus": "attach", "plugin": "janus.plugin.nonsense", "transaction": "mine"}
            reply = await caller.request("OPTIONS", "gw1", json.dumps(command))
            answer = json.loads(reply.headers["x-janus"])
            assert (reply.status, answer["janus"], answer["error"]["code"]) == (200, "error", 460)
            assert answer["transaction"] == "mine"
            assert (await caller.request("OPTIONS", "gw1", '{"janus":')).status == 503
            assert "Janus gw1: 400 Invalid Janus command" in await opensips.until_logged("Janus gw1: ")


WRONG = {
    '"gw1", $avp(nothing), "answer"': "400 Invalid Janus command: janus_command cannot be read: it is empty",
    '$avp(nothing), $var(command), "answer"': "404 Unknown Janus ID: no row of the table has janus_id ''",
    '"gw1", $var(command), $var(command)': 'the answer is lost: argument 3 is to be the name of an AVP, as "answer"',
}


async def test_what_a_script_gets_wrong_is_said(bridge: Bridge, tmp_path: Path) -> None:
    await ready(bridge)
    calls = [
        f'$var(rc) = route(JANUS_SEND_REQUEST, {things}); xlog("told {number} $var(rc) $avp(janus_error)\\n");'
        for number, things in enumerate(WRONG)
    ]
    info = '$var(command) = "{\\"janus\\": \\"info\\"}";'
    call = "\tif (route(JANUS_SEND_REQUEST"
    told = {call: f"\t{info}\n" + "\n".join(calls) + f"\n{call}"}
    with OpenSips(tmp_path / "opensips", "sync.cfg", bridge=bridge.mi_url, replace=told) as opensips:
        async with SipCaller(opensips.sip_port) as caller:
            assert (await caller.request("OPTIONS", "gw1")).status == 200
        for number, error in enumerate(WRONG.values()):
            assert error in await opensips.until_logged(f"told {number} -1 ")


async def test_a_command_is_built_from_hostile_text(own: Bridge, tmp_path: Path) -> None:
    await ready(own)
    text = 'Zoë\'s "room"\r\n\\ </script> \t", "secret": "x", "permanent": true, "a": "€ 😀'
    with OpenSips(tmp_path / "opensips", "build_command.cfg", bridge=own.mi_url) as opensips:
        async with SipCaller(opensips.sip_port) as caller:
            for description, done in ((text, "created"), (text * 100, "edited")):
                reply = await caller.request("MESSAGE", "4711", description)
                assert reply.status == 200
                assert re.fullmatch(rf"4711 {done} by handle [1-9]\d{{9,}}", reply.headers["x-room"])
                assert (await room(own, 4711))["description"] == description
            for user in ("0", "12345678901", "x"):
                assert (await caller.request("MESSAGE", user, text)).status == 404
    await all_detached(own)


@pytest.mark.parametrize("example", [pytest.param(BEFORE, marks=needs_modules("janus", "db_sqlite")), AFTER])
async def test_the_script_works_alike_with_the_module_and_with_the_bridge(
    example: str, bridge_factory: BridgeFactory, janus_factory: Callable[[], Janus], tmp_path: Path
) -> None:
    janus = janus_factory()  # of our own, for a room of our own
    table = sqlite_table(tmp_path / "janus.db", {"gw1": janus.url})
    database = {MYSQL: MYSQL.replace("mysql", "sqlite"), MYSQL_URL: json.dumps(table), MODULE_TIMEOUT: "100"}
    bridge = bridge_factory({"gw1": janus.url})
    await ready(bridge)
    await create_room(bridge, 815)
    with OpenSips(tmp_path / "opensips", example, bridge=bridge.mi_url, replace=database) as opensips:
        socket = f"mi:udp:127.0.0.1:{opensips.mi_port}"
        await bridge.ami("event_subscribe", ["E_JANUS_EVENT", socket])
        async with SipCaller(opensips.sip_port) as caller:
            for user, status, reason in (("815", 200, "OK"), ("816", 404, "No Such Room")):
                while (reply := await caller.request("OPTIONS", user)).status == 503:
                    pass  # the module takes commands before it has a session, and waits in vain for their answers
                assert (reply.status, reply.reason) == (status, reason)
        await opensips.until_logged("NOTICE:gw1: detached from handle ")


async def test_a_conference(own: Bridge, tmp_path: Path) -> None:
    await ready(own)
    with OpenSips(tmp_path / "opensips", "videoroom.cfg", bridge=own.mi_url) as opensips:
        for event in ("E_JANUS_EVENT", "E_JANUS_STATUS"):
            await own.ami("event_subscribe", [event, f"mi:udp:127.0.0.1:{opensips.mi_port}"])
        async with SipCaller(opensips.sip_port) as first, SipCaller(opensips.sip_port) as second:
            assert (await first.request("INVITE", "2024")).status == 488
            for caller in (first, second):
                reply = await caller.request("INVITE", "2024", OFFER, "application/sdp")
                assert reply.status == 200
                assert reply.headers["content-type"] == "application/sdp"
                assert f"sip:2024@127.0.0.1:{opensips.sip_port}" in reply.headers["contact"]
                assert "a=ice-ufrag:" in reply.body
                assert "a=fingerprint:sha-256 " in reply.body
            assert (await room(own, 2024))["num_participants"] == 2

            assert (await first.request("BYE", "2024")).status == 200
            await opensips.until_logged(f"call {second.call_id}: ", '"leaving":')
            assert (await first.request("BYE", "2024")).status == 481

            # The second telephone vanishes: no BYE, but Janus says so.
            [handle] = await handles(own)
            assert (await opensips.mi("cache_fetch", ["local", f"call {handle}"]))["value"] == second.call_id
            gone = {"janus": "hangup", "sender": handle, "reason": "ICE failed"}
            params = {"janus_id": "gw1", "janus_url": "u", "janus_body": json.dumps(gone), "janus_seq": "0-1"}
            await opensips.mi("raise_event", ["E_JANUS_EVENT", json.dumps(params)])
            await all_detached(own)
            assert (await second.request("BYE", "2024")).status == 481
        assert (await room(own, 2024))["num_participants"] == 0


@pytest.mark.parametrize("example", ["videoroom.cfg", "audiobridge.cfg"])
async def test_a_call_that_janus_refuses_leaves_no_handle(example: str, own: Bridge, tmp_path: Path) -> None:
    await ready(own)
    await ask(own, {"request": "create", "room": 2024}, AUDIOBRIDGE)
    refused = {"videoroom.cfg": "v=0\r\nx\r\n", "audiobridge.cfg": TELEPHONE_OFFER.format("127.0.0.1", 9)}
    with OpenSips(tmp_path / "opensips", example, bridge=own.mi_url) as opensips:
        async with SipCaller(opensips.sip_port) as caller:
            reply = await caller.request("INVITE", "2024", refused[example], "application/sdp")
            assert reply.status == {"videoroom.cfg": 502, "audiobridge.cfg": 488}[example]
            await all_detached(own)


async def test_telephones_in_an_audio_room(own: Bridge, tmp_path: Path) -> None:
    await ready(own)
    with OpenSips(tmp_path / "opensips", "audiobridge.cfg", bridge=own.mi_url) as opensips:
        async with SipCaller(opensips.sip_port) as first, SipCaller(opensips.sip_port) as second:
            assert (await first.request("INVITE", "2024", OFFER, "application/sdp")).status == 488  # of WebRTC
            for caller in (first, second):
                with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
                    await media.bind(("127.0.0.1", 0))
                    offer = TELEPHONE_OFFER.format("127.0.0.1", media.getsockname()[1])
                    reply = await caller.request("INVITE", "2024", offer, "application/sdp")
                    assert reply.status == 200
                    assert "\r\nm=video 0 RTP/AVP 31\r\n" in reply.body
                    where = re.search(r"c=IN IP4 (\S+)\r\n.*m=audio (\d+) RTP/AVP 0\r\n", reply.body, re.DOTALL)
                    assert where is not None
                    await until_heard(media, where[1], int(where[2]))
            audio = {"request": "listparticipants", "room": 2024}
            assert len((await ask(own, audio, AUDIOBRIDGE))["participants"]) == 2
            assert (await first.request("INVITE", "2024", offer, "application/sdp")).status == 488  # of the same call
            assert (await first.request("BYE", "2024")).status == 200
            assert (await first.request("BYE", "2024")).status == 481
            assert (await second.request("BYE", "2024")).status == 200
        await all_detached(own)
        assert (await ask(own, audio, AUDIOBRIDGE))["participants"] == []


async def until_heard(media: trio.socket.SocketType, host: str, port: int) -> None:
    """Send silence in PCMU, as a telephone does, until the room's sound comes back."""
    for number in itertools.count():
        await media.sendto(struct.pack("!BBHII", 0x80, 0, number, number * 160, 7) + b"\xff" * 160, (host, port))
        with trio.move_on_after(0.02):
            packet = await media.recv(1500)
            assert (packet[0], packet[1] & 0x7F, len(packet)) == (0x80, 0, 172)
            return


async def all_detached(bridge: Bridge) -> None:
    """Wait for the end of all handles: where nobody waits for the answer of a detach, it may still be under way."""
    while True:
        if not await handles(bridge):
            return
        await trio.sleep(0.005)


async def handles(bridge: Bridge) -> Any:
    [gateway] = (await bridge.ami("janus_list", ["gw1"]))["Gateways"]
    return [one["handle_id"] for session in gateway["sessions"] for one in session["handles"]]


async def ask(bridge: Bridge, body: dict[str, Any], plugin: str = VIDEOROOM) -> Any:
    """A plugin's answer to a request, by way of MI."""
    handle = (await bridge.send("gw1", {"janus": "attach", "plugin": plugin}))["data"]["id"]
    answer = await bridge.send("gw1", {"janus": "message", "handle_id": handle, "body": body})
    await bridge.send("gw1", {"janus": "detach", "handle_id": handle})
    return answer["plugindata"]["data"]


async def create_room(bridge: Bridge, number: int) -> None:
    answer = await ask(bridge, {"request": "create", "room": number})
    assert answer["videoroom"] == "created"


async def room(bridge: Bridge, number: int) -> Any:
    [found] = [room for room in (await ask(bridge, {"request": "list"}))["list"] if room["room"] == number]
    return found


@needs_modules("clusterer", "proto_bin")
async def test_the_other_opensips_knows_which_call_is_which_handle(tmp_path: Path) -> None:
    """cluster.inc, twice on this machine; OpenSIPS tells nobody when something of another node has come."""
    ports = free_port(), free_port()
    include = 'include_file "janus-bridge.inc"'
    made = []
    for own, other in ((0, 1), (1, 0)):
        told = {
            include: f'{include}\ninclude_file "cluster.inc"',
            "10.0.0.1:5566": f"127.0.0.1:{ports[own]}",
            "10.0.0.2:5566": f"127.0.0.1:{ports[other]}",
            '"my_node_id", 1)': f'"my_node_id", {own + 1})',
            "node_id=2": f"node_id={other + 1}",
        }
        made.append(OpenSips(tmp_path / f"opensips-{own}", "videoroom.cfg", replace=told))
    with made[0] as first, made[1] as second:
        assert await first.mi("clusterer_shtag_set_active", ["vip/1"]) == "OK"
        for node in (first, second):  # each takes the other for up on its own
            while (await node.mi("clusterer_list"))["Clusters"][0]["Nodes"][0]["link_state"] != "Up":  # noqa: ASYNC110
                await trio.sleep(0.02)
        await first.mi("cache_store", ["local", "call 5363881119604597", "a84b4c76e66710"])
        while not (found := await cached(second, "call 5363881119604597")):  # noqa: ASYNC110 - as above
            await trio.sleep(0.02)
        assert found == "a84b4c76e66710"


async def cached(node: OpenSips, key: str) -> str | None:
    """What its cache has of this name; None as long as it has nothing, which MI says by an error."""
    try:
        return str((await node.mi("cache_fetch", ["local", key]))["value"])
    except MiError as error:
        if error.message != "Value not found":
            raise
        return None
