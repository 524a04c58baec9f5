from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.jsonrpc import RpcError
from bridge.protocol.recipe import Parameter, ParameterType, PeerParameter, Recipe, bind

EVENT, SOCKET, EXPIRE = Parameter("event"), Parameter("socket"), Parameter("expire", "int")
SUBSCRIBE: tuple[Recipe, ...] = ((EVENT, SOCKET), (EVENT, SOCKET, EXPIRE))
VALUE = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
)


def one(kind: ParameterType, value: Any) -> Any:
    return bind(((Parameter("p", kind),),), [value])["p"]


def fault(recipes: tuple[Recipe, ...], params: list[Any] | dict[str, Any] | None) -> str | None:
    with pytest.raises(RpcError) as caught:
        bind(recipes, params)
    assert (caught.value.code, caught.value.message) == (-32602, "Invalid params")
    return caught.value.data


def test_a_recipe_is_chosen_by_the_number_of_parameters() -> None:
    assert bind(SUBSCRIBE, ["E", "udp:h:1"]) == {"event": "E", "socket": "udp:h:1"}
    assert bind(SUBSCRIBE, ["E", "udp:h:1", "60"]) == {"event": "E", "socket": "udp:h:1", "expire": 60}
    assert bind(SUBSCRIBE, {"expire": 60, "socket": "s", "event": "E"}) == {"event": "E", "socket": "s", "expire": 60}
    assert bind(((), *SUBSCRIBE), None) == {}


def test_faults_of_the_choice() -> None:
    assert fault(SUBSCRIBE, None) == "Too few or too many parameters"
    assert fault(SUBSCRIBE, ["E"]) == "Too few or too many parameters"
    assert fault(SUBSCRIBE, {"event": "E"}) == "Too few or too many parameters"
    assert fault(SUBSCRIBE, {"event": "E", "Socket": "s"}) == "Named parameters do not match"


def test_recipes_of_equal_length_are_told_apart_by_names_alone() -> None:
    by_id, by_pid = (Parameter("id", "int"),), (Parameter("pid", "int"),)
    assert bind((by_id, by_pid), {"pid": 7}) == {"pid": 7}
    assert fault((by_id, by_pid), [7]) == "Ambiguous call, use named parameters instead"


PEERS: tuple[Recipe, ...] = ((PeerParameter("epoch", "int"), PeerParameter("asked", "int", 0)),)


@pytest.mark.parametrize(
    "params",
    [
        [5, 7],
        [5, "7", {"more": 1}],
        {"asked": 7, "epoch": 5},
        {"asked": 7, "epoch": "5", "more": [1]},
    ],
)
def test_between_bridges_what_a_later_release_adds_is_ignored(params: list[Any] | dict[str, Any]) -> None:
    assert bind(PEERS, params) == {"epoch": 5, "asked": 7}


@pytest.mark.parametrize("params", [[5], {"epoch": 5}, {"epoch": 5, "more": 1}])
def test_between_bridges_what_an_earlier_release_does_not_say_has_its_default(
    params: list[Any] | dict[str, Any],
) -> None:
    assert bind(PEERS, params) == {"epoch": 5, "asked": 0}


def test_between_bridges_the_rest_is_as_strict_as_ever() -> None:
    assert fault(PEERS, None) == "Too few or too many parameters: 'epoch' is missing"
    assert fault(PEERS, {"asked": 1, "more": 1}) == "Named parameters do not match: 'epoch' is missing"
    assert fault(PEERS, ["x", 1, 2]) == "Bad type for parameter 'epoch'"
    assert fault(((EVENT,),), ["E", "more"]) == "Too few or too many parameters"


@pytest.mark.parametrize(
    ("kind", "value", "bound"),
    [
        ("string", "", ""),
        ("string", 5, "5"),
        ("string", -1.9, "-1"),
        ("string", 2**53, "9007199254740992"),
        ("int", 5, 5),
        ("int", 5.9, 5),
        ("int", -5.9, -5),
        ("int", "60", 60),
        ("int", "-3", -3),
        ("int", "+3", 3),
        ("int", "007", 7),
        ("int", 2**63 - 1, 2**63 - 1),
        ("int", str(-(2**63)), -(2**63)),
        ("array", ["a", 5, 1.5], ["a", "5", "1"]),
        ("json", {"a": [1.5, None]}, {"a": [1.5, None]}),
        ("json", "{", "{"),
        ("any", None, None),
        ("any", [True], [True]),
    ],
)
def test_coercion(kind: ParameterType, value: Any, bound: Any) -> None:
    assert one(kind, value) == bound
    assert type(one(kind, value)) is type(bound)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("string", [True, None, [], {}, float("nan"), float("inf")]),
        ("int", [True, None, [], {}, float("nan"), "", "x", "5x", " 5", "1_0", "٥", "1.5", "0x5", "-", "9" * 20]),
        ("int", [2**63, -(2**63) - 1, 1e19, 1e300, "9" * 19]),
        ("array", ["a", 5, None, {}]),
        ("json", [5, None, True, []]),
    ],
)
def test_bad_types(kind: ParameterType, values: list[Any]) -> None:
    for value in values:
        assert fault(((Parameter("p", kind),),), [value]) == "Bad type for parameter 'p'", value


def test_bad_arrays() -> None:
    recipes = ((Parameter("statistics", "array"),),)
    assert fault(recipes, [[]]) == "Empty array in parameter 'statistics'"
    assert fault(recipes, {"statistics": ["a", {}]}) == "Bad type for array item in parameter 'statistics'"


@given(
    st.none() | st.lists(VALUE, min_size=1, max_size=4) | st.dictionaries(st.sampled_from("abcd"), VALUE, min_size=1)
)
def test_binding_ends_in_a_recipe_or_in_an_rpc_error(params: Any) -> None:
    recipes: tuple[Recipe, ...] = (
        (),
        (Parameter("a", "int"),),
        (Parameter("a", "json"), Parameter("b")),
        (Parameter("b", "array"), Parameter("c", "int")),
    )
    try:
        arguments = bind(recipes, params)
    except RpcError:
        return
    assert list(arguments) in [[parameter.name for parameter in recipe] for recipe in recipes]
