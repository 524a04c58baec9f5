"""MI through a FIFO: ``:REPLYNAME:JSON`` goes in, the answer comes out of a FIFO that the client has made.

Owns the FIFO, and the care with which a name that a stranger wrote is opened. Must not know any method.
Authority: OpenSIPS module mi_fifo, less its faults: a parse error is answered, nobody waits for a reader who does not
read, no request ends the process.
"""

import errno
import logging
import os
import stat

import trio

from bridge.errors import ConfigError, MalformedMessage
from bridge.protocol.budget import Holding
from bridge.protocol.framing import reply_name_fault, split_fifo
from bridge.protocol.humanize import plural
from bridge.protocol.jsonrpc import render_error
from bridge.transport.mi_ask import Reception, ask
from bridge.transport.unix_path import OwnedPath, make_fifo

log = logging.getLogger("bridge.mi")

CHECK_INTERVAL = 30.0  # s without a request until a look at whether the FIFO is still there
BATCH = 200  # requests of one read that are marked off in one turn of the event loop
MAX_CONCURRENT = 64  # clients served at the same time; the next ones wait in the FIFO
_PIPE_SIZE = 65536  # a FIFO's capacity: one read takes all that is there, so that no request is cut
_READER_PAUSES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)  # s: a client opens its FIFO after it has written the request
_WRITE_SECONDS = 2.0  # for an answer, after the reader has stopped reading

_KIND = "fifo"  # what its writers are called, and their role


class MiFifo:
    """The FIFO that ``serve_mi_fifo`` reads."""

    def __init__(
        self, path: str, mode: int, reply_dir: str, group: str | None = None, found: int | None = None
    ) -> None:
        """Raises ConfigError. ``reply_dir`` may end with a slash or not; ``found`` as for ``make_fifo``."""
        self.path = path
        self.reply_dir = reply_dir if reply_dir.endswith("/") else reply_dir + "/"
        self._mode = mode
        self._group = group
        self._owned = OwnedPath(path)
        self._idle = trio.CancelScope()
        self._left = self._stopped = self._ended = False
        try:
            self._fd = make_fifo(self._owned, mode, group, found)
        except BaseException:
            self._owned.close()
            raise

    def stop(self) -> None:
        """Let nobody find it any more; who has opened it is heard until ``end``."""
        self._stopped = True
        self._owned.remove()
        if self._left:
            self.end()

    def end(self) -> None:
        """Wait for no further request: ``serve_mi_fifo`` returns when what had come is answered."""
        self._ended = True
        self._idle.cancel()

    def check(self) -> None:
        """Look at once whether the FIFO is still there (at a reload), not only after CHECK_INTERVAL."""
        self._idle.cancel()

    async def read(self) -> bytes:
        """What clients have written; nothing at the end, once all is read that is not left to another process."""
        await trio.lowlevel.checkpoint()  # a writer that never pauses must not have the process to itself
        while not (self._ended and self._left):
            try:
                return os.read(self._fd, _PIPE_SIZE)
            except BlockingIOError:
                self._renew()
            if self._ended:
                break
            with trio.move_on_after(CHECK_INTERVAL) as self._idle:
                await trio.lowlevel.wait_readable(self._fd)
        return b""

    def _renew(self) -> None:
        if self._stopped or self._owned.is_ours():
            return
        try:
            fd = make_fifo(self._owned, self._mode, self._group)
        except ConfigError as exc:
            log.warning("the MI FIFO was removed and cannot be recreated: %s", exc)
            return
        log.warning("%s: the MI FIFO was removed by someone else; recreated it", self.path)
        os.dup2(fd, self._fd, inheritable=False)  # whoever keeps it over a restart knows its number
        os.close(fd)

    def fileno(self) -> int:
        """The descriptor, -1 once it is closed."""
        return self._fd

    def leave(self) -> None:
        """The FIFO goes on without this process: its name stays, and what is unread."""
        self._left = True
        self._owned.leave()

    def close(self) -> None:
        """Close the FIFO and remove it. Twice is the same as once."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._owned.close()


async def serve_mi_fifo(
    fifo: MiFifo,
    reception: Reception,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled, or until ``fifo.end()`` and what had come is answered. Closes ``fifo``."""
    slots = trio.Semaphore(MAX_CONCURRENT)
    try:
        async with trio.open_nursery() as nursery:
            task_status.started()
            while chunk := await fifo.read():
                for name, bodies in (await _by_reply(chunk, reception)).items():
                    await slots.acquire()
                    held = Holding(reception.pending, _KIND)
                    nursery.start_soon(_answer, fifo.reply_dir, name, bodies, reception, held, slots)
    finally:
        fifo.close()


async def _by_reply(chunk: bytes, reception: Reception) -> dict[str, list[bytes]]:
    # Requests that name the same reply FIFO are one client's, and answered one behind the other through one opening of
    # it: the client would take its closing for the end.
    clients: dict[str, list[bytes]] = {}
    garbage: list[bytes] = []
    for number, part in enumerate(split_fifo(chunk), 1):
        if isinstance(part, bytes):
            garbage.append(part)
        else:
            clients.setdefault(part.reply, []).append(part.body)
        if not number % BATCH:
            await trio.lowlevel.checkpoint()
    if garbage:
        # Not what they are: it may be the rest of a command, with its secrets.
        reception.refused(_KIND, f"{plural(sum(map(len, garbage)), 'byte')} without :REPLYNAME: in front")
    return clients


async def _answer(
    reply_dir: str,
    name: str,
    bodies: list[bytes],
    reception: Reception,
    held: Holding,
    slots: trio.Semaphore,
) -> None:
    try:
        if not name:
            for body in bodies:
                await _reply(reception, body)
                await trio.lowlevel.checkpoint()
            return
        try:
            fd = await _open_reply(reply_dir, name)
        except ValueError as exc:
            for _ in bodies:
                reception.refused(_KIND, str(exc))
            return
        async with trio.lowlevel.FdStream(fd) as stream:
            for body in bodies:
                answer = await _reply(reception, body)
                if not held.resize(len(answer or b"")):
                    log.warning("MI FIFO: no room for the answer to %s%s; dropped it", reply_dir, name)
                    reception.lost()
                    return
                with trio.move_on_after(_WRITE_SECONDS) as scope:
                    await stream.send_all(answer or b"")
                if scope.cancelled_caught:
                    log.warning("MI FIFO: %s%s is not being read; dropped the answer", reply_dir, name)
                    reception.lost()
                    return
    except trio.BrokenResourceError:
        log.debug("MI FIFO: the reader of %s%s is gone", reply_dir, name)
    finally:
        held.release()
        slots.release()


async def _reply(reception: Reception, body: bytes) -> bytes | None:
    try:
        return await ask(reception.dispatch, body, reception.roles.of(_KIND))
    except MalformedMessage as exc:
        return render_error(exc, None)


async def _open_reply(reply_dir: str, name: str) -> int:
    """The client's FIFO, open for writing. Raises ValueError that says why that is not to be had."""
    fault = reply_name_fault(name, reply_dir)
    if fault is not None:
        raise ValueError(f"reply name {name!r} {fault}")
    path = reply_dir + name
    for pause in (*_READER_PAUSES, None):
        try:
            return _open_checked(path)
        except OSError as exc:
            if exc.errno != errno.ENXIO:
                raise ValueError(f"reply FIFO {path!r} cannot be used: {exc.strerror}") from None
        if pause is not None:
            await trio.sleep(pause)
    raise ValueError(f"reply FIFO {path!r} has no reader")


def _open_checked(path: str) -> int:
    # The name comes from the client, the directory is often /tmp: only a FIFO that is under no other name will do, and
    # neither a link to it nor what was put in its place after the look. Anything else is not even opened.
    looked_at = os.lstat(path)
    if not stat.S_ISFIFO(looked_at.st_mode) or looked_at.st_nlink != 1:
        raise OSError(errno.EINVAL, "it is not a FIFO, or has a second name")
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    opened = os.fstat(fd)
    if (opened.st_dev, opened.st_ino) != (looked_at.st_dev, looked_at.st_ino):
        os.close(fd)
        raise OSError(errno.EINVAL, "it was replaced while it was opened")
    return fd
