import json
import logging
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.mi import Call, Command, Handler, Registry
from bridge.core.stats import Stats
from bridge.errors import LinkDown, MalformedMessage
from bridge.protocol.jsonrpc import PARSE_ERROR
from bridge.protocol.recipe import Parameter, Recipe
from tests.support.mi_pairs import PAIRS, Pair, call, core_registry, error, result


def command(handler: Handler, name: str = "m", alias: str = "group:m", recipes: tuple[Recipe, ...] = ((),)) -> Command:
    return Command(name, alias, recipes, handler, "helps", "group")


def registry(handler: Handler, stats: Stats | None = None) -> Registry:
    made = Registry(stats)
    made.add(command(handler))
    return made


async def ok(_call: Call) -> str:
    return "OK"


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
async def test_pairs_of_opensips(pair: Pair) -> None:
    try:
        answer = await core_registry().dispatch(pair.request)
    except MalformedMessage:
        answer = PARSE_ERROR
    assert answer == pair.answer


@given(
    st.binary(max_size=40)
    | st.sampled_from(PAIRS).flatmap(
        lambda pair: st.tuples(st.integers(0, len(pair.request)), st.binary(max_size=2)).map(
            lambda cut: pair.request[: cut[0]] + cut[1] + pair.request[cut[0] + len(cut[1]) :]
        )
    )
)
def test_any_bytes_get_a_well_formed_answer_or_none(body: bytes) -> None:
    level = logging.getLogger("bridge").level
    try:
        answer = trio.run(core_registry().dispatch, body)
    except MalformedMessage:
        return
    finally:
        logging.getLogger("bridge").setLevel(level)  # a cut log_level request may have set it
    if answer is not None:
        decoded = json.loads(answer)
        assert list(decoded) in [["jsonrpc", "result", "id"], ["jsonrpc", "error", "id"]]


async def test_a_handler_gets_arguments_and_whether_anybody_listens() -> None:
    calls: list[Call] = []

    async def handler(call: Call) -> None:
        calls.append(call)

    made = Registry()
    made.add(command(handler, recipes=((), (Parameter("x", "int"),))))
    assert await made.dispatch(call("m", '["5"]')) == result("null")
    assert await made.dispatch(b'{"jsonrpc":"2.0","method":"m"}') is None
    assert calls == [Call({"x": 5}, notification=False), Call({}, notification=True)]


async def test_an_error_of_the_bridge_is_the_answer() -> None:
    async def handler(_call: Call) -> None:
        raise LinkDown("backing off")

    assert await registry(handler).dispatch(call("m")) == error(503, "Janus not connected", "backing off")


@pytest.mark.parametrize("unprintable", [object(), {1: {2}}])
async def test_a_result_that_is_no_json_is_a_server_error(unprintable: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(_call: Call) -> Any:
        return unprintable

    assert await registry(handler).dispatch(call("m")) == error(-32000, "Server error")
    assert "MI method m failed" in caplog.text


async def test_a_bug_is_a_server_error_and_a_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(_call: Call) -> None:
        raise ZeroDivisionError

    made = registry(handler)
    assert await made.dispatch(call("m")) == error(-32000, "Server error")
    assert await made.dispatch(b'{"jsonrpc":"2.0","method":"m"}') is None
    assert [record.exc_info is not None for record in caplog.records] == [True, True, False]
    # Nobody is told of a notification that failed, so the log is.
    assert caplog.messages[2] == "m, sent as a notification: -32000 Server error: no more is known"


async def test_cancellation_passes_through() -> None:
    async def handler(_call: Call) -> None:
        await trio.sleep_forever()

    with trio.move_on_after(0) as scope:
        await registry(handler).dispatch(call("m"))
    assert scope.cancelled_caught


async def test_requests_and_errors_are_counted() -> None:
    stats = Stats()
    made = registry(ok, stats)
    for body in (call("m"), call("no_such"), b"{}", b'{"jsonrpc":"2.0","method":"no_such"}'):
        await made.dispatch(body)
    with pytest.raises(MalformedMessage):
        await made.dispatch(b"no json")
    assert (stats.get("mi_requests"), stats.get("mi_errors")) == (5, 4)


def two_lists() -> Registry:
    made = Registry()
    made.add(
        command(ok, "list_statistics", "statistics:list"),
        command(ok, "events_list", "evi:list"),
        command(ok, "event_subscribe", "evi:subscribe"),
        command(ok, "raise", "evi:raise"),
        command(ok, "thrower", "throw:raise"),
    )
    return made


@pytest.mark.parametrize("name", ["event_subscribe", "evi:subscribe", "subscribe"])
async def test_three_ways_to_call_a_method(name: str) -> None:
    assert await two_lists().dispatch(call(name)) == result('"OK"')


async def test_a_local_name_of_two_methods_is_ambiguous() -> None:
    answer = await two_lists().dispatch(call("list", "[1,2,3]"))
    assert answer == error(-32001, "Method ambiguous", "supported names: statistics:list, evi:list")


async def test_a_full_name_is_never_ambiguous() -> None:
    assert two_lists().find("raise").alias == "evi:raise"


def test_all_names_are_listed_in_both_spellings() -> None:
    names = ["list_statistics", "events_list", "event_subscribe", "raise", "thrower"]
    assert two_lists().which() == [*names, "statistics:list", "evi:list", "evi:subscribe", "evi:raise", "throw:raise"]


def test_a_name_cannot_be_taken_twice() -> None:
    made = registry(ok)
    with pytest.raises(ValueError, match="'group:m' is there already"):
        made.add(command(ok, "other", "group:m"))
