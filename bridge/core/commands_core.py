"""The MI methods of OpenSIPS's core that tell of the process and of the MI itself.

Owns their results, in OpenSIPS's shapes. Must not know what the process is for.
Authority: OpenSIPS mi/mi_core.c, as observed on 3.2 .. 4.1; contract 6.5.
"""

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.core.commands_stats import statistics_commands
from bridge.core.mi import Command, MiRequest, Registry, require
from bridge.core.stats import Stats
from bridge.protocol import log_level
from bridge.protocol.caller import Role
from bridge.protocol.jsonrpc import RpcError
from bridge.protocol.recipe import Parameter, invalid_params

PROCESS_TYPE = "janus-bridge"  # where OpenSIPS says "attendant", "MI FIFO" ...; there is only one process here

# The tree whose level `log_level` sets.
_logger = logging.getLogger("bridge")

# KEY=VALUE of `-o`: the value may be or hold a password, written in any of TOML's ways, unless it is one of these.
_SETTING = re.compile(r"([^=]+=)(?!(?:true|false|-?[0-9.]+)\Z).*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Process:
    """What there is to tell of this process. ``started`` and ``now()`` are seconds since the epoch."""

    version: str
    argv: Sequence[str]
    cwd: str
    pid: int
    started: float
    now: Callable[[], float] = time.time

    @property
    def uptime(self) -> int:
        """Whole seconds; 0 where the clock was set back behind the start."""
        return max(0, int(self.now() - self.started))


def core_commands(registry: Registry, stats: Stats, process: Process) -> tuple[Command, ...]:
    """which, help, version, uptime, pwd, arg, ps, log_level, and those over ``stats``."""
    core = _Core(registry, process)
    return (*core.commands(), *statistics_commands(stats, lambda: process.uptime))


def public_arguments(argv: Sequence[str]) -> list[str]:
    """The command line with the values of settings as ``***``, so that no password is shown (contract 4.2)."""
    return [_SETTING.sub(r"\1***", argument) for argument in argv]


@dataclass(frozen=True, slots=True)
class _Core:
    registry: Registry
    process: Process

    def which(self, call: MiRequest) -> list[Any]:
        if not call.arguments:
            return list(self.registry.which())
        name: str = call.arguments["command"]
        if name.endswith(":"):
            group: list[Any] = [known for known in self.registry.which() if known.startswith(name)]
            if not group:
                raise _unknown_command()
            return group
        return [[parameter.name for parameter in recipe] for recipe in self._find(name).recipes]

    def help(self, call: MiRequest) -> Any:
        if not call.arguments:
            return "Usage: help mi_cmd - returns information about 'mi_cmd'"
        command = self._find(call.arguments["mi_cmd"])
        return {"Help": command.help or "not available for this command", "Exported by": command.exported_by}

    def version(self, _call: MiRequest) -> dict[str, str]:
        return {"Server": f"janus-bridge ({self.process.version})"}

    def uptime(self, _call: MiRequest) -> dict[str, str]:
        return {
            "Now": time.ctime(self.process.now()),
            "Up since": time.ctime(self.process.started),
            "Up time": f"{self.process.uptime} [sec]",
        }

    def pwd(self, _call: MiRequest) -> dict[str, str]:
        return {"WD": self.process.cwd}

    def arg(self, _call: MiRequest) -> list[str]:
        return public_arguments(self.process.argv)

    def ps(self, _call: MiRequest) -> dict[str, Any]:
        return {"Processes": [{"ID": 0, "PID": self.process.pid, "Type": PROCESS_TYPE}]}

    def log_level(self, call: MiRequest) -> dict[str, Any]:
        if not call.arguments:
            level = log_level.from_python(_logger.getEffectiveLevel())
            return {"Processes": [{"PID": self.process.pid, "Log level": level, "Type": PROCESS_TYPE}]}
        require(call.caller, Role.EVERYTHING, "setting log_level")
        level = call.arguments["level"]
        if call.arguments.get("pid", self.process.pid) != self.process.pid:
            raise invalid_params("Bad PID")
        _logger.setLevel(log_level.to_python(level))
        return {"Log level" if "pid" in call.arguments else "New global log level": level}

    def _find(self, name: str) -> Command:
        try:
            return self.registry.find(name)
        except RpcError:  # unknown or ambiguous
            raise _unknown_command() from None

    def commands(self) -> tuple[Command, ...]:
        level, pid = Parameter("level", "int"), Parameter("pid", "int")
        return tuple(
            Command(name, f"core:{name}", recipes, handler, text, "core", Role.READ_ONLY)
            for name, recipes, handler, text in (
                ("which", ((), (Parameter("command"),)), self.which, "lists the MI commands, or one's parameters"),
                ("help", ((), (Parameter("mi_cmd"),)), self.help, "prints what an MI command does"),
                ("version", ((),), self.version, "prints the version of janus-bridge"),
                ("uptime", ((),), self.uptime, "prints the time now, of the start, and the seconds between"),
                ("pwd", ((),), self.pwd, "prints the working directory"),
                ("arg", ((),), self.arg, "lists the arguments of the command line, without values that may be secret"),
                ("ps", ((),), self.ps, "lists the processes of janus-bridge, of which there is one"),
                ("log_level", ((), (level,), (level, pid)), self.log_level, "gets or sets the log level, -3 .. 4"),
            )
        )


def _unknown_command() -> RpcError:
    return RpcError(404, "unknown MI command")
