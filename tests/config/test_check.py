"""The look that spares most starts the schema's validator: what it lets pass, that does as well."""

import json
import re
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bridge import resources
from bridge.config import check
from bridge.config.check import first_error, holds
from bridge.config.settings import SECTIONS, TABLE

SCHEMA = resources.schema("config")
VALIDATOR = Draft202012Validator(SCHEMA)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "x", "a.b:1", "udp:h:1", "query"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["event", "socket", "filter", "role", "token", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)
KEYS = [(section, key) for section in SECTIONS for key in TABLE[section]]


def everything() -> dict[str, Any]:
    """The sample, with every key in effect."""
    text = resources.path("opensips-examples/janus-bridge.toml").read_text(encoding="utf-8")
    lines = (re.sub(r"^#(\[.+\]|[a-z_]+ = .+)$", r"\1", line) for line in text.splitlines())
    return tomllib.loads("\n".join(lines))


def test_a_configuration_without_a_mistake_needs_no_validator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_validator", None)
    assert everything()["janus"]["gateways"]
    assert first_error(everything()) is None
    assert first_error({}) is None


@given(st.sampled_from(KEYS), VALUES)
def test_what_is_let_pass_is_valid(where: tuple[str, str], value: Any) -> None:
    section, key = where
    given = {section: {key: value}}
    assert not holds(given, SCHEMA) or VALIDATOR.is_valid(given), json.dumps(given)


@pytest.mark.parametrize(
    "values",
    [
        {"mi": 5},
        {"nothing": {}},
        {"mi": {"nothing": 1}},
        {"mi": {"http": "x"}},
        {"log": {"level": True}},
        {"mi": {"http": [5]}},
    ],
)
def test_a_mistake_is_none_that_holds(values: Any) -> None:
    assert not holds(values, SCHEMA)
    assert first_error(values) is not None
