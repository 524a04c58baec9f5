"""The matrix, its tests and the document say the same."""

import ast
from pathlib import Path

import pytest

from tests.faults import matrix
from tests.faults.matrix import ROOT
from tools.source import tree_of


def found_in(file: Path) -> set[str]:
    """The node ids of a file's tests."""
    name = file.relative_to(ROOT).as_posix()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    body = tree_of(file).body
    return {f"{name}::{node.name}" for node in body if isinstance(node, functions) and node.name.startswith("test_")}


def test_each_row_has_its_own_test() -> None:
    tests = [row.test for row in matrix.load()]
    assert len(tests) == len(set(tests))
    for test in tests:
        assert test in found_in(ROOT / test.partition("::")[0]), f"there is no {test}"


def test_each_test_of_a_fault_has_its_row() -> None:
    here = Path(__file__)
    found = {test for file in here.parent.glob("test_*.py") if file != here for test in found_in(file)}
    assert found <= {row.test for row in matrix.load()}


def test_a_time_is_only_promised_where_a_test_measures_it() -> None:
    for row in matrix.load():
        file, _, name = row.test.partition("::")
        (test,) = (
            node
            for node in tree_of(ROOT / file).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
        )
        assert (row.within is not None) == ("within" in {argument.arg for argument in test.args.args}), row.test


@pytest.mark.parametrize("document", [matrix.GUARANTEES, *matrix.OF_ITS_OWN.values()], ids=lambda path: path.name)
def test_a_document_has_its_tables_of_the_matrix(document: Path) -> None:
    assert matrix.included(document).strip() == matrix.render(document).strip(), "python -m tests.faults.matrix"
