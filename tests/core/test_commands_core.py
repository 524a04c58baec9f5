import logging
from collections.abc import Iterator

import pytest

from bridge.core.commands_core import Process, core_commands, public_arguments
from bridge.core.mi import Registry
from bridge.core.stats import Stats
from tests.support.callers import ask_by_name as ask

START = 1_700_000_000.0


@pytest.fixture
def registry() -> Registry:
    stats = Stats()
    made = Registry(stats)
    argv = ("janus-bridge", "run", "-o", 'mi.token="secret"', "-o", "log.level=4")
    made.add(*core_commands(made, stats, Process("1.2.3", argv, "/srv", 4711, START, lambda: START + 28.9)))
    return made


@pytest.fixture(autouse=True)
def log_level() -> Iterator[logging.Logger]:
    logger = logging.getLogger("bridge")
    before = logger.level
    yield logger
    logger.setLevel(before)


async def test_which_lists_both_spellings(registry: Registry) -> None:
    names = await ask(registry, "which")
    assert {"which", "core:which", "get_statistics", "statistics:get"} <= set(names)
    assert len(names) == len(set(names)) == 22


async def test_which_of_a_command_or_a_group(registry: Registry) -> None:
    assert await ask(registry, "which", ["core:which"]) == [[], ["command"]]
    assert await ask(registry, "which", {"command": "get"}) == [["statistics"]]
    assert await ask(registry, "which", ["statistics:"]) == ["statistics:get", "statistics:list", "statistics:reset"]


async def test_help(registry: Registry) -> None:
    assert await ask(registry, "help", ["core:ps"]) == {
        "Help": "lists the processes of janus-bridge, of which there is one",
        "Exported by": "core",
    }
    assert (await ask(registry, "help", {"mi_cmd": "reset"}))["Exported by"] == "statistics"


async def test_every_command_has_help(registry: Registry) -> None:
    for name in registry.which():
        described = await ask(registry, "help", [name])
        assert described["Help"] not in ("", "not available for this command")


async def test_the_process(registry: Registry) -> None:
    assert await ask(registry, "version") == {"Server": "janus-bridge (1.2.3)"}
    assert await ask(registry, "pwd") == {"WD": "/srv"}
    assert await ask(registry, "ps") == {"Processes": [{"ID": 0, "PID": 4711, "Type": "janus-bridge"}]}


async def test_uptime_as_ctime_prints_it(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = await ask(registry, "core:uptime")
    assert list(shown) == ["Now", "Up since", "Up time"]
    assert shown["Up time"] == "28 [sec]"
    assert shown["Up since"].endswith(" 2023")
    assert len(shown["Now"]) == len("Sun Nov 22 13:15:11 2026")


def test_uptime_is_not_negative_after_the_clock_was_set_back() -> None:
    assert Process("1", (), "/", 1, START, lambda: START - 5).uptime == 0


async def test_arg_shows_no_secret(registry: Registry) -> None:
    assert await ask(registry, "arg") == ["janus-bridge", "run", "-o", "mi.token=***", "-o", "log.level=4"]


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("-c", "-c"),
        ("/etc/a.toml", "/etc/a.toml"),
        ("-ojanus.janus_db_url='mysql://u:p=w@h/d'", "-ojanus.janus_db_url=***"),
        ('janus={janus_db_url="mysql://u:p@h/d"}', "janus=***"),
        ('janus.gateways.a.api_secret="""x\ny"""', "janus.gateways.a.api_secret=***"),
        ('a="1"', "a=***"),
        ("a=1\nb='x'", "a=***"),
        ("a=true", "a=true"),
        ("a=-1.5", "a=-1.5"),
    ],
)
def test_values_of_settings_are_hidden(argument: str, shown: str) -> None:
    assert public_arguments([argument]) == [shown]


async def test_log_level_is_that_of_the_tree(registry: Registry, log_level: logging.Logger) -> None:
    log_level.setLevel(logging.INFO)
    assert await ask(registry, "log_level") == {"Processes": [{"PID": 4711, "Log level": 3, "Type": "janus-bridge"}]}
    assert await ask(registry, "log_level", ["4"]) == {"New global log level": 4}
    assert log_level.level == logging.DEBUG
    assert (await ask(registry, "log_level"))["Processes"][0]["Log level"] == 4
    assert await ask(registry, "log_level", {"level": -1, "pid": 4711}) == {"Log level": -1}
    assert logging.getLogger("bridge.mi").getEffectiveLevel() == logging.ERROR


async def test_log_level_of_another_process_is_refused(registry: Registry, log_level: logging.Logger) -> None:
    log_level.setLevel(logging.INFO)
    assert await ask(registry, "log_level", [4, 4712]) == {
        "code": -32602,
        "message": "Invalid params",
        "data": "Bad PID",
    }
    assert log_level.level == logging.INFO
