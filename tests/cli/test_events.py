"""``janus-bridge events``: the subscription lives as long as the command does, however much comes."""

import argparse
import itertools
import json
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from bridge.cli import events

if TYPE_CHECKING:
    from bridge.transport.mi_client import MiClient


class Client:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []

    def call(self, method: str, params: list[Any]) -> str:
        assert method == "event_subscribe"
        self.calls.append(params)
        return "OK"


def printed(payloads: list[bytes], *, as_json: bool, client: Client) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        for payload in payloads:
            receiver.sendto(payload, receiver.getsockname())
        args = argparse.Namespace(count=len(payloads), json=as_json)
        events._print_events(receiver, cast("MiClient", client), ["E"], "udp:127.0.0.1:1", args)


def test_a_subscription_is_renewed_while_events_come_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()
    monkeypatch.setattr(events, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    client = Client()
    printed([b"{}"] * 50, as_json=True, client=client)  # at one a second
    assert client.calls == [["E", "udp:127.0.0.1:1", events.EXPIRE]] * len(client.calls)
    assert 50 / events.EXPIRE < len(client.calls) <= 50 / events.RENEWAL


def test_what_a_person_sees(capsys: pytest.CaptureFixture[str]) -> None:
    body = json.dumps({"janus": "hangup"})
    event = {"jsonrpc": "2.0", "method": "E_JANUS_EVENT", "params": {"janus_id": "gw1\x1b[2J", "janus_body": body}}
    printed([json.dumps(event).encode(), b"no JSON \xff\n"], as_json=False, client=Client())
    first, second = capsys.readouterr().out.splitlines()
    assert first.partition(" ")[2] == 'E_JANUS_EVENT janus_id=gw1\\x1b[2J {"janus": "hangup"}'
    assert second == "no JSON \\xff\\n"


def test_a_subscription_is_renewed_while_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first event comes after the first renewal: whoever is subscribed still hears it."""
    monkeypatch.setattr(events, "RENEWAL", 0.01)
    client = Client()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))

        def renewed(method: str, params: list[Any]) -> str:
            receiver.sendto(b"{}", receiver.getsockname())
            return Client.call(client, method, params)

        monkeypatch.setattr(client, "call", renewed)
        args = argparse.Namespace(count=1, json=True)
        events._print_events(receiver, cast("MiClient", client), ["E", "F"], "udp:127.0.0.1:1", args)
    assert client.calls == [[name, "udp:127.0.0.1:1", events.EXPIRE] for name in ("E", "F")]
