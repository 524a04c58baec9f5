"""Which gateways drain, over restarts."""

from pathlib import Path

import pytest

from bridge.errors import BridgeError
from bridge.transport.drained import DrainedGateways


async def test_what_was_saved_is_there_again(tmp_path: Path) -> None:
    file = tmp_path / "drained.json"
    assert DrainedGateways(file).load() == []
    await DrainedGateways(file).save({"gw2", "gw1"})
    assert DrainedGateways(file).load() == ["gw1", "gw2"]
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BridgeError, match=r"none/drained.json: No such file or directory; it holds until"):
        await DrainedGateways(tmp_path / "none" / "drained.json").save({"gw1"})


@pytest.mark.parametrize("content", [b"{", b"7", b'["gw1", 2]', b"[" * 100_000, b"\xff"])
def test_a_damaged_file_is_said_and_counts_as_empty(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "drained.json"
    file.write_bytes(content)
    assert DrainedGateways(file).load() == []
    (record,) = caplog.records
    assert "the file is damaged; no gateway is drained" in record.getMessage()
