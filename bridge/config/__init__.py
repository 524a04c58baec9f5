"""Configuration: the table of settings, and where their values come from.

``settings`` has one row a key, in frozen dataclasses; ``kinds`` what a value may look like; ``sources`` where values
come from; ``check`` and ``rules`` what is wrong with them; ``reload`` what SIGHUP may change. Read by daemon and cli
only: all other parts get plain values. Authority: contract 3.
"""

from bridge.config.kinds import RoleGrant, Secret, Subscriber
from bridge.config.reload import ChangedSettings, difference, reloaded
from bridge.config.secrets import secrets_of
from bridge.config.settings import (
    SETTINGS,
    ClusterSettings,
    Config,
    EventsSettings,
    GatewaySettings,
    JanusSettings,
    LogSettings,
    MiSettings,
    StateSettings,
)
from bridge.config.sources import DEFAULT_PATH, load

__all__ = [
    "DEFAULT_PATH",
    "SETTINGS",
    "ChangedSettings",
    "ClusterSettings",
    "Config",
    "EventsSettings",
    "GatewaySettings",
    "JanusSettings",
    "LogSettings",
    "MiSettings",
    "RoleGrant",
    "Secret",
    "StateSettings",
    "Subscriber",
    "difference",
    "load",
    "reloaded",
    "secrets_of",
]
