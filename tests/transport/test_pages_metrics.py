"""``/metrics`` as Prometheus reads it: with its own client's parser."""

from fnmatch import fnmatchcase

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock

from bridge.protocol.event_delivery import DROP_REASONS
from bridge.protocol.snapshot import BUCKETS, OUTCOMES, STATES, NodeSnapshot, Snapshot, StoreSnapshot, TableSnapshot
from bridge.protocol.statistics import COUNTERS
from bridge.transport.pages.cooperative import TURN
from bridge.transport.pages.metrics import COUNTED, PREFIX, ROWS, Metrics
from tests.support.http_peer import serve
from tests.support.snapshots import cluster, figures, gateway, subscriber

HOSTILE = 'a"b\\n{le="1"} 5 # HELP \\'


async def text_of(given: Snapshot) -> str:
    reply = await Metrics(lambda: given)()
    assert (reply.status, reply.content_type) == (200, b"text/plain; version=0.0.4; charset=utf-8")
    return reply.body.decode()


async def samples(given: Snapshot) -> dict[tuple[str, ...], float]:
    """(name without the prefix, label values in the order of the label names) -> value."""
    found = {}
    for family in text_string_to_metric_families(await text_of(given)):
        for sample in family.samples:
            labels = [value for _, value in sorted(sample.labels.items())]
            key = (sample.name.removeprefix(PREFIX), *labels)
            assert key not in found, key
            found[key] = sample.value
    return found


async def test_every_metric_is_there_even_without_gateways_and_subscribers() -> None:
    families = {family.name: family for family in text_string_to_metric_families(await text_of(figures()))}
    for row in ROWS:
        family = families[PREFIX + row.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (row.kind, row.help)
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds"} <= families.keys()


async def test_a_gateway() -> None:
    one = gateway(
        "gw1", in_flight=3, reconnects=2, events=7, rtt=0.25, outcomes={"answered": 9, "error": 1, "timeout": 4}
    )
    found = await samples(figures([one, gateway("gw2", state="backoff", rtt=None)]))
    assert (found["gateway_up", "gw1"], found["gateway_up", "gw2"]) == (1, 0)
    assert [found["gateway_state", "gw2", state] for state in STATES] == [state == "backoff" for state in STATES]
    assert found["gateway_rtt_seconds", "gw1"] == 0.25
    assert ("gateway_rtt_seconds", "gw2") not in found
    assert (found["gateway_sessions", "gw1"], found["gateway_handles", "gw1"]) == (1, 14)
    assert (found["in_flight", "gw1"], found["reconnects_total", "gw1"], found["events_total", "gw1"]) == (3, 2, 7)
    outcomes = {outcome: found["commands_total", "gw1", outcome] for outcome in OUTCOMES}
    assert outcomes == {**dict.fromkeys(OUTCOMES, 0), "answered": 9, "error": 1, "timeout": 4}


async def test_the_histogram_sums_its_steps_up() -> None:
    steps = list(range(len(BUCKETS) + 1))
    found = await samples(figures([gateway("gw1", buckets=steps, seconds=12.5)]))
    ends = [*(str(end) for end in BUCKETS), "+Inf"]
    assert [found["command_seconds_bucket", "gw1", end] for end in ends] == [sum(steps[: n + 1]) for n in steps]
    assert (found["command_seconds_count", "gw1"], found["command_seconds_sum", "gw1"]) == (sum(steps), 12.5)


async def test_a_gateway_that_never_answered_has_no_histogram() -> None:
    found = await samples(figures([gateway("gw1", buckets=[0] * (len(BUCKETS) + 1))]))
    assert not any(key[0].startswith("command_seconds") for key in found)


async def test_subscribers() -> None:
    some = [subscriber("udp:h:1", queued=5, queued_bytes=500, sent=9, drops={"age": 2}), subscriber("tcp:h:2/x")]
    found = await samples(figures(subscribers=some))
    assert (found["queue_events", "udp:h:1"], found["queue_bytes", "udp:h:1"]) == (5, 500)
    assert found["events_sent_total", "udp:h:1"] == 9
    drops = {reason: found["event_drops_total", reason, "udp:h:1"] for reason in DROP_REASONS}
    assert drops == {**dict.fromkeys(DROP_REASONS, 0), "age": 2}
    assert found["event_drops_total", "full", "tcp:h:2/x"] == 0


async def test_the_bridge_itself() -> None:
    found = await samples(figures(loop_lag=0.02, counters={"mi_requests": 12, "malformed": 3}))
    assert (found["table_fresh",], found["table_age_seconds",], found["loop_lag_seconds",]) == (1, 12, 0.02)
    assert (found["mi_requests_total",], found["malformed_messages_total",]) == (12, 3)
    assert next(key for key in found if key[0] == "build_info")[2] == "1.2.3"


@pytest.mark.parametrize(
    "table",
    [
        TableSnapshot("stale", 9.0, "cannot reach the database", True),
        TableSnapshot("none", None, "cannot reach the database", True),
        TableSnapshot("fresh", 9.0, "cannot reach the database", True),
    ],
)
async def test_a_table_that_cannot_be_read_is_not_fresh(table: TableSnapshot) -> None:
    found = await samples(figures(table=table))
    assert found["table_fresh",] == 0
    assert found.get(("table_age_seconds",)) == table.age


async def test_hostile_names_are_labels_and_nothing_else() -> None:
    text = await text_of(figures([gateway(HOSTILE, last_error="secret\nfrom Janus")], [subscriber(f"unix:/{HOSTILE}")]))
    labels = {
        value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        for key, value in sample.labels.items()
        if key in ("janus_id", "subscriber")
    }
    assert labels == {HOSTILE, f"unix:/{HOSTILE}"}
    assert "secret" not in text


async def test_many_gateways_are_one_family() -> None:
    count = 3 * TURN + 1
    text = await text_of(figures(gateway(f"gw{n}") for n in range(count)))
    for row in ROWS:
        assert text.count(f"# TYPE {PREFIX}{row.name} ") == 1
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert sum(sample.name == f"{PREFIX}gateway_up" for sample in found) == count


async def test_others_get_their_turn_while_many_are_rendered(autojump_clock: MockClock) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await text_of(figures(gateway(f"gw{n}") for n in range(10 * TURN)))
        nursery.cancel_scope.cancel()
    assert turns > 50


async def test_over_http(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery, pages={"/metrics": Metrics(figures)})).connect()
    await client.send(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    answer = await client.answer("GET")
    assert answer.header("Cache-Control") == "no-store"
    assert answer.body.endswith(b"\n")


def test_every_counter_is_a_metric() -> None:
    shown = [row.statistic for row in ROWS]
    assert [name for name in COUNTERS if not any(fnmatchcase(name, statistic) for statistic in shown)] == []
    assert {row.name for row in COUNTED} >= {"mi_refused_total", "mi_answers_lost_total"}


async def test_the_log_of_events_has_figures_where_there_is_one() -> None:
    assert not any(name.startswith("store_") and "full" not in name for name, *_ in await samples(figures()))
    found = await samples(figures(store=StoreSnapshot(120, 65_536, 3, 0.004, 90.5, None)))
    names = ("up", "events", "bytes", "waiting_events", "commit_seconds", "oldest_seconds")
    assert [found[(f"store_{name}",)] for name in names] == [1, 120, 65_536, 3, 0.004, 90.5]
    broken = await samples(figures(store=StoreSnapshot(120, 65_536, 3, 0.004, 90.5, "disk is full")))
    assert broken[("store_up",)] == 0


async def test_a_cluster_has_figures_where_there_is_one() -> None:
    assert not any(name.startswith("cluster_") for name, *_ in await samples(figures()))
    silent = NodeSnapshot(2, "http://h:2/mi", "silent", 3.5, 9, 17)
    found = await samples(figures(cluster=cluster(silent)))
    assert (found[("cluster_valid_seconds",)], found[("cluster_serves",)]) == (7.5, 1)
    up, still = ([found[(f"cluster_node_{name}", node)] for node in "12"] for name in ("up", "still_seconds"))
    assert (up, still) == ([1, 0], [0.4, 3.5])
