"""JSON values for properties: what Python's ``json`` can make of a text, and texts that are nearly JSON."""

import json
from typing import Any

from hypothesis import strategies as st

EDGES = [2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30]
WORDS = ["id", "room", "feed", "metadata", "headers", "display", "janus", "transaction", "error", "data", ""]

integers = st.integers() | st.sampled_from(EDGES)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
keys = st.sampled_from(WORDS) | texts
scalars = st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False) | texts
digits = integers.map(str)  # what an OpenSIPS script has of an id
values = st.recursive(
    scalars | digits,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(keys, values, max_size=5)


def _damaged(cut: tuple[str, int, str]) -> str:
    text, place, garbage = cut
    place %= len(text) + 1
    return text[:place] + garbage + text[place + 1 :]


# Any text, JSON, JSON with a place where something else stands, and what parsers stumble over.
json_texts = (
    st.text(max_size=20)
    | values.map(json.dumps)
    | st.tuples(values.map(json.dumps), st.integers(0, 200), st.text(max_size=3)).map(_damaged)
    | st.sampled_from(
        ["NaN", "-Infinity", "1e999", "[-1e999]", "1" * 5000, "[" * 5000, '{"a":' * 150 + "1" + "}" * 150, '"\\ud800"']
    )
)


def depth(value: Any) -> int:
    """How deep it is nested, by the definition."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def leaves(value: Any) -> list[Any]:
    """Every scalar in it, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]
