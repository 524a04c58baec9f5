"""Recipes: the parameter lists that an MI method accepts, and the binding of a call's parameters to one of them.

Owns the choice of a recipe, the coercions and their error texts. Must not know which methods exist.
Authority: OpenSIPS mi/mi.c (get_cmd_recipe) and mi/item.c (get_mi_*_param), as observed on 3.2 .. 4.1.
"""

import math
from typing import Any, Final, Literal, TypeAlias

from bridge.protocol.codec import INT64_MAX, INT64_MIN
from bridge.protocol.jsonrpc import INVALID_PARAMS, RpcError

# string  a string; a number is taken as its integer's digits
# int     a number, truncated, or a decimal string; 64 bits, as databases and clocks take no more
# array   a list that is not empty, of strings and numbers -> list[str]
# json    an object, or a string; handed over untouched
# any     whatever it is; handed over untouched
ParameterType: TypeAlias = Literal["string", "int", "array", "json", "any"]


# What a kind takes as it is: nearly all values that there are.
_AS_IS: Final[dict[ParameterType, tuple[type, ...]]] = {
    "string": (str,),
    "int": (),
    "array": (),
    "json": (dict, str),
    "any": (dict, str),
}


class Parameter:
    """One name of a recipe. ``as_is``: the types of values that need no coercion."""

    __slots__ = ("as_is", "kind", "name")

    def __init__(self, name: str, kind: ParameterType = "string") -> None:
        self.name = name
        self.kind = kind
        self.as_is = _AS_IS[kind]


REQUIRED: Final = object()


class PeerParameter(Parameter):
    """Of a method that bridges call at each other, whatever their releases: a caller may say more than its recipe has,
    by a place behind its last or by another name, and need not say what has a ``default``.
    """

    __slots__ = ("default",)

    def __init__(self, name: str, kind: ParameterType = "string", default: Any = REQUIRED) -> None:
        super().__init__(name, kind)
        self.default = default


Recipe: TypeAlias = tuple[Parameter, ...]


def invalid_params(data: str) -> RpcError:
    """-32602 with OpenSIPS's words."""
    return RpcError(INVALID_PARAMS, "Invalid params", data)


def bad_type(name: str, wanted: str = "") -> RpcError:
    """-32602 for a parameter whose value cannot be used; ``wanted`` says what can, where OpenSIPS has no such one."""
    return invalid_params(f"Bad type for parameter '{name}'" + (f": it is {wanted}" if wanted else ""))


def bind(recipes: tuple[Recipe, ...], params: list[Any] | dict[str, Any] | None) -> dict[str, Any]:
    """The arguments of a call by name, coerced to their kinds. Raises RpcError (-32602).

    Parameters in a list choose a recipe by their number alone, named ones by number and names (exact case).
    """
    count = 0 if params is None else len(params)
    fitting: Recipe | None = None
    for recipe in recipes:
        if len(recipe) == count:
            if fitting is not None:
                return _bind_one_of(recipes, params)
            fitting = recipe
    if fitting is None:
        return _bind_of_peer(recipes[0], params, "Too few or too many parameters")
    arguments: dict[str, Any] = {}
    if isinstance(params, dict):
        for parameter in fitting:
            name = parameter.name
            if name not in params:
                return _bind_of_peer(fitting, params, "Named parameters do not match")
            value = params[name]
            arguments[name] = value if type(value) in parameter.as_is else _coerce(name, parameter.kind, value)
    elif params is not None:
        for parameter, value in zip(fitting, params, strict=True):
            name = parameter.name
            arguments[name] = value if type(value) in parameter.as_is else _coerce(name, parameter.kind, value)
    return arguments


def _bind_one_of(recipes: tuple[Recipe, ...], params: list[Any] | dict[str, Any] | None) -> dict[str, Any]:
    """Several have as many parameters: only names can choose."""
    if not isinstance(params, dict):
        raise invalid_params("Ambiguous call, use named parameters instead")
    for recipe in recipes:
        if len(recipe) == len(params) and all(parameter.name in params for parameter in recipe):
            return bind((recipe,), params)
    raise invalid_params("Named parameters do not match")


def _bind_of_peer(recipe: Recipe, params: list[Any] | dict[str, Any] | None, refusal: str) -> dict[str, Any]:
    """As far as the recipe is one of PeerParameters."""
    if not recipe:
        raise invalid_params(refusal)
    named = params if isinstance(params, dict) else dict(zip([one.name for one in recipe], params or [], strict=False))
    arguments: dict[str, Any] = {}
    for parameter in recipe:
        if not isinstance(parameter, PeerParameter):
            raise invalid_params(refusal)
        name = parameter.name
        if name in named:
            arguments[name] = _coerce(name, parameter.kind, named[name])
        elif parameter.default is REQUIRED:
            raise invalid_params(f"{refusal}: '{name}' is missing")
        else:
            arguments[name] = parameter.default
    return arguments


def _coerce(name: str, kind: ParameterType, value: Any) -> Any:
    match kind:
        case "string":
            text = _string(value)
            if text is None:
                raise bad_type(name)
            return text
        case "int":
            number = _int(value)
            if number is None:
                raise bad_type(name)
            return number
        case "array":
            return _array(name, value)
        case "json":
            if not isinstance(value, (str, dict)):
                raise bad_type(name)
    return value


def _string(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    number = _number(value)
    return None if number is None else str(number)


def _int(value: Any) -> int | None:
    number = _whole(value)
    return number if number is not None and INT64_MIN <= number <= INT64_MAX else None


def _whole(value: Any) -> int | None:
    if not isinstance(value, str):
        return _number(value)
    digits = value[1:] if value[:1] in ("-", "+") else value
    # int() alone would take blanks, underscores, other scripts' digits and texts of any length.
    return int(value) if digits.isascii() and digits.isdecimal() and len(digits) <= 19 else None


def _number(value: Any) -> int | None:
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _array(name: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise bad_type(name)
    if not value:
        raise invalid_params(f"Empty array in parameter '{name}'")
    items: list[str] = []
    for item in value:
        text = _string(item)
        if text is None:
            raise invalid_params(f"Bad type for array item in parameter '{name}'")
        items.append(text)
    return items
