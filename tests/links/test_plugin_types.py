"""A real Janus is the authority on what its plugins read as integers (contract 5.6).

Each row is sent twice: a wide decimal string that is left one, of which Janus has to say that it should be an integer,
so that the plugin does read one there; and the same by the table, of which Janus must not. What newer ones than
Debian's 1.1.2 read besides is in tests/protocol/test_plugin_types.py.
"""

import re
from collections.abc import Callable
from typing import Any

from bridge.config import load
from bridge.daemon.gateways import Gateways
from bridge.protocol.command import read_command
from bridge.protocol.plugin_types import INTEGER_MEMBERS, UNKNOWN, PluginTypes
from bridge.transport.batch import Batch
from tests.support.fake_janus import open_fake_janus
from tests.support.janus import Janus
from tests.support.linkbed import LinkBed, caller, running

WIDE = "4930901820"
AUDIOBRIDGE, VIDEOROOM = "janus.plugin.audiobridge", "janus.plugin.videoroom"
WRONG_TYPE = re.compile(r"should be an? (positive )?integer\)")

CREATE = "sampling_rate sampling audio_active_packets audio_level_average default_expectedloss default_bitrate"
JOIN = "room id bitrate quality expected_loss volume spatial_position audio_level_average audio_active_packets"
SIMULCAST = "substream temporal fallback"
FORWARD = "port rtcp_port ssrc pt port_2 ssrc_2 pt_2 port_3 ssrc_3 pt_3 srtp_suite"
OLD_FORWARD = (
    "audio_port audio_rtcp_port audio_ssrc audio_pt data_port video_port video_rtcp_port video_ssrc video_pt"
    " video_port_2 video_ssrc_2 video_pt_2 video_port_3 video_ssrc_3 video_pt_3 srtp_suite"
)
RTP = "collision threads srtpsuite"
RTSP = "rtsp_reconnect_delay rtsp_session_timeout rtsp_timeout rtsp_conn_timeout audiopt videopt threads"
RTP_AUDIO, RTP_VIDEO = "audioport audiortcpport audiopt", "videoport videortcpport videopt videoport2 videoport3"
HOST = {"host": "127.0.0.1"}
SUBSCRIBE = {"ptype": "subscriber", "room": 5}
AUDIO, VIDEO = {"audio": True, "audioport": 1, "audiopt": 1}, {"video": True, "videoport": 1, "videopt": 1}


# plugin, request, its other members, what is read as an integer in it, and within which array
ROWS: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("audiobridge", "create", {}, f"room {CREATE} default_prebuffering", ""),
    ("audiobridge", "join", {"room": 5}, f"{JOIN} prebuffer", ""),
    ("audiobridge", "rtp_forward", {"room": 5, "port": 1, **HOST}, "room ssrc ptype port srtp_suite", ""),
    ("audiobridge", "stop_rtp_forward", {"room": 5, "stream_id": 1}, "room stream_id", ""),
    ("audiobridge", "kick", {"room": 5, "id": 1}, "room id", ""),
    ("echotest", "", {"audio": True}, f"bitrate {SIMULCAST} min_delay max_delay", ""),
    ("recordplay", "configure", {}, "video-bitrate-max video-keyframe-interval", ""),
    ("recordplay", "play", {}, "id", ""),
    ("sip", "register", {"type": "helper", "username": "sip:a@127.0.0.1"}, "master_id register_ttl", ""),
    ("sip", "subscribe", {"event": "x", "to": "sip:b@127.0.0.1"}, "subscribe_ttl", ""),
    ("sip", "call", {"uri": "sip:b@127.0.0.1"}, "refer_id", ""),
    ("streaming", "create", {"type": "rtp"}, f"id {RTP}", ""),
    ("streaming", "create", {"type": "rtp", **AUDIO}, RTP_AUDIO, ""),
    ("streaming", "create", {"type": "rtp", **VIDEO}, RTP_VIDEO, ""),
    ("streaming", "create", {"type": "rtp", "data": True}, "dataport", ""),
    ("streaming", "create", {"type": "rtp"}, "port rtcpport pt port2 port3", "media"),
    ("streaming", "create", {"type": "live", "filename": "/none"}, "audiopt", ""),
    ("streaming", "create", {"type": "ondemand", "filename": "/none"}, "audiopt", ""),
    ("streaming", "create", {"type": "rtsp"}, RTSP, ""),
    ("streaming", "info", {}, "id", ""),
    ("streaming", "watch", {}, "id", ""),
    ("textroom", "create", {}, "room history", ""),
    ("textroom", "exists", {}, "room", ""),
    ("videocall", "set", {}, "bitrate", ""),
    ("videoroom", "create", {}, "room bitrate fir_freq publishers audio_active_packets audio_level_average", ""),
    ("videoroom", "edit", {"room": 5}, "room new_bitrate new_fir_freq new_publishers", ""),
    ("videoroom", "rtp_forward", {"room": 5, "publisher_id": 1, **HOST}, f"room publisher_id {OLD_FORWARD}", ""),
    ("videoroom", "rtp_forward", {"room": 5, "publisher_id": 1, **HOST}, FORWARD, "streams"),
    ("videoroom", "stop_rtp_forward", {"room": 5, "publisher_id": 1, "stream_id": 1}, "publisher_id stream_id", ""),
    ("videoroom", "kick", {"room": 5, "id": 1}, "id", ""),
    ("videoroom", "join", {"ptype": "publisher", "room": 5}, "room id bitrate", ""),
    ("videoroom", "join", SUBSCRIBE, f"private_id {SIMULCAST} spatial_layer temporal_layer feed", ""),
    (
        "videoroom",
        "join",
        SUBSCRIBE,
        "feed substream temporal spatial_layer temporal_layer min_delay max_delay",
        "streams",
    ),
]


async def complaint(bed: LinkBed, plugin: str, body: dict[str, Any], *, as_it_is: bool) -> str:
    """What a new handle says of it."""
    link, handle = bed.registry.find("gw"), await bed.attach(plugin)
    if plugin == "janus.plugin.sip" and body["request"] != "register":
        await bed.message(handle, {"request": "register", "type": "guest", "username": "sip:a@127.0.0.1"})
    command = {"janus": "message", "handle_id": handle, "body": body}
    read = (
        read_command(command, PluginTypes(members=()))
        if as_it_is
        else read_command(command, UNKNOWN, link.book.plugin_of)
    )
    answer = await caller(link, read, 5)
    await bed.ask({"janus": "detach", "handle_id": handle})
    return str(answer["plugindata"]["data"].get("error", ""))


async def test_a_real_janus_reads_integers_where_the_table_has_them(janus_factory: Callable[..., Janus]) -> None:
    server = janus_factory(all_plugins=True)
    wrong = []
    async with running(LinkBed(), {"gw": server.url}) as bed:
        await bed.ready()
        for plugin in (AUDIOBRIDGE, VIDEOROOM):
            await bed.message(await bed.attach(plugin), {"request": "create", "room": 5})
        for name, request, more, members, within in ROWS:
            plugin = f"janus.plugin.{name}"
            for member in members.split():
                inner = {"mid": "0", "type": "video", "port": 1, member: WIDE}
                body = {**({"request": request} if request else {}), **more}
                body |= {within: [inner]} if within else {member: WIDE}
                left = await complaint(bed, plugin, body, as_it_is=True)
                read = await complaint(bed, plugin, body, as_it_is=False)
                if not WRONG_TYPE.search(left) or WRONG_TYPE.search(read):
                    wrong.append((name, request, within, member, left, read))
    assert not wrong, "\n".join(map(str, wrong))


async def test_one_janus_with_both_kinds_of_ids(janus_factory: Callable[..., Janus]) -> None:
    """A room that is named like a telephone number where ids are strings, and integers in the plugin beside it."""
    server = janus_factory(string_ids=("videoroom",))
    bed = LinkBed(types=PluginTypes(string_ids=[VIDEOROOM]))
    async with running(bed, {"gw": server.url}):
        await bed.ready()
        for plugin, participant in ((VIDEOROOM, {"ptype": "publisher"}), (AUDIOBRIDGE, {})):
            handle = await bed.attach(plugin)
            verb = plugin.rpartition(".")[2]
            made = await bed.message(handle, {"request": "create", "room": WIDE})
            assert made["plugindata"]["data"][verb] == "created"
            room = made["plugindata"]["data"]["room"]
            assert room == WIDE
            joined = await bed.message(handle, {"request": "join", "room": room, "id": "4915112345678", **participant})
            assert joined["plugindata"]["data"]["id"] == "4915112345678"
            listed = await bed.message(handle, {"request": "listparticipants", "room": room})
            assert listed["plugindata"]["data"]["participants"][0]["id"] == "4915112345678"


async def test_a_handle_of_the_last_process_keeps_its_types(janus_factory: Callable[..., Janus]) -> None:
    """Of a process that did not save its plugin it is known from the first answer on."""
    server = janus_factory(reclaim_session_timeout=30)
    before = LinkBed()
    async with running(before, {"gw": server.url}):
        await before.ready()
        handle = await before.attach(VIDEOROOM)
        other = await before.attach(VIDEOROOM)
        gone = await before.attach(VIDEOROOM)
        await before.ask({"janus": "detach", "handle_id": gone})
    [saved] = before.saved["gw", server.url].values()
    assert dict(saved.handles) == {int(handle): VIDEOROOM, int(other): VIDEOROOM}
    before.saved["gw", server.url] = {saved.session_id: saved._replace(handles=saved.handles[:1])}
    async with running(LinkBed(saved=before.saved), {"gw": server.url}) as bed:
        await bed.ready()
        body = {"request": "create", "bitrate": WIDE}
        assert (await bed.message(handle, body))["plugindata"]["data"]["videoroom"] == "created"
        assert WRONG_TYPE.search((await bed.message(other, body))["plugindata"]["data"]["error"])
        assert (await bed.message(other, body))["plugindata"]["data"]["videoroom"] == "created"


def test_what_is_configured_for_a_gateway_wins_over_what_is_for_all(batch: Batch) -> None:
    own = "janus.gateways.gw"
    names = [
        f"janus.string_ids=['{VIDEOROOM}']",
        f"{own}.string_ids=['{AUDIOBRIDGE}']",
        f"{own}.integer_members=['uid']",
    ]
    gateways = Gateways(load(overrides=names, environ={"HOME": "/"}), batch)
    mine, others = gateways.types("gw"), gateways.types("another")
    assert "room" in mine.rules[VIDEOROOM].integers
    assert "room" not in mine.rules[AUDIOBRIDGE].integers
    assert "room" not in others.rules[VIDEOROOM].integers
    assert "room" in others.rules[AUDIOBRIDGE].integers
    assert set(mine.guessed.integers) == {"uid"}
    assert set(others.guessed.integers) == set(INTEGER_MEMBERS)


async def test_what_a_user_brought_comes_back_as_it_was() -> None:
    """In an answer and in an event; Debian's videoroom has no metadata yet."""
    own = {"room": 1 << 40, "text": "4930901820", "list": [1 << 40]}
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        await bed.ready()
        handle = await bed.attach(VIDEOROOM)
        said: list[Any] = []

        def answer(request: Any) -> list[Any]:
            said.append(request["body"])
            data = {"id": 1 << 40, "metadata": request["body"]["metadata"]}
            event = {
                "janus": "event",
                "session_id": request["session_id"],
                "sender": request["handle_id"],
                "plugindata": {"plugin": VIDEOROOM, "data": data},
            }
            return [event, {**event, "transaction": request["transaction"]}]

        fake.script["message"] = answer
        got = (await bed.message(handle, {"request": "configure", "metadata": own}))["plugindata"]["data"]
        assert said == [{"request": "configure", "metadata": own}]
        assert got == {"id": str(1 << 40), "metadata": own}
        assert [event["plugindata"]["data"] for event in bed.events] == [got]
        await bed.message(handle, {"request": "configure", **got})
        assert said[1] == {"request": "configure", "id": 1 << 40, "metadata": own}
