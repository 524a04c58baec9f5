"""The MI methods over statistics: get, list, reset.

Owns OpenSIPS's ways of naming a statistic: ``group:name`` in results, and as selectors ``all``, ``group:`` or the bare
name. Must not know what is counted. Authority: OpenSIPS statistics.c, as observed on 3.2 .. 4.1; contract 6.5.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bridge.core.mi import Command, MiRequest
from bridge.core.stats import Stats
from bridge.protocol.caller import Role
from bridge.protocol.jsonrpc import RpcError
from bridge.protocol.recipe import Parameter

GROUP = "janus"
TIMESTAMP = ("core", "timestamp")  # seconds since the start, as in OpenSIPS; the one figure of ours in its core's group


def statistics_commands(stats: Stats, uptime: Callable[[], int]) -> tuple[Command, ...]:
    """get_statistics, list_statistics and reset_statistics over ``stats`` (group ``janus``) and ``core:timestamp``."""
    figures = _Figures(stats, uptime)
    some = (Parameter("statistics", "array"),)
    return tuple(
        Command(f"{verb}_statistics", f"statistics:{verb}", recipes, handler, text, "statistics", role)
        for verb, role, recipes, handler, text in (
            ("get", Role.READ_ONLY, (some,), figures.get, "prints the values of statistics (all, a group's, or one)"),
            ("list", Role.READ_ONLY, ((), some), figures.list, "lists statistics and whether they are incremental"),
            ("reset", Role.EVERYTHING, (some,), figures.reset, "sets statistics back to zero"),
        )
    )


@dataclass(frozen=True, slots=True)
class _Figures:
    stats: Stats
    uptime: Callable[[], int]

    def get(self, call: MiRequest) -> dict[str, int]:
        values: dict[str, int] = {}
        for selector in call.arguments["statistics"]:
            for group, name in self._select(selector, everything=True):
                values[f"{group}:{name}"] = self._value(group, name)
        if not values:
            raise _not_found()
        return values

    def list(self, call: MiRequest) -> dict[str, str]:
        if not call.arguments:
            return {f"{group}:{name}": self._type(name) for group, name in self._all()}
        types: dict[str, str] = {}
        for selector in call.arguments["statistics"]:
            for group, name in self._select(selector):
                types[f"{group}:{name}" if selector.endswith(":") else name] = self._type(name)
        if not types:
            raise _not_found()
        return types

    def reset(self, call: MiRequest) -> str:
        # By bare names only. What cannot be reset stays as it is, and counts as found.
        known = {name for _, name in self._all()}
        found = [name for name in call.arguments["statistics"] if name in known]
        if not found:
            raise _not_found()
        for name in found:
            self.stats.reset(name)
        return "OK"

    def _all(self) -> Iterator[tuple[str, str]]:
        yield TIMESTAMP
        for name in self.stats.names():
            yield GROUP, name

    def _select(self, selector: str, *, everything: bool = False) -> Iterator[tuple[str, str]]:
        """What a selector names; nothing if it is unknown. ``all`` is one for get_statistics alone."""
        for group, name in self._all():
            if selector in (name, f"{group}:") or (everything and selector == "all"):
                yield group, name

    def _value(self, group: str, name: str) -> int:
        return self.uptime() if (group, name) == TIMESTAMP else self.stats.get(name) or 0

    def _type(self, name: str) -> str:
        return "incremental" if self.stats.is_incremental(name) else "non-incremental"


def _not_found() -> RpcError:
    return RpcError(404, "Statistics Not Found")
