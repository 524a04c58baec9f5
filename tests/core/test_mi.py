import json
import logging
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from bridge.config import load
from bridge.core.mi import OVERHEAD, Command, MethodHandler, MiRequest, Registry
from bridge.core.stats import Stats
from bridge.daemon.parts import build
from bridge.errors import LinkDown, MalformedMessage
from bridge.protocol.budget import Budget
from bridge.protocol.caller import Caller, Role
from bridge.protocol.jsonrpc import Abandon, render_error
from bridge.protocol.recipe import Parameter, Recipe
from tests.support.callers import OPERATOR, ask
from tests.support.mi_pairs import PAIRS, Pair, as_opensips, call, core_registry, error, result
from tools.names import IN_A_CLUSTER


def command(
    handler: MethodHandler, name: str = "m", alias: str = "group:m", recipes: tuple[Recipe, ...] = ((),)
) -> Command:
    return Command(name, alias, recipes, handler, "helps", "group", Role.READ_ONLY)


def registry(handler: MethodHandler, stats: Stats | None = None) -> Registry:
    made = Registry(stats)
    made.add(command(handler))
    return made


async def ok(_call: MiRequest) -> str:
    return "OK"


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
async def test_pairs_of_opensips(pair: Pair) -> None:
    try:
        answer = await ask(core_registry(), pair.request, OPERATOR)
    except MalformedMessage as exc:
        answer = render_error(exc, None)
    assert as_opensips(answer) == pair.answer


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
        answer = trio.run(ask, core_registry(), body, OPERATOR)
    except MalformedMessage:
        return
    finally:
        logging.getLogger("bridge").setLevel(level)  # a cut log_level request may have set it
    if answer is not None:
        decoded = json.loads(answer)
        assert list(decoded) in [["jsonrpc", "result", "id"], ["jsonrpc", "error", "id"]]


async def test_a_handler_gets_arguments_and_whether_anybody_listens() -> None:
    calls: list[MiRequest] = []

    async def handler(call: MiRequest) -> None:
        calls.append(call)

    made = Registry()
    made.add(command(handler, recipes=((), (Parameter("x", "int"),))))
    assert await ask(made, call("m", '["5"]'), OPERATOR) == result("null")
    assert await ask(made, b'{"jsonrpc":"2.0","method":"m"}', OPERATOR) is None
    seen = [(call.arguments, call.notification, call.caller) for call in calls]
    assert seen == [({"x": 5}, False, OPERATOR), ({}, True, OPERATOR)]


async def test_an_error_of_the_bridge_is_the_answer() -> None:
    async def handler(_call: MiRequest) -> None:
        raise LinkDown("backing off")

    assert await ask(registry(handler), call("m"), OPERATOR) == error(503, "Janus not connected", "backing off")


@pytest.mark.parametrize("unprintable", [object(), {1: {2}}])
async def test_a_result_that_is_no_json_is_a_server_error(unprintable: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(_call: MiRequest) -> Any:
        return unprintable

    assert await ask(registry(handler), call("m"), OPERATOR) == error(-32000, "Server error")
    assert "MI method m failed" in caplog.text


async def test_a_bug_is_a_server_error_and_a_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(_call: MiRequest) -> None:
        raise ZeroDivisionError

    made = registry(handler)
    assert await ask(made, call("m"), OPERATOR) == error(-32000, "Server error")
    assert await ask(made, b'{"jsonrpc":"2.0","method":"m"}', OPERATOR) is None
    assert [record.exc_info is not None for record in caplog.records] == [True, True, False]
    # Nobody is told of a notification that failed, so the log is.
    assert caplog.messages[2] == "m, sent as a notification: -32000 Server error: no details"


class Later:
    """What a method waits for until the test says so."""

    def __init__(self) -> None:
        self.requests: list[MiRequest] = []
        self.left = 0

    def begin(self, request: MiRequest) -> Abandon:
        self.requests.append(request)
        return self.abandon

    def abandon(self) -> None:
        self.left += 1


async def test_an_answer_may_come_later_from_anywhere_and_comes_once() -> None:
    later, answers = Later(), list[bytes | None]()
    abandon = registry(later.begin).dispatch(call("m"), OPERATOR, answers.append)
    assert answers == []
    later.requests[0].succeed(1)
    later.requests[0].fail(LinkDown("too late"))
    later.requests[0].succeed(2)
    assert abandon is not None
    abandon()
    assert (answers, later.left) == ([result("1")], 0)


@pytest.mark.parametrize("failed", [False, True])
def test_what_is_answered_before_the_handler_returns_leaves_nothing_to_abandon(failed: bool) -> None:
    """HTTP ends the connection of a client who has shut down his side and waits, even in an answer."""

    def handler(call: MiRequest) -> Abandon:
        if failed:
            call.fail(LinkDown("down"))
        else:
            call.succeed("OK")
        return lambda: None

    answers: list[bytes | None] = []
    assert registry(handler).dispatch(call("m"), OPERATOR, answers.append) is None
    assert len(answers) == 1


async def test_who_has_gone_gets_no_answer() -> None:
    later, answers = Later(), list[bytes | None]()
    stats = Stats()
    abandon = registry(later.begin, stats).dispatch(call("m"), OPERATOR, answers.append)
    assert abandon is not None
    abandon()
    abandon()
    assert later.left == 1
    later.requests[0].succeed(1)
    later.requests[0].fail(LinkDown("unheard"))
    assert (answers, stats.get("mi_errors")) == ([], 0)


async def test_a_method_that_takes_time_ends_with_who_asked(nursery: trio.Nursery) -> None:
    ended = trio.Event()

    async def handler(_call: MiRequest) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    made = registry(handler)
    await nursery.start(made.run)
    answers: list[bytes | None] = []
    abandon = made.dispatch(call("m"), OPERATOR, answers.append)
    await wait_all_tasks_blocked()
    assert abandon is not None
    abandon()
    await ended.wait()
    assert answers == []


async def test_at_a_stop_who_still_waits_has_an_answer(nursery: trio.Nursery) -> None:
    async def handler(_call: MiRequest) -> None:
        await trio.sleep_forever()

    made = registry(handler)
    await nursery.start(made.run)
    answers: list[bytes | None] = []
    left = made.dispatch(call("m"), OPERATOR, answers.append)
    made.dispatch(call("m"), OPERATOR, answers.append)
    await wait_all_tasks_blocked()
    assert left is not None
    left()
    made.stop()
    await wait_all_tasks_blocked()
    made.dispatch(call("m"), OPERATOR, answers.append)
    assert [json.loads(answer or b"")["error"]["code"] for answer in answers] == [502, 503]


async def test_an_answer_that_its_transport_cannot_give_harms_no_one_else(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_answer: bytes | None) -> None:
        raise ZeroDivisionError

    later, stats, pending = Later(), Stats(), Budget(2**20)
    made = Registry(stats, pending)
    made.add(command(later.begin), command(lambda _: "OK", "now", "group:now"))
    assert made.dispatch(call("now"), OPERATOR, broken) is None
    assert made.dispatch(b"{}", OPERATOR, broken) is None
    made.dispatch(call("m"), OPERATOR, broken)
    later.requests[0].succeed(1)  # as the reader of a Janus does
    assert [record.exc_info is not None for record in caplog.records if "is lost" in record.message] == [True] * 3
    assert (stats.get("mi_errors"), pending.used) == (1, 0)


async def test_requests_and_errors_are_counted() -> None:
    stats = Stats()
    made = registry(ok, stats)
    for body in (call("m"), call("no_such"), b"{}", b'{"jsonrpc":"2.0","method":"no_such"}'):
        await ask(made, body, OPERATOR)
    with pytest.raises(MalformedMessage):
        await ask(made, b"no json", OPERATOR)
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
    assert await ask(two_lists(), call(name), OPERATOR) == result('"OK"')


async def test_a_local_name_of_two_methods_is_ambiguous() -> None:
    answer = await ask(two_lists(), call("list", "[1,2,3]"), OPERATOR)
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


LEAST = {
    Role.READ_ONLY: {
        *("which", "help", "version", "uptime", "pwd", "arg", "ps", "log_level", "get_statistics", "list_statistics"),
        *("events_list", "subscribers_list", "janus_list", "janus_status", "janus_history", "event_store_list"),
        *("janus_recent", "janus_cluster_list"),
    },
    Role.COMMANDS: {"janus_send_request", "event_subscribe", "event_replay"},
    Role.EVERYTHING: {
        "reset_statistics",
        "raise_event",
        "janus_reload",
        "janus_reconnect",
        "janus_drain",
        *(f"janus_cluster_{verb}" for verb in ("alive", "drain", "find", "released", "send", "take", "taken")),
    },
}


def test_what_a_role_may_call_is_decided_for_every_method(tmp_path: Path) -> None:
    """A method that is new has to be put into this table, too."""
    mi = build(load(None, [f'state.dir="{tmp_path}"', *IN_A_CLUSTER], {})).mi
    found = {name: mi.find(name).role for name in mi.which() if ":" not in name}
    assert found == {name: role for role, names in LEAST.items() for name in names}


@pytest.mark.parametrize("role", list(Role), ids=str)
@pytest.mark.parametrize("needs", [Role.READ_ONLY, Role.COMMANDS, Role.EVERYTHING], ids=str)
async def test_a_role_below_is_refused(role: Role, needs: Role) -> None:
    made = Registry()
    made.add(Command("m", "group:m", ((),), ok, "helps", "group", needs))
    refusal = error(403, "Forbidden", f"m needs the role {needs} ([mi] roles); who has {role}")
    for name in ("m", "group:m"):
        answer = await ask(made, call(name), Caller(role, "who"))
        assert answer == (result('"OK"') if role >= needs else refusal)


async def test_log_level_is_read_by_all_and_set_by_few() -> None:
    reader = Caller(Role.COMMANDS, "who")
    assert b"Processes" in (await ask(core_registry(), call("log_level"), reader) or b"")
    refused = error(403, "Forbidden", "setting log_level needs the role everything ([mi] roles); who has commands")
    assert await ask(core_registry(), call("log_level", "[4]"), reader) == refused


async def test_requests_that_wait_have_a_budget(nursery: trio.Nursery) -> None:
    """Answered 503 beyond it; what waits for long is counted until it ends, and a small request finds room."""
    go = trio.Event()

    async def handler(call: MiRequest) -> int:
        await go.wait()
        return 1

    pending = Budget(2**20)
    made = Registry(pending=pending)
    made.add(command(handler, recipes=((), (Parameter("x", "any"),))))
    large = call("m", f'["{"x" * 100_000}"]')
    answers: list[bytes | None] = []

    await nursery.start(made.run)
    for _ in range(5):
        made.dispatch(large, OPERATOR, answers.append)
    await wait_all_tasks_blocked()
    assert 3 * len(large) < pending.used < 3 * (len(large) + OVERHEAD) + 1
    assert len(answers) == 2
    assert answers[0] is not None
    assert json.loads(answers[0])["error"]["message"] == "Too many bytes pending"
    assert json.loads(answers[0])["error"]["code"] == 503
    made.dispatch(call("m"), OPERATOR, answers.append)
    await wait_all_tasks_blocked()
    assert len(answers) == 2
    go.set()
    await wait_all_tasks_blocked()
    assert answers[2:] == [result("1")] * 4
    assert pending.used == 0


async def test_what_fails_or_is_left_gives_back_what_it_held(nursery: trio.Nursery) -> None:
    async def handler(call: MiRequest) -> None:
        if call.arguments:
            raise RuntimeError
        await trio.sleep_forever()

    pending = Budget(2**20)
    made = Registry(pending=pending)
    made.add(command(handler, recipes=((), (Parameter("x", "any"),))))
    await ask(made, call("m", "[1]"), OPERATOR)
    assert pending.used == 0
    with trio.CancelScope() as scope:
        nursery.start_soon(trio.sleep, 0)
        scope.cancel()
        await ask(made, call("m"), OPERATOR)
    assert pending.used == 0
