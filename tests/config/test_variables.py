"""Which setting a variable of the environment names."""

import pytest

from bridge.config.variables import meant, path_of, strays


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("JANUS_BRIDGE_LOG__LEVEL", ["log", "level"]),
        ("JANUS_BRIDGE_JANUS__JANUS_DB_URL", ["janus", "janus_db_url"]),
        ("JANUS_BRIDGE_JANUS__GATEWAYS__Gw1__TOKEN", ["janus", "gateways", "Gw1", "token"]),
        ("JANUS_BRIDGE_JANUS__GATEWAYS__a__b__TOKEN", ["janus", "gateways", "a__b", "token"]),
        ("JANUS_BRIDGE_MI_TOKEN", None),
        ("JANUS_BRIDGE_PORT", None),
        ("PATH__X", None),
    ],
)
def test_the_path_of_a_setting(name: str, path: list[str] | None) -> None:
    assert path_of(name) == path


def test_strays_have_the_prefix_and_not_the_form() -> None:
    assert strays(["HOME", "JANUS_BRIDGE_PORT", "JANUS_BRIDGE_LOG__LEVEL", "JANUS_BRIDGE_A"]) == [
        "JANUS_BRIDGE_A",
        "JANUS_BRIDGE_PORT",
    ]


@pytest.mark.parametrize(
    ("stray", "suggestion"),
    [
        ("JANUS_BRIDGE_LOG_LEVEL", "JANUS_BRIDGE_LOG__LEVEL"),
        ("JANUS_BRIDGE_TOKEN", "JANUS_BRIDGE_MI__TOKEN or JANUS_BRIDGE_CLUSTER__TOKEN"),
        ("JANUS_BRIDGE_PENDING_BYTES", "JANUS_BRIDGE_MI__PENDING_BYTES or JANUS_BRIDGE_EVENTS__PENDING_BYTES"),
        ("JANUS_BRIDGE_GATEWAYS_GW1_TOKEN", "JANUS_BRIDGE_JANUS__GATEWAYS__<ID>__<KEY>"),
        ("JANUS_BRIDGE_PORT", None),
        ("JANUS_BRIDGE_SERVICE_HOST", None),
        ("JANUS_BRIDGE_GATEWAYS_PORT", None),
    ],
)
def test_what_a_stray_is_meant_to_be(stray: str, suggestion: str | None) -> None:
    assert meant(stray) == suggestion
