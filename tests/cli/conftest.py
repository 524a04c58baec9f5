"""``janus-bridge mi`` as it is called, and an HTTP server with a script for it."""

import argparse
import threading
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TypeAlias

import pytest
import trio

from bridge.cli import mi
from tests.support.certs import Certificates

Ran: TypeAlias = tuple[int, str, str]
Cli: TypeAlias = Callable[..., Awaitable[Ran]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """``cli("mi", ...)``: exit code, stdout, stderr."""
    monkeypatch.delenv(mi.TOKEN_VARIABLE, raising=False)

    async def run(*argv: str) -> Ran:
        parser = argparse.ArgumentParser(prog="janus-bridge")
        mi.add_arguments(parser.add_subparsers().add_parser("mi"))
        args = parser.parse_args(argv)
        code = await trio.to_thread.run_sync(args.run, args)  # it blocks, and the server lives in this thread
        return code, *capsys.readouterr()

    return run


class Http:
    """A scripted HTTP server: notes the last request and gives it ``status`` and ``answer``."""

    def __init__(self, certificates: Certificates | None) -> None:
        self.status = 200
        self.answer = b'{"jsonrpc":"2.0","result":"OK","id":"1"}'
        self.path = ""
        self.headers: dict[str, str] = {}
        self.body = b""

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # `self` is the server's state
                self.path = handler.path
                self.headers = dict(handler.headers.items())
                self.body = handler.rfile.read(int(handler.headers["Content-Length"]))
                handler.send_response(self.status)
                handler.send_header("Content-Length", str(len(self.answer)))
                handler.end_headers()
                handler.wfile.write(self.answer)

            def log_message(self, *args: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        if certificates is not None:
            self._server.socket = certificates.server_context().wrap_socket(self._server.socket, server_side=True)
        self.netloc = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def http() -> Iterator[Http]:
    server = Http(None)
    yield server
    server.close()
