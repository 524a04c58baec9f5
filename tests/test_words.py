"""One word, one thing: a class or a type of bridge/ has its name for itself."""

import ast
from collections import defaultdict
from collections.abc import Iterator

from tools.source import ROOT, program


def test_no_two_types_have_one_name() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for file, tree in program():
        for name in _types(tree):
            places[name].append(str(file.relative_to(ROOT)))
    assert len(places) > 200
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def _types(module: ast.Module) -> Iterator[str]:
    """Classes and type aliases at the top of a module; a leading underscore makes no other word of it."""
    for node in module.body:
        match node:
            case ast.ClassDef(name=name):
                yield name.lstrip("_")
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id="TypeAlias")):
                yield name.lstrip("_")
