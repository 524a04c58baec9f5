"""``janus-bridge events``: the subscription lives as long as the command does, however much comes."""

import argparse
import itertools
import json
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from bridge.cli import events
from bridge.cli.mi import explained
from bridge.protocol.jsonrpc import RpcError

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


class Keeping:
    """A bridge that has kept some events of two gateways."""

    def __init__(self) -> None:
        self.kept = {name: [f"7-{n}" for n in range(3, 3 + many)] for name, many in (("gw1", 250), ("gw2", 2))}

    def call(self, method: str, params: list[Any]) -> Any:
        if method == "event_store_list":
            return {"Gateways": [{"janus_id": name} for name in self.kept]}
        janus_id, seq, limit = params
        n = int(seq.split("-")[1])
        rows = [row for row in self.kept[janus_id] if int(row.split("-")[1]) >= n][:limit]
        found = [
            {"janus_seq": row, "time": "T", "name": "E_JANUS_EVENT", "params": {"janus_id": janus_id}} for row in rows
        ]
        following = int(rows[-1].split("-")[1]) + 1 if rows else n
        return {"Events": found, "lost": following - n - len(rows), "next": f"7-{following}"}


@pytest.mark.parametrize(("gateway", "count", "printed"), [(None, None, 252), ("gw2", None, 2), (None, 251, 251)])
def test_what_is_kept_is_printed_in_pages(
    capsys: pytest.CaptureFixture[str], gateway: str | None, count: int | None, printed: int
) -> None:
    args = argparse.Namespace(start="7-1", gateway=gateway, count=count, json=True)
    assert events._replay(cast("MiClient", Keeping()), events.DEFAULT_EVENTS, args) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line)["params"] for line in out.splitlines()]
    assert len(rows) == printed
    assert rows[-1] == {"janus_id": "gw2", "janus_seq": rows[-1]["janus_seq"]}
    assert f"missing: {2 if gateway else 4} events, cut off or never kept" in err


def test_nothing_that_is_kept_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    args = argparse.Namespace(start="7-9", gateway="gw2", count=None, json=True)
    assert events._replay(cast("MiClient", Keeping()), events.DEFAULT_EVENTS, args) == 0
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "no such event is kept" in err


def test_a_name_that_is_no_event_is_said() -> None:
    class Refusing:
        def call(self, method: str, params: list[Any]) -> Any:
            raise RpcError(400, "Bad parameter value")

    with pytest.raises(RpcError, match="NOPE is no event") as raised:
        events._subscribe(cast("MiClient", Refusing()), ["NOPE"], "udp:127.0.0.1:9", 30)
    assert raised.value.code == 400


def test_whose_log_says_why() -> None:
    with pytest.raises(RpcError) as raised, explained("http://127.0.0.1:8889/mi"):
        raise RpcError(400, "Bad parameter value")
    assert raised.value.data == "the log of the bridge says why"
