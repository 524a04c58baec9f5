"""``janus-bridge events`` at its end: by a signal, or because the bridge is gone."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.__main__ import main
from bridge.cli import events
from tests.support.bridge import PROGRAM, Bridge
from tests.support.site import SECONDS


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """One for those that leave it as they found it."""
    with Bridge(tmp_path_factory.mktemp("bridge")) as started:
        yield started


def subscribers(bridge: Bridge) -> list[Any]:
    """The subscriptions that are not over."""
    listed = bridge.mi("subscribers_list")["Events"]
    found: list[Any] = []
    for event in listed:
        one = event.get("Subscribers") or event.get("Subscriber") or []
        found += one if isinstance(one, list) else [one]
    return [subscriber for subscriber in found if subscriber["ttl"] != "expired"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_subscription_too(bridge: Bridge, number: signal.Signals) -> None:
    command = [str(PROGRAM), "events", "--url", bridge.mi_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("subscribed to E_JANUS_EVENT, E_JANUS_STATUS as udp:127.0.0.1:")
        assert len(subscribers(bridge)) == 2
        bridge.mi("raise_event", ["E_JANUS_STATUS", '{"janus_id": "gw1"}'])
        assert process.stdout is not None
        assert process.stdout.readline().endswith(" E_JANUS_STATUS janus_id=gw1\n")
        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out, err) == (0, "", "")
    assert subscribers(bridge) == []


def test_a_bridge_that_is_gone_is_noticed_at_the_next_renewal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(events, "RENEWAL", 0.05)
    with Bridge(tmp_path) as bridge:
        monkeypatch.setattr(events, "complain", lambda _line: bridge.stop())  # when it is subscribed
        assert main(["events", "--url", bridge.mi_url]) == 3
        assert capsys.readouterr() == ("", f"janus-bridge: {bridge.mi_url}: Connection refused\n")


def test_an_event_that_the_bridge_does_not_have_is_an_mi_error(
    bridge: Bridge, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["events", "E_NO_SUCH", "--url", bridge.mi_url]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("janus-bridge: ")
    assert err.count("\n") == 1
