"""Sockets that outlive the process: what is found at a start, what is kept, held, taken and let go."""

import os
import re
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bridge.transport import fd_store
from bridge.transport.fd_store import LISTENER, FdStore, base_of
from bridge.transport.systemd import Notifier
from tests.support.fake_systemd import FakeSystemd

BASE, OTHER = base_of("gw", "ws://a/janus"), base_of("gw", "ws://b/janus")


@pytest.fixture
def pairs() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def pair(pairs: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Ours, and the peer's."""
    ours, theirs = socket.socketpair()
    return pairs.enter_context(ours), pairs.enter_context(theirs)


@pytest.fixture
def notifier(systemd: FakeSystemd) -> Iterator[Notifier]:
    made = Notifier(systemd.environ)
    yield made
    made.close()


def found(monkeypatch: pytest.MonkeyPatch, names: str, *sockets: socket.socket, pid: int | None = None) -> FdStore:
    """The store of a process that was started with these, numbered from where there is room."""
    fds = [os.dup(one.fileno()) for one in sockets]
    first = max(fds, default=0) + 100
    for number, fd in enumerate(fds, first):
        os.dup2(fd, number)
        os.close(fd)
    monkeypatch.setattr(fd_store, "FIRST", first)
    environ = {
        "LISTEN_PID": str(pid or os.getpid()),
        "LISTEN_FDS": str(len(fds)),
        "LISTEN_FDNAMES": names,
        "OTHER": "1",
    }
    store = FdStore(Notifier({}), environ)
    assert environ == {"OTHER": "1"}  # nobody else takes them for his own
    return store


def test_a_name_tells_nothing_and_fits() -> None:
    assert base_of("gw", "ws://a/janus") == base_of("gw", "ws://a/janus") != base_of("g", "wws://a/janus")
    name = base_of("ü" * 255, "ws://" + "x" * 4096)
    assert name.isascii()
    assert len(name) == 18


def test_what_is_set_aside_is_nobody_s_and_stays_open(monkeypatch: pytest.MonkeyPatch, pairs: ExitStack) -> None:
    """Not a listener: that is no gateway's. The next program gets it, too."""
    (stream, janus), (held, other), (listener, _) = (pair(pairs) for _ in range(3))
    names = f"{BASE}.7:h{OTHER[1:]}.8:{base_of('door', kind=LISTENER)}.9"
    store = found(monkeypatch, names, stream, held, listener)
    for one in (stream, held, listener):
        one.close()
    store.set_aside()
    assert [one.number for one in store.held] == [9]
    assert store.streams(BASE) == []
    assert store.take(BASE, 7) is None
    assert store.end(BASE) + store.end(OTHER) == 0
    janus.send(b"x")
    other.send(b"x")
    assert set(store.hand_on()["HANDED_ON_NAMES"].split(":")) == set(names.split(":"))
    store.end_aside()
    with pytest.raises(BrokenPipeError):
        janus.send(b"x")
    with pytest.raises(BrokenPipeError):
        other.send(b"x")
    assert [one.number for one in store.held] == [9]


def test_what_was_found(monkeypatch: pytest.MonkeyPatch, pairs: ExitStack) -> None:
    """Duplicates and strange names are no reason to fail, and none of it goes to a child."""
    names = [f"{BASE}.7", f"{BASE}.7", f"{OTHER}.12", f"{BASE}.x", "janus-bridge.socket", ""]
    store = found(monkeypatch, ":".join(names), *(pair(pairs)[0] for _ in range(7)))
    assert [held.name for held in store.held] == [*names, "unknown"]
    assert [held.base for held in store.held] == [BASE, BASE, OTHER, *names[3:], "unknown"]
    assert not any(os.get_inheritable(held.fd) for held in store.held)
    ours, _ = pair(pairs)
    assert store.keep(BASE, ours.fileno()).name == f"{BASE}.13"
    for base in {held.base for held in store.held}:
        store.end(base)


def test_what_is_for_another_process_is_not_found_nor_kept_open(
    monkeypatch: pytest.MonkeyPatch, pairs: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    """A shell of the unit that did not become this program: it has them, too."""
    ours, theirs = pair(pairs)
    assert found(monkeypatch, f"{BASE}.1", ours, pid=1).held == []
    assert caplog.messages == [
        "systemd kept 1 socket for process 1, which is not this one: the unit has to start janus-bridge itself (exec)"
    ]
    ours.close()
    assert theirs.recv(1) == b""


def test_what_was_opened_since_is_not_taken_for_what_was_left(
    monkeypatch: pytest.MonkeyPatch, pairs: ExitStack
) -> None:
    """Fewer came than the environment says: the next number is one of this process's own."""
    ours, _ = pair(pairs)
    monkeypatch.setattr(fd_store, "FIRST", ours.fileno())
    for pid in (os.getpid(), 1):
        environ = {"LISTEN_PID": str(pid), "LISTEN_FDS": "1", "LISTEN_FDNAMES": f"{BASE}.1"}
        assert FdStore(Notifier({}), environ).held == []
    os.fstat(ours.fileno())


@pytest.mark.parametrize("number", ["2", "x", "-1", "9" * 30])
def test_what_is_not_there_is_not_found(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    monkeypatch.setattr(fd_store, "FIRST", 5000)
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": number}
    assert FdStore(Notifier({}), environ).held == []


def test_an_end_is_heard_by_the_peer_whoever_has_a_copy(
    systemd: FakeSystemd, notifier: Notifier, pairs: ExitStack
) -> None:
    store = FdStore(notifier, {})
    ours, theirs = pair(pairs)
    kept = store.keep(BASE, ours.fileno())
    assert systemd.names == [f"{BASE}.1"]
    kept.end()
    assert theirs.recv(1) == b""
    assert systemd.names == []
    assert store.held == []


def test_a_socket_that_is_left_is_held_until_it_is_let_go(
    systemd: FakeSystemd, notifier: Notifier, pairs: ExitStack
) -> None:
    store = FdStore(notifier, {})
    ours, theirs = pair(pairs)
    stays, still = pair(pairs)
    store.keep(BASE, ours.fileno()).leave()
    store.keep(OTHER, stays.fileno()).leave()
    theirs.send(b"four")
    ours.close()
    assert [held.base for held in store.held] == [BASE, OTHER]
    assert len(systemd.names) == 2
    assert store.end(BASE) == 4
    assert systemd.names == [f"{OTHER}.2"]
    with pytest.raises(ConnectionError):
        theirs.send(b"more")
    still.send(b"more")
    store.end(OTHER)


def test_what_goes_on_is_taken_by_its_number(monkeypatch: pytest.MonkeyPatch, pairs: ExitStack) -> None:
    (one, first), (other, _) = pair(pairs), pair(pairs)
    store = found(monkeypatch, f"{BASE}.9:{BASE}.10", one, other)
    assert store.streams(BASE) == [9, 10]
    taken = store.take(BASE, 10)
    assert taken is not None
    assert taken.name == f"{BASE}.10"
    os.close(taken.fd)
    assert (store.take(BASE, 10), store.take(OTHER, 9)) == (None, None)
    store.end(BASE)
    assert first.recv(1) == b""


def test_what_cannot_go_on_is_held_under_another_name_and_not_taken(
    systemd: FakeSystemd, notifier: Notifier, pairs: ExitStack
) -> None:
    """TLS, or half of a frame was written: whose it is stays known."""
    store = FdStore(notifier, {})
    (one, first), (other, second) = pair(pairs), pair(pairs)
    store.keep(BASE, one.fileno(), goes_on=False).leave(goes_on=False)
    kept = store.keep(BASE, other.fileno())
    kept.leave(goes_on=False)
    hidden = BASE.replace("j.", "h.")
    assert systemd.names == [f"{hidden}.1", f"{hidden}.2"]
    assert [held.base for held in store.held] == [BASE, BASE]
    assert store.streams(BASE) == []
    assert store.take(BASE, 2) is None
    store.end(BASE)
    assert first.recv(1) == second.recv(1) == b""
    assert systemd.names == []


def test_what_is_a_stranger_s_is_given_back_untouched(monkeypatch: pytest.MonkeyPatch, pairs: ExitStack) -> None:
    ours, theirs = pair(pairs)
    store = found(monkeypatch, "janus-bridge.socket", ours)
    store.end("janus-bridge.socket")
    ours.send(b"alive")
    assert theirs.recv(9) == b"alive"


def test_no_socket_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An administrator may store what he likes under any name."""
    monkeypatch.setattr(fd_store, "FIRST", number := os.open(tmp_path, os.O_RDONLY))
    os.set_inheritable(number, True)
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": f"{BASE}.1"}
    assert FdStore(Notifier({}), environ).end(BASE) == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_what_is_held_is_found_by_the_program_that_the_process_becomes(pairs: ExitStack) -> None:
    """Each under its number of before: whatever a thread of this program opens and closes until then is beside it."""
    store, peers = FdStore(Notifier({}), {}), {}
    for _ in range(3):
        ours, theirs = pair(pairs)
        kept = store.keep(BASE, ours.fileno())
        kept.leave()
        peers[kept.name] = theirs
    before = os.listdir("/proc/self/fd")
    environ = {"LISTEN_PID": "1", **store.hand_on()}
    assert os.listdir("/proc/self/fd") == before
    assert all(os.get_inheritable(held.fd) for held in store.held)
    successor = FdStore(Notifier({}), environ)
    assert environ == {}
    assert successor.held == store.held
    assert not any(os.get_inheritable(held.fd) for held in successor.held)
    for held in successor.held:
        os.write(held.fd, held.name.encode())
        assert peers[held.name].recv(99) == held.name.encode()
    successor.end(BASE)


def test_nothing_held_is_nothing_to_hand_on() -> None:
    assert FdStore(Notifier({}), FdStore(Notifier({}), {}).hand_on()).held == []


def test_a_process_that_hands_on_may_have_all_descriptors_that_it_may_ask_for(pairs: ExitStack) -> None:
    """Each socket that is in use needs another one meanwhile."""
    store = FdStore(Notifier({}), {})
    ours, _ = pair(pairs)
    store.keep(BASE, ours.fileno())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - 1), hard))
        assert store.fault() is None
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_that_cannot_hand_all_on_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    store = FdStore(Notifier({}), {})
    for _ in range(6000):
        store.keep(BASE, 0)
    assert store.fault() == "of 6,000 sockets to be handed on, the names of 5242 fit into its environment"
    for number in range(1, 2001):
        store.drop(f"{BASE}.{number}")
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: None)
    monkeypatch.setattr(resource, "getrlimit", lambda what: (1024, 4030))
    fault = store.fault()
    assert fault is not None
    # Whatever else this process of the tests has open counts, too.
    words = r"to hand on 4,000 sockets takes 4\d{3} descriptors; raise the hard limit of 4030"
    assert re.fullmatch(words, fault)


def test_names_that_do_not_fit_into_an_environment_are_not_stored(
    monkeypatch: pytest.MonkeyPatch,
    systemd: FakeSystemd,
    notifier: Notifier,
    pairs: ExitStack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """systemd could not start the next process, execve(2)."""
    monkeypatch.setattr(fd_store, "_NAMES_ROOM", 2 * len(f"{BASE}.1:"))
    store = FdStore(notifier, {"FDSTORE": "10"})
    for _ in range(3):
        store.keep(BASE, pair(pairs)[0].fileno())
    assert systemd.names == [f"{BASE}.1", f"{BASE}.2"]
    store.expect(3)
    [line] = caplog.messages
    assert line.startswith("systemd keeps 2 of 3 sockets ")
    assert line.endswith(" (2 is the most)")


@pytest.mark.parametrize("variable", ["FDSTORE", "FDSTORE_MAX"])
def test_a_store_that_is_too_small_is_told_once(
    notifier: Notifier, variable: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = FdStore(notifier, {variable: "2"})
    for number in (2, 3, 4, 1):
        store.expect(number)
    [line] = caplog.messages
    assert line.startswith("systemd keeps 2 of 3 sockets over a restart of the bridge; ")


def test_listeners_and_connections_that_were_kept_want_room_as_well(
    systemd: FakeSystemd, notifier: Notifier, pairs: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    """A row may have several sockets; each door has one."""
    store = FdStore(notifier, {"FDSTORE": "4"})
    for base in (base_of("udp:a", kind=LISTENER), base_of("unix:b", kind=LISTENER)):
        store.keep(base, pair(pairs)[0].fileno())
    store.expect(2)
    for base in (BASE, OTHER):
        store.keep(base, pair(pairs)[0].fileno())
    assert caplog.messages == []
    store.keep(BASE, pair(pairs)[0].fileno())
    [line] = caplog.messages
    assert line.startswith("systemd keeps 4 of 5 sockets over a restart of the bridge; ")
    store.expect(3)
    [line] = caplog.messages


def test_a_unit_without_a_store_is_told_and_no_systemd_is_not(
    notifier: Notifier, caplog: pytest.LogCaptureFixture
) -> None:
    FdStore(Notifier({}), {}).expect(1)
    FdStore(notifier, {}).expect(0)
    assert caplog.messages == []
    FdStore(notifier, {}).expect(1)
    [line] = caplog.messages
    assert line.startswith("systemd keeps 0 of 1 socket over")
