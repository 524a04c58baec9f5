"""A private, real Janus (Debian package ``janus``) on loopback: started, frozen, killed and restarted by a test.

Owns the process, its configuration files and its ports. Synchronous on purpose: session-wide pytest fixtures and the
demo start it outside any event loop, and a start takes 30 to 50 ms. Start it from the main thread (see process.py).
Authority: the Janus manual's ``janus.jcfg`` and ``janus.transport.websockets.jcfg``.
"""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.deadlines import HANG_SECONDS
from tests.support.ports import free_port, is_free
from tests.support.probe import answers
from tests.support.process import ChildProcess, ServerProcess

ADMIN_SECRET = "adm"
GEN = "janus.plugin.gen"  # the plugin of gen.lua

_START_SECONDS = HANG_SECONDS
_POLL_SECONDS = 0.005
_ATTEMPTS = 5  # to start on ports that someone else took in the meantime

# Without their own configuration these crash Janus (HTTP), write outside the folder (voicemail) or only make log noise.
_NO_TRANSPORTS = "libjanus_http.so,libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_rabbitmq.so,libjanus_pfunix.so"
_NO_PLUGINS = "libjanus_voicemail.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_streaming.so,libjanus_duktape.so"


class JanusFailed(Exception):
    """Janus is not installed, or did not start or answer; the text has the end of its log."""


class _PortTaken(Exception):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class JanusOptions:
    """What a test may want different; times in seconds, 0 = never (session_timeout) or off (the others)."""

    session_timeout: int = 60
    reclaim_session_timeout: int = 0
    api_secret: str | None = None
    token_auth: bool = False
    token_auth_secret: str | None = None  # signed tokens instead of stored ones; implies token_auth
    cert_pem: Path | None = None  # with cert_key: TLS (januswss) instead of plain
    cert_key: Path | None = None
    ping_trigger: int = 0  # with ping_timeout: Janus pings silent sockets, and drops them
    ping_timeout: int = 0
    task_pool_size: int = 0  # threads for plugin messages, 0 = without limit
    full_trickle: bool = False
    debug_level: int = 2
    lua: bool = True  # janus.plugin.gen
    all_plugins: bool = False  # those too that need room: sip, streaming, recordplay, voicemail
    string_ids: tuple[str, ...] = ()  # plugins by their short names, e.g. "videoroom"

    @property
    def tls(self) -> bool:
        return self.cert_pem is not None


class Janus(ServerProcess):
    """One Janus process. ``with Janus() as janus:`` or start() and stop(); the ports stay the same over a restart."""

    stop_seconds = 5.0

    def __init__(self, options: JanusOptions | None = None, *, port: int | None = None) -> None:
        """``port`` fixes the API port (a busy one is then an error); by default the first start chooses both ports."""
        super().__init__()
        self.options = options or JanusOptions()
        self._fixed = port is not None
        self.port = port or 0
        self.admin_port = 0
        self._name = f"test-{os.urandom(8).hex()}"  # so that nobody else's Janus is taken for this one

    def __repr__(self) -> str:
        return f"<Janus {self.url} {'running' if self.running else 'stopped'}>"

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """As in the table: ``janusws://127.0.0.1:PORT/janus`` or ``januswss://...``."""
        return f"{'januswss' if self.options.tls else 'janusws'}://127.0.0.1:{self.port}/janus"

    @property
    def admin_url(self) -> str:
        return f"ws://127.0.0.1:{self.admin_port}/admin"

    @property
    def log(self) -> str:
        """Everything that all runs of this Janus printed so far."""
        if self._folder is None:
            return ""
        return (self._folder / "janus.log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> Self:
        """Return when Janus answers a ping. Raises JanusFailed when it is missing, dies or stays silent."""
        if self.running:
            raise JanusFailed(f"{self!r} is already running")
        for _ in range(_ATTEMPTS):
            if not self.port:
                self.port = free_port()
            self.admin_port = self.admin_port or free_port()
            try:
                self._process = self._spawn()
                self._await_ready(self._process)
            except _PortTaken as taken:
                if self._fixed:
                    raise JanusFailed(f"port {self.port} or {self.admin_port} is taken") from taken
                self.port = self.admin_port = 0
                continue
            except BaseException:
                self.kill()
                raise
            self._fixed = True  # a restart comes back where its clients look for it
            return self
        raise JanusFailed(f"no free port in {_ATTEMPTS} attempts")

    def restart(self) -> Self:
        """Stop, if it still runs, and start on the same ports; all sessions are gone."""
        self.stop()
        return self.start()

    def _spawn(self) -> ChildProcess:
        if not (is_free(self.port) and is_free(self.admin_port)):
            raise _PortTaken
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="janus-"))
        self._write_configuration(self._folder)
        try:
            return ChildProcess(["janus", "-F", str(self._folder)], self._folder / "janus.log", cwd=self._folder)
        except FileNotFoundError as missing:
            raise JanusFailed(f"{missing} (Debian packages janus and util-linux)") from missing

    def _write_configuration(self, folder: Path) -> None:
        options = self.options
        general = [
            f"debug_level = {options.debug_level}",
            "debug_colors = false",
            f'server_name = "{self._name}"',
            f"session_timeout = {options.session_timeout}",
            f"reclaim_session_timeout = {options.reclaim_session_timeout}",
            f'admin_secret = "{ADMIN_SECRET}"',
        ]
        if options.api_secret is not None:
            general.append(f'api_secret = "{options.api_secret}"')
        if options.token_auth or options.token_auth_secret is not None:
            general.append("token_auth = true")
        if options.token_auth_secret is not None:
            general.append(f'token_auth_secret = "{options.token_auth_secret}"')
        if options.task_pool_size:
            general.append(f"task_pool_size = {options.task_pool_size}")
        media = ["full_trickle = true"] if options.full_trickle else []
        plugins = "libjanus_duktape.so" if options.all_plugins else _NO_PLUGINS
        plugins = plugins if options.lua else plugins + ",libjanus_lua.so"
        for plugin in options.string_ids:
            (folder / f"janus.plugin.{plugin}.jcfg").write_text(_section("general", "string_ids = true"))
        if options.all_plugins:
            (folder / "janus.plugin.recordplay.jcfg").write_text(_section("general", f'path = "{folder}"'))
        (folder / "janus.jcfg").write_text(
            _section("general", *general)
            + _section("nat", *media)
            + _section("transports", f'disable = "{_NO_TRANSPORTS}"')
            + _section("plugins", f'disable = "{plugins}"')
            + _section("loggers", 'disable = "libjanus_jsonlog.so"')
        )
        websockets = ['json = "compact"']
        if options.tls:
            websockets += ["ws = false", "wss = true", f"wss_port = {self.port}", 'wss_ip = "127.0.0.1"']
        else:
            websockets += ["ws = true", f"ws_port = {self.port}", 'ws_ip = "127.0.0.1"']
        if options.ping_trigger:
            websockets += [f"pingpong_trigger = {options.ping_trigger}", f"pingpong_timeout = {options.ping_timeout}"]
        certificates = [f'cert_pem = "{options.cert_pem}"', f'cert_key = "{options.cert_key}"'] if options.tls else []
        (folder / "janus.transport.websockets.jcfg").write_text(
            _section("general", *websockets)
            + _section("admin", "admin_ws = true", f"admin_ws_port = {self.admin_port}", 'admin_ws_ip = "127.0.0.1"')
            + _section("certificates", *certificates)
        )
        (folder / "janus.plugin.audiobridge.jcfg").write_text(_section("general", 'local_ip = "127.0.0.1"'))
        if options.lua:
            script = Path(__file__).with_name("gen.lua")
            (folder / "janus.plugin.lua.jcfg").write_text(
                _section("general", f'path = "{script.parent}"', f'script = "{script}"')
            )

    def _await_ready(self, process: ChildProcess) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if process.exit_code is not None:
                tail = process.output[-2000:]
                if "Error creating" in tail or "in use" in tail:
                    raise _PortTaken
                raise JanusFailed(f"Janus ended with code {process.exit_code}:\n{tail}")
            # The admin listener too: after a lost race for its port Janus runs on without it.
            if answers(self._name, self.port, "janus-protocol", tls=self.options.tls) and answers(
                self._name, self.admin_port, "janus-admin-protocol", tls=False
            ):
                return
            time.sleep(_POLL_SECONDS)
        raise JanusFailed(f"Janus did not answer within {_START_SECONDS:g} s:\n{process.output[-2000:]}")


def _section(name: str, *lines: str) -> str:
    return "".join((f"{name}: {{\n", *(f"  {line}\n" for line in lines), "}\n"))
