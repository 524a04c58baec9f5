"""Types as the plugins have them: on the way to Janus, and back (contract 5.6)."""

import copy
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.protocol import codec
from bridge.protocol.codec import INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, OWN
from bridge.protocol.plugin_types import INTEGER_MEMBERS, PLUGINS, STRING_IDS, UNKNOWN, PluginTypes, narrow, widen
from tests.support import json_values
from tests.support.examples import examples

WIDE = 4930901820
# What Janus's own sources keep in 32 bits without a sign, or in 64: the integers that Janus makes, or a caller may
# choose, above 31 bits. By plugin: the paths of a body.
ABOVE_31_BITS = {
    "audiobridge": "room id stream_id ssrc",
    "nosip": "stream_id streams.ssrc",
    "recordplay": "id",
    "sip": "master_id refer_id stream_id streams.ssrc",
    "streaming": "id bufferkf_bytes",
    "textroom": "room",
    "videoroom": "room id feed publisher_id private_id stream_id bitrate new_bitrate audio_ssrc video_ssrc video_ssrc_2"
    " video_ssrc_3 streams.feed streams.ssrc streams.ssrc_2 streams.ssrc_3 subscribe.feed unsubscribe.feed",
}
# Texts, to the same plugins, that often look like numbers.
TEXTS = {
    "audiobridge": "display pin secret token group admin_key description filename host rtp.ip",
    "nosip": "info streams.host",
    "recordplay": "name filename",
    "sip": "username secret ha1_secret authuser display_name uri call_id content digit to",
    "streaming": "name description secret pin metadata media.mid media.mcast streams.mid",
    "textroom": "username display pin secret token text to",
    "videocall": "username filename",
    "videoroom": "display pin secret token description mid crossrefid streams.mid streams.sub_mid streams.crossrefid"
    " descriptions.description remote_id host",
    "echotest": "filename audiocodec",
}


def sent(plugin: str | None, body: Any, types: PluginTypes = UNKNOWN) -> Any:
    return narrow(body, types.rules.get(plugin, types.guessed))


def paths(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(plugin, path) for plugin, names in table.items() for path in names.split()]


def at(path: str, value: Any) -> Any:
    outer, _, name = path.rpartition(".")
    return {outer: [{name: value}, {"other": value}]} if outer else {name: value, "other": value}


@pytest.mark.parametrize(("plugin", "path"), paths(ABOVE_31_BITS))
def test_an_integer_above_31_bits_is_one_again(plugin: str, path: str) -> None:
    name = f"janus.plugin.{plugin}"
    for number in (2**31, 2**32 - 1, 2**53, INT64_MAX):
        data = at(path, number) | {"other": 1}
        body = codec.widen(copy.deepcopy(data))
        assert body != data
        back = sent(name, body)
        outer, _, key = path.rpartition(".")
        assert (back[outer][0][key] if outer else back[key]) == number


@pytest.mark.parametrize(("plugin", "path"), paths(TEXTS))
def test_a_text_that_looks_like_a_number_stays_one(plugin: str, path: str) -> None:
    body = at(path, str(WIDE))
    assert sent(f"janus.plugin.{plugin}", body) is body


def test_the_rest_of_a_body_is_as_it_was() -> None:
    own = {name: {"room": str(WIDE), "id": WIDE, "feed": [str(WIDE)]} for name in OWN}
    body = {"room": "4930901820", "streams": [{"feed": "4930901820", "mid": "4930901820", **own}], **own}
    before = copy.deepcopy(body)
    wanted = {**body, "room": WIDE, "streams": [{"feed": WIDE, "mid": "4930901820", **own}]}
    assert sent("janus.plugin.videoroom", body) == wanted
    assert body == before
    assert sent("janus.plugin.sip", body) is body
    for path in ("streams", "subscribe"):
        deeper = {path: [{"inner": {"feed": str(WIDE)}, "feed": {"feed": str(WIDE)}}]}
        assert sent("janus.plugin.videoroom", deeper) is deeper


@pytest.mark.parametrize("plugin", ["janus.plugin.lua", "janus.plugin.duktape"])
def test_what_a_script_takes_and_says_is_its_own(plugin: str) -> None:
    body = {"room": str(WIDE), "id": WIDE, "streams": [{"feed": str(WIDE)}]}
    assert sent(plugin, body) is body
    message = {
        "janus": "event",
        "sender": WIDE,
        "plugindata": {"plugin": plugin, "data": copy.deepcopy(body)},
        "x": WIDE,
    }
    assert not widen(message)
    assert message == {
        "janus": "event",
        "sender": str(WIDE),
        "plugindata": {"plugin": plugin, "data": body},
        "x": str(WIDE),
    }
    assert list(message) == ["janus", "sender", "plugindata", "x"]


@pytest.mark.parametrize(
    "plugindata", [None, [], "x", {}, {"plugin": None}, {"plugin": []}, {"plugin": "x", "data": {"id": WIDE}}]
)
def test_other_messages_are_widened_whole(plugindata: Any) -> None:
    message = {"janus": "event", "sender": WIDE, "plugindata": plugindata}
    wide = copy.deepcopy(message)
    assert widen(wide)
    assert wide == codec.widen(message)


@pytest.mark.parametrize("plugin", STRING_IDS)
def test_string_ids_are_a_matter_of_each_plugin(plugin: str) -> None:
    types = PluginTypes(string_ids=[plugin])
    for name in STRING_IDS[plugin]:
        for body in ({name: str(WIDE)}, {"streams": [{name: str(WIDE)}]}, {"subscribe": [{name: str(WIDE)}]}):
            assert sent(plugin, body, types) is body
    assert sent("janus.plugin.videoroom", {"private_id": str(WIDE)}, types) == {"private_id": WIDE}
    for other in STRING_IDS:
        if other != plugin:
            name = min(STRING_IDS[other])
            assert sent(other, {name: str(WIDE)}, types) == {name: WIDE}


@pytest.mark.parametrize(
    "text", ["1234", "0", "2147483647", "-2147483648", str(2**63), "04294967296", "+4294967296", "4e10"]
)
def test_string_within_32_or_beyond_64_bits_may_be_a_name(text: str) -> None:
    for plugin in (None, "janus.plugin.videoroom"):
        body = {"room": text}
        assert sent(plugin, body) is body


# Plugins that are not known


def guessed(value: Any, members: frozenset[str], name: str | None = None) -> Any:
    """Contract 5.6 once more, said in another way: what becomes of a value that stands under ``name``."""
    if name in OWN:
        return value
    if isinstance(value, dict):
        return {key: guessed(item, members, key) for key, item in value.items()}
    if isinstance(value, list):
        return [guessed(item, members) for item in value]
    if name in members and isinstance(value, str):
        try:
            number = int(value)
        except ValueError:
            return value
        if str(number) == value and INT64_MIN <= number <= INT64_MAX and not INT32_MIN <= number <= INT32_MAX:
            return number
    return value


@given(json_values.values, st.frozensets(st.sampled_from(json_values.WORDS)))
@example({"room": "4294967296", "headers": {"room": "4294967296"}}, frozenset({"room", "headers"}))
@example({"room": ["4294967296"]}, frozenset({"room"}))
@example([{"streams": [{"feed": "4294967296", "mid": "4294967296"}]}], frozenset({"feed"}))
@settings(max_examples=examples(50))
def test_the_named_members_alone_wherever_they_stand(body: Any, members: frozenset[str]) -> None:
    before = codec.render(body)
    for plugin in (None, "janus.plugin.gen"):
        back = sent(plugin, body, PluginTypes(members))
        assert codec.render(back) == codec.render(guessed(body, members))
    assert codec.render(body) == before


@given(st.dictionaries(st.sampled_from(sorted(INTEGER_MEMBERS)), st.integers(INT64_MIN, INT64_MAX)))
@settings(max_examples=examples(20))
def test_ids_of_a_body_survive_the_way_through_opensips(body: dict[str, int]) -> None:
    assert sent(None, codec.widen(dict(body))) == body


# Reading and writing back

wide_or_not = st.sampled_from([0, 7, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**53, INT64_MAX, -(2**31) - 1])
texts = st.sampled_from(["", "x", "1234", "4915112345678", "+49", "04294967296"])
own = st.dictionaries(st.sampled_from(["room", "id", "x"]), wide_or_not | texts, max_size=2)


def said(plugin: str, string_ids: bool) -> st.SearchStrategy[dict[str, Any]]:
    """What such a plugin may say: integers where it reads integers, texts elsewhere, and what its users brought."""
    strings = STRING_IDS[plugin] if string_ids else frozenset()

    def members(rule: Any) -> dict[str, st.SearchStrategy[Any]]:
        integers = {name: wide_or_not for name in rule.integers - strings}
        others = {name: texts for name in {"display", "mid", *strings}}
        inner = {name: st.lists(st.fixed_dictionaries({}, optional=members(it)), max_size=2) for name, it in rule}
        return {**others, **integers, **inner, **dict.fromkeys(OWN, own | st.lists(own, max_size=1))}

    return st.fixed_dictionaries({}, optional=members(PLUGINS[plugin]))


CASES = [(plugin, False) for plugin in PLUGINS] + [(plugin, True) for plugin in STRING_IDS]


@pytest.mark.parametrize(("plugin", "string_ids"), CASES)
@given(data=st.data())
@settings(max_examples=examples(10))
def test_what_is_read_and_written_back_is_what_it_was(plugin: str, string_ids: bool, data: st.DataObject) -> None:
    types = PluginTypes(string_ids=[plugin] if string_ids else [])
    before = data.draw(said(plugin, string_ids))
    message = {"plugindata": {"plugin": plugin, "data": copy.deepcopy(before)}}
    widen(message)
    assert sent(plugin, message["plugindata"]["data"], types) == before
