"""What Janus's plugins read as integers in the ``body`` of a message, member by member (contract 5.6).

Owns the table, and what becomes of a body and of an answer by it. Must not know handles or sessions.
Authority: the parameter tables (``janus_json_parameter``) and what is read beside them in ``src/plugins/*.c``, Janus
1.1.2 to 1.4.1. tests/links/test_plugin_types.py asks a real Janus.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, Protocol

from bridge.protocol import codec
from bridge.protocol.codec import INT32_MAX, INT32_MIN, OWN, JsonObject, integer

# For plugins that are not known: the members whose wide decimal strings become integers, wherever they stand.
INTEGER_MEMBERS = ("id", "feed", "room", "publisher_id", "private_id", "stream_id", "master_id")
WIDE: Final = 10  # characters of the shortest decimal number outside signed 32 bits


class Rule(Protocol):
    """Which members of an object are integers to Janus, and by which rule its inner objects and arrays go."""

    @property
    def integers(self) -> Collection[str]: ...

    def inner(self, key: str) -> "Rule | None":
        """None: what stands there is the user's own."""


class Read:
    """An object that a plugin reads: exactly these members, in itself and in the objects and arrays that it reads."""

    __slots__ = ("_inner", "integers")

    def __init__(self, integers: str, **inner: "Read") -> None:
        self.integers: Final = frozenset(integers.split())
        self._inner = inner

    def inner(self, key: str) -> "Read | None":
        return self._inner.get(key)

    def __iter__(self) -> Iterator[tuple[str, "Read"]]:
        return iter(self._inner.items())

    def without(self, names: Collection[str]) -> "Read":
        """The same with these members as strings, wherever they stand."""
        inner = {key: rule.without(names) for key, rule in self}
        return Read(" ".join(self.integers.difference(names)), **inner)


class Guessed:
    """An object of a plugin that is not known: members with these names, wherever they stand."""

    __slots__ = ("integers",)

    def __init__(self, integers: Collection[str]) -> None:
        self.integers: Final = frozenset(integers) - OWN

    def inner(self, key: str) -> "Guessed | None":
        return None if key in OWN else self


_SIMULCAST = "substream temporal fallback spatial_layer temporal_layer min_delay max_delay"
_FORWARD = Read("port ssrc pt srtp_suite")
_SCRIPT = Read("")  # a script's parameters are its own

PLUGINS: Mapping[str, Read] = {
    "janus.plugin.audiobridge": Read(
        "room id sampling_rate sampling audio_active_packets audio_level_average default_prebuffering"
        " default_expectedloss default_bitrate prebuffer bitrate quality expected_loss volume spatial_position"
        " ssrc ptype port srtp_suite stream_id payload_type audiolevel_ext",
        rtp=Read("port payload_type audiolevel_ext"),
    ),
    "janus.plugin.duktape": _SCRIPT,
    "janus.plugin.echotest": Read(f"bitrate {_SIMULCAST}"),
    "janus.plugin.lua": _SCRIPT,
    "janus.plugin.nosip": Read("stream_id", streams=_FORWARD),
    "janus.plugin.recordplay": Read("id video-bitrate-max video-keyframe-interval"),
    "janus.plugin.sip": Read(
        "master_id register_ttl subscribe_ttl refer_id code duration stream_id",
        streams=_FORWARD,
    ),
    "janus.plugin.streaming": Read(
        f"id {_SIMULCAST} collision bufferkf_ms bufferkf_bytes threads srtpsuite abscapturetime_src_ext_id"
        " rtsp_reconnect_delay rtsp_session_timeout rtsp_timeout rtsp_conn_timeout"
        " audioport audiortcpport audiopt videoport videortcpport videopt videoport2 videoport3 dataport",
        media=Read("port rtcpport pt port2 port3"),
        streams=Read(_SIMULCAST),
    ),
    "janus.plugin.textroom": Read("room history"),
    "janus.plugin.videocall": Read("bitrate substream temporal fallback"),
    "janus.plugin.videoroom": Read(
        f"room id feed publisher_id private_id stream_id bitrate fir_freq publishers threads new_bitrate new_fir_freq"
        f" new_publishers audio_active_packets audio_level_average audio_level_averge {_SIMULCAST}"
        " port rtcp_port srtp_suite audio_port audio_rtcp_port audio_ssrc audio_pt data_port"
        " video_port video_rtcp_port video_ssrc video_pt video_port_2 video_ssrc_2 video_pt_2"
        " video_port_3 video_ssrc_3 video_pt_3",
        streams=Read(
            f"feed audio_active_packets audio_level_average audio_level_averge {_SIMULCAST} port rtcp_port ssrc pt"
            " srtp_suite port_2 ssrc_2 pt_2 port_3 ssrc_3 pt_3"
            " mindex audiolevel_ext_id videoorient_ext_id playoutdelay_ext_id"
        ),
        subscribe=Read("feed substream temporal spatial_layer temporal_layer min_delay max_delay"),
        unsubscribe=Read("feed"),
    ),
    "janus.plugin.voicemail": Read(""),
}
SCRIPTS: Final = frozenset(plugin for plugin, rule in PLUGINS.items() if rule is _SCRIPT)
# What `string_ids = true` in a plugin's own configuration makes strings.
STRING_IDS: Mapping[str, frozenset[str]] = {
    "janus.plugin.audiobridge": frozenset({"room", "id"}),
    "janus.plugin.streaming": frozenset({"id"}),
    "janus.plugin.textroom": frozenset({"room"}),
    "janus.plugin.videoroom": frozenset({"room", "id", "feed", "publisher_id"}),
}


class PluginTypes:
    """Of one Janus: ``members`` for plugins that are not known, ``string_ids`` the plugins where that is set.

    ``rules`` says by plugin how the body of a message for a handle of it is read; ``guessed``, of any other.
    """

    def __init__(self, members: Collection[str] = INTEGER_MEMBERS, string_ids: Collection[str] = ()) -> None:
        self.guessed: Final[Rule] = Guessed(members)
        self.rules: Final[dict[str | None, Rule]] = {plugin: rule for plugin, rule in PLUGINS.items()}
        for plugin in string_ids:
            self.rules[plugin] = PLUGINS[plugin].without(STRING_IDS[plugin])


UNKNOWN = PluginTypes()


def widen(message: JsonObject) -> bool:
    """``codec.widen_inside`` for a message of Janus: what a script says stays as it is."""
    plugindata = message.get("plugindata")
    plugin = plugindata.get("plugin") if type(plugindata) is dict else None
    if type(plugin) is str and plugin in SCRIPTS:
        message["plugindata"] = None
        codec.widen_inside(message)
        message["plugindata"] = plugindata
        return False
    return codec.widen_inside(message)


def narrow(body: Any, rule: Rule) -> Any:
    """A command's ``body`` with the wide decimal strings that are integers to Janus as such; the rest is as it was.

    Never a string within 32 bits: to $json() such an integer is one, and so a string is what was meant.
    """
    if isinstance(body, dict):
        made: dict[str, Any] | None = None
        integers = rule.integers
        for key, item in body.items():
            kind = type(item)
            if kind is str:
                if len(item) < WIDE or key not in integers:
                    continue
                number = integer(item)
                if number is None or INT32_MIN <= number <= INT32_MAX:
                    continue
                new: Any = number
            elif kind is dict or kind is list:
                inner = rule.inner(key)
                if inner is None or (new := narrow(item, inner)) is item:
                    continue
            else:
                continue
            if made is None:
                made = dict(body)
            made[key] = new
        return body if made is None else made
    if isinstance(body, list):
        items = [narrow(item, rule) if type(item) is dict or type(item) is list else item for item in body]
        return items if any(map(lambda new, old: new is not old, items, body)) else body
    return body
