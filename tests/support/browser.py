"""Headless Chromium, driven through its own protocol: what a page looks like and does for a person.

Authority: the Chrome DevTools Protocol. One browser a test session, one tab a test.
"""

import base64
import itertools
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url

from tests.support.deadlines import HANG_SECONDS
from tests.support.process import ChildProcess

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_START_SECONDS = HANG_SECONDS
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--hide-scrollbars",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",
)


class Screen(NamedTuple):
    """What the page is shown on: CSS pixels, and what the person prefers."""

    width: int = 1280
    height: int = 800
    dark: bool = False
    mobile: bool = False


PHONE = Screen(390, 844, mobile=True)


@contextmanager
def browser() -> Iterator[str]:
    """A running browser; the URL of its DevTools WebSocket."""
    assert PROGRAM is not None, "look at PROGRAM first"
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        process = ChildProcess([PROGRAM, *_FLAGS, f"--user-data-dir={folder}/profile"], Path(folder, "log"))
        try:
            yield _await_port(process, Path(folder, "profile", "DevToolsActivePort"))
        finally:
            process.stop(5)


def _await_port(process: ChildProcess, file: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.exit_code is None:
        if file.exists() and len(lines := file.read_text().split("\n")) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.01)
    raise AssertionError(f"chromium did not start:\n{process.output[-2000:]}")


class Tab:
    """One page. ``complaints`` are what went wrong in it: exceptions, violations of its policy, failed requests."""

    def __init__(self, socket: WebSocketConnection, session: str) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._session = session
        self._ids = itertools.count(100)
        self._answers: dict[int, dict[str, Any]] = {}
        self._heard = trio.Event()
        self.loads = 0

    async def listen(self) -> None:
        """Read what the browser says, until it is gone."""
        try:
            while True:
                self._take(json.loads(await self._socket.get_message()))
        except ConnectionClosed:
            return

    def _take(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if "id" in message:
            self._answers[message["id"]] = message
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"])
        elif method == "Page.loadEventFired":
            self.loads += 1
        self._heard.set()

    async def call(self, method: str, **params: Any) -> Any:
        """One command of the protocol; its result."""
        number = next(self._ids)
        message = {"id": number, "sessionId": self._session, "method": method, "params": params}
        await self._socket.send_message(json.dumps(message))
        await self.until(lambda: number in self._answers)
        answer = self._answers.pop(number)
        assert "error" not in answer, answer
        return answer["result"]

    async def until(self, condition: Any) -> None:
        """Wait for something that the browser says."""
        while not condition():
            self._heard = trio.Event()
            await self._heard.wait()

    async def go(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        loads = self.loads
        await self.call("Page.navigate", url=url)
        await self.until(lambda: self.loads > loads)

    async def show_on(self, screen: Screen) -> None:
        """Change the screen."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=screen.width,
            height=screen.height,
            deviceScaleFactor=1,
            mobile=screen.mobile,
        )
        scheme = "dark" if screen.dark else "light"
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def without_scripts(self) -> None:
        """As for people who have switched them off."""
        await self.call("Emulation.setScriptExecutionDisabled", value=True)

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, a promise's when it is there."""
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def becomes(self, expression: str, seconds: float = HANG_SECONDS) -> None:
        """Wait until an expression is true."""
        with trio.fail_after(seconds):
            while not await self.evaluate(expression):  # noqa: ASYNC110 - the page has no event for it
                await trio.sleep(0.02)

    async def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """What is to be seen, as PNG; the whole page or what the screen has of it."""
        shot = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        await trio.Path(path).write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def open_tab(devtools: str, screen: Screen | None = None) -> AsyncIterator[Tab]:
    """A new tab, closed at the end."""
    async with open_websocket_url(devtools, max_message_size=1 << 26) as socket:
        target = await _first(socket, "Target.createTarget", url="about:blank")
        attached = await _first(socket, "Target.attachToTarget", targetId=target["targetId"], flatten=True)
        tab = Tab(socket, attached["sessionId"])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tab.listen)
            for domain in ("Page", "Runtime", "Log"):
                await tab.call(f"{domain}.enable")
            await tab.show_on(screen or Screen())
            yield tab
            await tab.call("Page.close")
            nursery.cancel_scope.cancel()


async def _first(socket: WebSocketConnection, method: str, **params: Any) -> Any:
    """A command before there is a tab to hear the rest."""
    await socket.send_message(json.dumps({"id": 1, "method": method, "params": params}))
    while True:
        message = json.loads(await socket.get_message())
        if message.get("id") == 1:
            return message["result"]
