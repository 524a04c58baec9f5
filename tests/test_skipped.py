"""What CI says of the tests that it skipped, on reports that pytest wrote."""

from pathlib import Path

import pytest
import trio

from tests.conftest import run_with_deadline
from tools.skipped import told

TESTS = """
import pytest

@pytest.mark.skipif("os.environ['BUILD'] == 'compiled'", reason="it has no lines")
def test_here():
    pass

@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.skipif(True, reason="no opensips")
def test_nowhere(n):
    pass
"""
PLAIN = ("-c/dev/null", "--assert=plain", "-pno:cacheprovider", "-pno:terminal", "-pno:unraisableexception")


def test_what_no_run_has_run_is_said_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (tmp_path / "test_some_builds.py").write_text(TESTS)
    source, compiled = tmp_path / "source", tmp_path / "compiled"
    for build in (source, compiled):
        monkeypatch.setenv("BUILD", build.name)
        assert pytest.main([*PLAIN, f"--rootdir={tmp_path}", f"--junitxml={build}", str(tmp_path)]) == 0
    assert told([source]) == told([source, compiled]) == told([compiled, source])
    assert told([source]) == "3 tests, 2 skipped: 2 no opensips"
    assert told([compiled]) == "3 tests, 3 skipped: 2 no opensips; 1 it has no lines"


def test_without_a_report_nothing_was_run() -> None:
    assert told([]) == "0 tests, 0 skipped"


def test_an_async_test_keeps_its_reason() -> None:
    async def test() -> None:
        async with trio.open_nursery():
            pytest.skip("no such server")

    with pytest.raises(pytest.skip.Exception, match="no such server"):
        run_with_deadline(test)
