"""A secret of its own in every place that can hold one, and then a search through everything that is shown."""

import json
import os
import socket
import stat
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from bridge.protocol.jsonrpc import RpcError
from bridge.transport.mi_client import MiClient
from tests.support.bridge import PROGRAM, toml
from tests.support.deadlines import HANG_SECONDS
from tests.support.fake_janus import FakeJanus, Message, open_fake_janus
from tests.support.site import Site
from tests.support.tables import sqlite_table

MARK = "pl4nt"  # begins every secret, and nothing else
PAGES = ("/", "/metrics", "/readyz", "/healthz")


def plant(name: str) -> str:
    return f"{MARK}-{name}-0123456789"


def repeated(error: str) -> Callable[[Message], list[Message]]:
    """A Janus whose refusals repeat what they were sent."""

    def script(message: Message) -> list[Message]:
        reason = f"{error}: {json.dumps(message)} in session 7366118842339031"
        return [{"janus": "error", "transaction": message["transaction"], "error": {"code": 403, "reason": reason}}]

    return script


def rows(fake: FakeJanus) -> dict[str, str]:
    place = f"127.0.0.1:{fake.port}"
    return {
        "good": f"janusws://user:{plant('user')}@{place}/janus?key={plant('query')}",
        "signed": fake.url,
        "bad1": f"janusws://user:{plant('bad1')}@h:99999/",
        "bad2": f"janusws://h:99999/?key={plant('bad2')}",
        "bad3": f"janusws://h/#{plant('bad3')}",
        "bad4": f"janusws://user:{plant('bad4')}/h/janus",
        "bad5": f"http://user:x/{plant('bad5')}@h/",
    }


def settings(url: str) -> dict[str, Any]:
    roles = [{"role": "read-only", "token": plant("reader")}]
    return {
        "janus.janus_db_url": url,
        "janus.gateways.good.headers": {"Cookie": plant("cookie"), "X-Key": f"Bearer {plant('bearer')}"},
        "janus.gateways.good.api_secret": plant("api"),
        "janus.gateways.signed.token_secret": plant("signing"),
        "mi.token": plant("mi"),
        "mi.roles": roles,
        "events.subscribers": [
            {"event": "E_JANUS_EVENT", "socket": f"rabbitmq:user:{plant('broker')}@127.0.0.1:1/k"},
        ],
        "log.level": 4,
    }


async def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    async with open_fake_janus() as fake:
        fake.script["create"] = repeated("refused")
        url = sqlite_table(tmp_path / "t.db", rows(fake))
        site = Site(tmp_path, **settings(url))
        option = f"janus.gateways.good.token={plant('option')}"
        site.bridge._arguments += ["-o", option]
        site.bridge.environ = {**os.environ, "JANUS_BRIDGE_JANUS__GATEWAYS__other__TOKEN": plant("environment")}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as events, site.bridge as bridge:
            events.bind(("127.0.0.1", 0))
            subscriber = f"udp:127.0.0.1:{events.getsockname()[1]}"
            await fake.wait_request("create", 2)
            shown = await trio.to_thread.run_sync(everything, bridge.mi_url, subscriber)
            assert await trio.to_thread.run_sync(bridge.logged, "403")
            shown["log"] = bridge.log
            site.write(janus__gateways__good__api_secret=plant("api2"))
            await site.reload("reload: done")
            shown["status event"] = "".join(waiting(events))
        shown["log at the end"] = bridge.log
        config = ["-c", str(site.file), "-o", option]
        for command in (["check", "--connect"], ["db", "list", "--json"]):
            shown[" ".join(command)] = await output(*command, *config)
    assert "refused: " in shown["janus_list"]
    assert not {name: text[text.index(MARK) - 80 :][:160] for name, text in shown.items() if MARK in text}
    assert not [name for name, text in shown.items() if "7366118842339031" in text]
    for file in (tmp_path / "state").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def everything(url: str, subscriber: str) -> dict[str, str]:
    """What a running bridge says to who may do everything."""
    client = MiClient(url, token=plant("mi"))
    shown: dict[str, str] = {}

    def call(method: str, *params: Any) -> None:
        try:
            shown[method] = json.dumps(client.call(method, list(params)))
        except RpcError as exc:
            shown[f"{method} {params}"] = f"{exc} {exc.data}"

    call("event_subscribe", "E_JANUS_STATUS", subscriber)
    sockets = (
        f"udp://user:{plant('socket1')}@h:1",
        f"http://h/?token={plant('socket2')}",
        f"rabbitmq:user:{plant('socket3')}@127.0.0.1:1/k",
        f"rabbitmq:user:{plant('socket4')}/x@127.0.0.1:1/k",
        f"rabbitmq:user:{plant('socket5')}@127.0.0.1:1/tls_domain=none?k",
    )
    for text in sockets:
        call("event_subscribe", "E_JANUS_EVENT", text)
    call("janus_send_request", "good", json.dumps({"janus": "attach", "token": plant("command")}))
    call("janus_send_request", "bad1", {"janus": "info", "apisecret": plant("command2")})
    for method in client.call("which"):
        if ":" not in method and method not in ("janus_send_request", "event_subscribe", "raise_event", "log_level"):
            arguments: dict[str, list[Any]] = {"get_statistics": [["all"]], "janus_reconnect": ["good"]}
            call(method, *arguments.get(method, []))
    with pytest.raises(RpcError):
        MiClient(url, token=plant("wrong")).call("version")
    for page in PAGES:
        request = urllib.request.Request(url.removesuffix("/mi") + page)
        request.add_header("Authorization", f"Bearer {plant('mi')}")
        with urllib.request.urlopen(request, timeout=HANG_SECONDS) as answer:
            shown[page] = answer.read().decode()
    shown["status"] = program("status", "--url", url, environ={"JANUS_BRIDGE_MI__TOKEN": plant("mi")})
    return shown


def waiting(events: socket.socket) -> list[str]:
    """What has come."""
    found = []
    while True:
        try:
            found.append(events.recv(65536, socket.MSG_DONTWAIT).decode())
        except BlockingIOError:
            return found


def program(*arguments: str, environ: dict[str, str] | None = None) -> str:
    environ = {**os.environ, **(environ or {})}
    command = [str(PROGRAM), *arguments]
    found = subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS, env=environ, check=False)
    return found.stdout + found.stderr


async def output(*arguments: str) -> str:
    return await trio.to_thread.run_sync(program, *arguments)


@pytest.mark.parametrize(
    "words",
    [
        ("run", "-o", plant("x")),
        ("run", "-o", f"mi.token:{plant('x')}"),
        ("run", "-o", f"mi.tokn={plant('x')}"),
        ("run", "-o", f"mi.token={plant('x')} "),
        ("run", f"--token={plant('x')}"),
        ("run", "--token", plant("x")),
        ("check", f"mysql://u:{plant('x')}@h/d"),
        ("check", "-o", f"janus.janus_db_url=mysql://u:{plant('x')}@127.0.0.1:1/d"),
        ("check", "-o", f"janus.janus_db_url=postgres://u:{plant('x')}@127.0.0.1:1/d"),
        ("check", "-o", toml({"a": plant("x")})),
        ("check", "-o", f"mi.roles={toml([{'role': 'admin', 'token': plant('x')}])}"),
        ("db", "add", "gw", f"janusws://u:{plant('x')}/h"),
        ("mi", "which", "--url", f"http://u:{plant('x')}@127.0.0.1:1/mi"),
        ("mi", "which", "--url", f"http://u:{plant('x')}/mi"),
        ("mi", "which", "--url", f"http://127.0.0.1:1/mi?token={plant('x')}"),
        ("mi", "which", "--url", "http://127.0.0.1:1/mi", "--token", f"{plant('x')} "),
    ],
    ids=lambda words: " ".join(words).replace(plant("x"), "SECRET"),
)
def test_no_mistake_at_the_command_line_repeats_a_secret(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from bridge.__main__ import main

    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    try:
        code = main(words)
    except SystemExit as exc:
        code = int(exc.code or 0)
    out, err = capfd.readouterr()
    assert code in (2, 3)
    assert err or out
    assert MARK not in out + err
