"""Statistics by MI: how they are named, what is found, and what can be set back."""

import pytest

from bridge.core.commands_stats import statistics_commands
from bridge.core.mi import Registry
from bridge.core.stats import Stats
from bridge.protocol.statistics import COUNTERS
from tests.support.callers import ask_by_name as ask


@pytest.fixture
def stats() -> Stats:
    made = Stats()
    made.gauge("gateways_up", lambda: 3)
    return made


@pytest.fixture
def registry(stats: Stats) -> Registry:
    made = Registry(stats)
    made.add(*statistics_commands(stats, lambda: 28))
    return made


async def test_values_of_statistics(registry: Registry, stats: Stats) -> None:
    stats.add("commands", 5)
    assert await ask(registry, "get_statistics", [["commands", "gateways_up", "timestamp", "no_such"]]) == {
        "janus:commands": 5,
        "janus:gateways_up": 3,
        "core:timestamp": 28,
    }
    everything = await ask(registry, "statistics:get", {"statistics": ["all"]})
    assert set(everything) == {"core:timestamp", "janus:gateways_up", *(f"janus:{name}" for name in COUNTERS)}
    of_janus = await ask(registry, "get_statistics", [["janus:"]])
    assert set(everything) - set(of_janus) == {"core:timestamp"}


@pytest.mark.parametrize("selector", ["no_such", "no_such:", "janus:commands", ":", ""])
@pytest.mark.parametrize("method", ["get_statistics", "list_statistics", "reset_statistics"])
async def test_unknown_statistics(registry: Registry, method: str, selector: str) -> None:
    assert await ask(registry, method, [[selector]]) == {"code": 404, "message": "Statistics Not Found"}


async def test_kinds_of_statistics(registry: Registry) -> None:
    everything = await ask(registry, "list_statistics")
    assert everything["janus:commands"] == "incremental"
    assert everything["janus:gateways_up"] == everything["core:timestamp"] == "non-incremental"
    assert await ask(registry, "list_statistics", [["commands", "core:"]]) == {
        "commands": "incremental",
        "core:timestamp": "non-incremental",
    }
    assert (await ask(registry, "list_statistics", [["all"]]))["code"] == 404


async def test_statistics_are_reset_by_bare_name(registry: Registry, stats: Stats) -> None:
    stats.add("commands", 5)
    stats.add("events", 5)
    assert await ask(registry, "reset_statistics", [["commands", "no_such"]]) == "OK"
    assert (stats.get("commands"), stats.get("events")) == (0, 5)


async def test_what_cannot_be_reset_stays(registry: Registry, stats: Stats) -> None:
    assert await ask(registry, "reset_statistics", [["gateways_up", "timestamp"]]) == "OK"
    assert stats.get("gateways_up") == 3
