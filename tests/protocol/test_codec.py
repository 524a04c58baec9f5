"""JSON text <-> values (contract 5.6, 5.8, 6.3)."""

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.errors import MalformedMessage
from bridge.protocol import codec
from bridge.protocol.codec import (
    INT32_MAX,
    INT32_MIN,
    INT64_MAX,
    INT64_MIN,
    MAX_DEPTH,
    MAX_ELEMENTS,
    OWN,
    TooManyElements,
    parse,
    refuse_many,
)
from tests.support import json_values


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


# parse and render


@given(json_values.json_texts)
def test_parse_gives_what_render_can_write_or_says_that_it_is_no_json(text: str) -> None:
    try:
        value = codec.parse(text)
    except MalformedMessage:
        return
    assert json_values.depth(value) <= MAX_DEPTH
    assert codec.parse(codec.render(value)) == value


@given(json_values.values)
def test_render_then_parse_is_identity(value: Any) -> None:
    assert codec.parse(codec.render(value)) == value


@given(json_values.values)
def test_render_is_compact_and_leaves_other_scripts_as_they_are(value: Any) -> None:
    text = codec.render(value)
    assert text.encode() == codec.render_bytes(value)
    assert _spelled(json.loads(text)) == _spelled(value)  # reals may be spelled in other ways
    if not any(isinstance(leaf, float) for leaf in json_values.leaves(value)):
        assert text == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _spelled(value: Any) -> str:
    return json.dumps(value)


@given(
    json_values.json_texts
    | st.integers(-(2**70), 2**70).map(str)
    | st.from_regex(r"-?[0-9]{17,22}(\.[0-9]+)?(e[0-9]+)?")
)
@example('{"a":1,"a":[2]}')
@example("-0")
@example("-0.0")
@example("9223372036854775808")
@example("18446744073709551615")
@example("18446744073709551616")
@example("-9223372036854775809")
def test_plain_parser_gives_what_json_gives_or_nothing(text: str) -> None:
    try:
        value, _ = codec.parse_plain(text.encode())
    except ValueError:
        return
    assert _spelled(value) == _spelled(json.loads(text))


def test_plain_parser_reads_what_janus_says() -> None:
    """Else the careful one would have all the work."""
    text = b'{"janus":"success","session_id":9007199254740993,"sender":1234567890123456,"data":{"room":1234,"x":[0.5]}}'
    assert codec.parse_plain(text) == (json.loads(text), 0)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a":-Infinity}', "1e999", "[-1e999]"])
def test_number_that_janus_could_not_send_is_malformed(text: str) -> None:
    with pytest.raises(MalformedMessage):
        codec.parse(text)


def test_real_too_small_to_tell_from_zero_is_zero_as_in_jansson() -> None:
    assert codec.parse("1e-999") == 0.0


def test_integer_of_thousands_of_digits_is_named_so() -> None:
    with pytest.raises(MalformedMessage, match="thousands of digits"):
        codec.parse("9" * 5000)


@pytest.mark.parametrize("prefix", ["", '{"a":[1,2,3],"b":'])
def test_nesting_is_limited_exactly(prefix: str) -> None:
    suffix = "}" if prefix else ""
    levels = MAX_DEPTH - len(suffix)
    codec.parse(prefix + nested(levels) + suffix)
    with pytest.raises(MalformedMessage, match="nested deeper than 100"):
        codec.parse(prefix + nested(levels + 1) + suffix)


@pytest.mark.parametrize("levels", [900, 100_000])
def test_nesting_that_would_end_the_stack_is_malformed(levels: int) -> None:
    with pytest.raises(MalformedMessage, match="nested deeper than 100"):
        codec.parse('{"a":' * levels + "1" + "}" * levels)


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert codec.parse("[" + ",".join(["{}"] * 500) + "]") == [{}] * 500


def test_last_of_duplicate_keys_wins() -> None:
    assert codec.parse('{"a":1,"a":2}') == {"a": 2}


@given(json_values.values)
def test_depth_is_that_of_the_definition(value: Any) -> None:
    assert codec.depth(value) == json_values.depth(value)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_what_is_no_number_is_rendered_as_null(number: str) -> None:
    assert codec.render({"a": [float(number)]}) == '{"a":[null]}'


def test_lone_surrogate_is_rendered_as_its_escape_where_bytes_are_wanted() -> None:
    assert codec.render_bytes({"a\ud800": "\udfff\n"}) == b'{"a\\ud800":"\\udfff\\n"}'
    assert codec.render("\ud800") == '"\ud800"'


# widen


def is_wide(value: Any) -> bool:
    return isinstance(value, int) and not INT32_MIN <= value <= INT32_MAX


def same(before: Any, after: Any) -> bool:
    """Whether ``after`` is ``before`` but for wide integers, which are their digits. Types count: True is not 1."""
    if isinstance(before, dict):
        return list(before) == list(after) and all(
            repr(before[key]) == repr(after[key]) if key in OWN else same(before[key], after[key]) for key in before
        )
    if isinstance(before, list):
        return len(before) == len(after) and all(map(same, before, after))
    return bool(after == str(before) if is_wide(before) else type(after) is type(before) and after == before)


@given(json_values.values)
def test_widen_makes_wide_integers_strings_and_changes_nothing_else(value: Any) -> None:
    wide = codec.widen(copy.deepcopy(value))
    assert same(value, wide)
    assert codec.widen(copy.deepcopy(wide)) == wide


def test_widen_changes_its_argument() -> None:
    value = {"a": [2**40]}
    assert codec.widen(value) is value
    assert value == {"a": ["1099511627776"]}


@pytest.mark.parametrize(
    ("value", "wide"),
    [(2**31 - 1, 2**31 - 1), (2**31, "2147483648"), (-(2**31), -(2**31)), (-(2**31) - 1, "-2147483649"), (True, True)],
)
def test_widen_at_the_edges(value: Any, wide: Any) -> None:
    assert repr(codec.widen(value)) == repr(wide)


# Messages of Janus


def shown(text: str) -> Any:
    """As ``core/inbound.py`` makes it of a message."""
    value = codec.read_message(text)
    if not isinstance(value, dict | list):
        return codec.widen(codec.parse(text))
    if codec.widen_inside(value) or not codec.may_be_wide(text):
        return value
    return codec.widen(codec.parse(text))


@given(json_values.json_texts)
@example('{"a":123456789012345678901}')
@example('{"headers":{"a":[123456789012345678901]}}')
@example('[[-9223372036854775809,{"b":18446744073709551616}]]')
@example('{"a":0.12345678901234567890123}')
@example('{"a":1e999}')
@example('{"a":"\\ud83d"}')
@example("[" * 101 + "]" * 101 + " " * 100)
@example("[" * 100 + "]" * 100)
def test_a_message_is_shown_as_what_it_means(text: str) -> None:
    try:
        value = codec.parse(text)
        codec.refuse_surrogates(value)
    except MalformedMessage as exc:
        with pytest.raises(MalformedMessage, match=re.escape(str(exc))):
            codec.read_message(text)
    else:
        assert repr(shown(text)) == repr(codec.widen(value))


# integer


@given(st.integers(INT64_MIN, INT64_MAX))
def test_integer_reads_what_widen_wrote(number: int) -> None:
    assert codec.integer(number) == codec.integer(str(number)) == number


@pytest.mark.parametrize(
    "value",
    [
        *("", "-", "-0", "+1", "01", " 1", "1 ", "1\n", "1_0", "1.0", "1e3", "٣", "0x1", str(2**63), "9" * 40),
        *(None, True, 1.0, [], {}, [1]),
    ],
)
def test_integer_takes_nothing_but_canonical_decimals_within_64_bits(value: Any) -> None:
    assert codec.integer(value) is None


# The bound on what a text may cost


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize(
    ("unit", "elements"),
    [("0,", 1), ("[],", 2), ("{},", 2), ('"",', 1), ('{"a":{}},', 3), ('"\\"","a,[{",', 2), ("1.5,", 1)],
)
def test_elements_are_counted_before_anything_is_made_of_them(unit: str, elements: int, encoded: bool) -> None:
    most = 300

    def text(times: int) -> Any:
        made = f"[{unit * times}0]"
        return made.encode() if encoded else made

    refuse_many(text(most // elements - 10), most)
    with pytest.raises(TooManyElements, match="has more than 300 elements"):
        refuse_many(text(most // elements + 10), most)


def test_what_stands_in_strings_is_no_element() -> None:
    sdp = 'a=x,[{:\\r\\n\\\\\\" ' * 5000
    assert parse(f'{{"sdp":"{sdp}"}}', 10)["sdp"].startswith("a=x,[{")


def test_a_message_of_many_small_elements_is_refused() -> None:
    with pytest.raises(TooManyElements):
        parse("[" + "0," * MAX_ELEMENTS + "0]")
    with pytest.raises(TooManyElements):
        parse('["' + '","' * (8 * MAX_ELEMENTS) + '"]')
    assert len(parse("[" + "0," * (MAX_ELEMENTS // 2) + "0]")) == MAX_ELEMENTS // 2 + 1
