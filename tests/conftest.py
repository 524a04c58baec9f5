"""What every test may ask for: a real Janus, a real MariaDB; and a deadline over every async test."""

import gc
import inspect
import logging
import os
import random
import signal
import subprocess
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, settings
from trio.abc import Clock, Instrument

from bridge.cli import service
from bridge.transport.batch import Batch
from tests.support.certs import Certificates, issue
from tests.support.examples import FEW, QUICK
from tests.support.fake_systemd import FakeSystemd
from tests.support.galera import LIBRARY, Galera
from tests.support.janus import Janus, JanusOptions
from tests.support.mariadb import MariaDb
from tests.support.rabbitmq import rabbitmq
from tests.support.rtpengine import Rtpengine

__all__ = ["rabbitmq"]  # fixtures by being here

# A busy machine is no fault of the code under test; in CI the same examples every time, at a desk new ones.
settings.register_profile(
    "full",
    max_examples=60,  # `make fuzz` has more
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
    print_blob=True,
)
settings.register_profile("quick", settings.get_profile("full"), max_examples=FEW)
# No test acts on a janus-bridge that is installed on this machine.
service.UNIT_FOLDERS, service.STATE_BASE = (), Path("/nonexistent")
settings.load_profile("quick" if QUICK else "full")

ASYNC_TEST_SECONDS = 300.0  # for hangs; what has to be fast says so itself (tests/support/deadlines.py)
VIRTUAL_SECONDS = 1_000_000.0  # under a mock clock a deadline only has to be later than anything a test looks at


@pytest.fixture
def batch() -> Iterator[Batch]:
    """One that does not run."""
    batch = Batch()
    yield batch
    batch.close()


class HangError(AssertionError):
    """An async test did not end in time; the text has the place where it waited."""


def run_with_deadline(
    main: Callable[[], Awaitable[None]], clock: Clock | None = None, instruments: Sequence[Instrument] = ()
) -> None:
    """trio.run for a test and its fixtures, with a deadline inside the loop.

    A signal (pytest-timeout) would strike whatever runs when it arrives, the next test too. With the autojump clock a
    test in which nothing can happen any more jumps to this deadline at once instead of hanging.
    """
    seconds = ASYNC_TEST_SECONDS if clock is None else VIRTUAL_SECONDS

    async def guarded() -> None:
        where = ""
        with trio.move_on_after(seconds) as scope:
            try:
                await main()
            except BaseException as error:
                if scope.cancel_called:
                    where = "".join(traceback.format_exception(error))
                raise
        if scope.cancelled_caught:
            raise HangError(f"test did not end within {seconds:g} s; it was cancelled here:\n{where}")

    try:
        trio.run(guarded, clock=clock, instruments=instruments)
    except BaseExceptionGroup as group:
        left: BaseException = group
        while isinstance(left, BaseExceptionGroup) and len(left.exceptions) == 1:
            left = left.exceptions[0]
        if isinstance(left, pytest.skip.Exception):
            raise left from None  # pytest-trio would forget its reason
        raise


def pytest_configure() -> None:
    """Of the run as a whole, before pytest-xdist starts the processes that it is spread over.

    A shell starts what runs in its background with SIGINT ignored, and children inherit that: tests send it.
    """
    os.environ.setdefault("MODEL_SEED", "1" if "CI" in os.environ else str(random.SystemRandom().randrange(10**6)))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# What a test needs is marked by the fixtures it asks for, by where it stands, or by itself.
NEEDS = {
    "janus": ("janus", "janus_factory", "signing_janus"),
    "mysql": ("mariadb", "own_mariadb"),
    "galera": ("galera",),
    "rabbitmq": ("rabbitmq",),
    "browser": ("devtools",),
    "program": ("bridge_factory", "rtpengine"),
}
PROGRAMS = (
    "tests/e2e/",
    "tests/model/test_runs.py",
    "tests/model/test_attack.py",
    "tests/test_wheel.py",
    "tests/support/test_janus.py",
)
LONGEST = "tests/model/"  # first, so that no process of a run has one of them before it when the others have ended
# Whoever has one of these marks may start programs.
STARTING = (*NEEDS, "opensips", "systemd", "package", "image", "release")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
    for item in items:
        for mark, fixtures in NEEDS.items():
            if not set(fixtures).isdisjoint(getattr(item, "fixturenames", ())):
                item.add_marker(mark)
        if item.nodeid.startswith(PROGRAMS):
            item.add_marker("program")
        if inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.trio(run=run_with_deadline), append=False)  # before the mark of trio_mode


def pytest_collection_finish() -> None:
    """What was collected stays to the end: without it a full collection of garbage takes a third of the time."""
    gc.freeze()


@pytest.fixture(autouse=True)
def program_log() -> Iterator[None]:
    """The program's log as pytest has it: a test that runs the program in this process sets it up as a service does."""
    tree = logging.getLogger("bridge")
    before = (tree.propagate, list(tree.handlers), tree.level, logging.raiseExceptions)
    yield
    tree.propagate, tree.handlers[:] = before[0], before[1]
    tree.setLevel(before[2])
    logging.raiseExceptions = before[3]


@pytest.fixture(autouse=True)
def programs_are_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make quick` has no test that starts a program: where one does without saying so, it fails everywhere."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail(f"it starts a program: give it the mark `program` (of {', '.join(STARTING)})", pytrace=False)

    if not any(request.node.get_closest_marker(mark) for mark in STARTING):
        monkeypatch.setattr(subprocess.Popen, "__init__", refuse)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[FakeSystemd]:
    """What hears a service, and keeps its sockets."""
    with FakeSystemd(tmp_path) as fake:
        yield fake


@pytest.fixture(scope="session")
def janus() -> Iterator[Janus]:
    """The session-wide Janus: plain WebSocket, no secrets, reclaim_session_timeout 0, with janus.plugin.gen.

    Shared: leave it as you found it. For settings, faults, or counting its sessions take ``janus_factory``.
    """
    with Janus() as server:
        yield server


@pytest.fixture
def janus_factory() -> Iterator[Callable[..., Janus]]:
    """``janus_factory(session_timeout=6, ...)``: a started Janus of this test alone, by the fields of JanusOptions."""
    servers: list[Janus] = []

    def start(**options: Any) -> Janus:
        server = Janus(JanusOptions(**options))
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def rtpengine(tmp_path: Path) -> Iterator[Rtpengine]:
    """A started rtpengine of this test alone, which speaks the Janus API without `claim`."""
    with Rtpengine(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb(certificates: Certificates) -> Iterator[MariaDb]:
    """The session-wide MariaDB, with TLS. Shared: make your own database, and leave it running and thawed."""
    with MariaDb(certificates) as server:
        yield server


@pytest.fixture(scope="session")
def galera_nodes() -> Iterator[Galera]:
    """The session-wide Galera; its tests ask for ``galera``."""
    if not LIBRARY.exists():
        pytest.skip("no Galera on this machine (make test-galera)")
    with Galera() as galera:
        yield galera


@pytest.fixture
def galera(galera_nodes: Galera) -> Iterator[Galera]:
    """A whole Galera, whose nodes a test may freeze and kill. Make your own database."""
    galera_nodes.heal()
    yield galera_nodes
    galera_nodes.heal()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A throw-away CA and what it issued for 127.0.0.1 and localhost."""
    return issue(tmp_path_factory.mktemp("certificates"))
