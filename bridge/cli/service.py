"""The service on this machine: which configuration and which state it has.

Owns where that is looked up: the unit as systemd knows it, and the process where it runs, whose arguments and
environment are exact (in a container, the first one); and as whom root acts on the service's files. Must not know
settings but those that place them.
Authority: systemctl(1) show, systemd.exec(5), proc(5).
"""

import argparse
import grp
import os
import pwd
import shlex
import stat
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bridge.config import Config, load
from bridge.errors import ConfigError
from bridge.protocol.db_url import SqliteUrl

UNIT = "janus-bridge.service"
STATE_BASE = Path("/var/lib")  # of StateDirectory=
UNIT_FOLDERS = tuple(Path(base, "systemd/system") for base in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"))
_PROC = Path("/proc")
_PATIENCE = 5.0  # seconds for systemctl
_PROPERTIES = ("MainPID", "User", "Group", "SupplementaryGroups", "StateDirectory", "ExecStart", "Environment")


@dataclass(frozen=True, slots=True)
class InstalledService:
    """``config``: the file that its command line names; ``options``: its -o; ``user``: whom its files belong to;
    ``groups``: of its unit.
    """

    config: str | None
    options: tuple[str, ...]
    environ: Mapping[str, str]
    user: str
    groups: tuple[str, ...] = ()

    def load(self, *more: str) -> Config:
        """Its settings, with further options laid over them. Raises ConfigError."""
        return load(self.config, [*self.options, *more], self.environ)

    def admit(self, state_dir: Path) -> None:
        """Raises ConfigError for those who may not use its state directory."""
        if os.geteuid() != 0 and not os.access(state_dir, os.W_OK | os.X_OK, effective_ids=True):
            raise ConfigError(
                f"{state_dir} is for {self.user} and root alone: run this as root (sudo), or name a table of your own "
                "with -o state.dir=FOLDER"
            )

    def may_read(self, path: str) -> bool:
        """Whether its process may. For root, who may read everything; of a user that there is not yet nobody knows."""
        try:
            user = pwd.getpwnam(self.user)
            gids = [grp.getgrnam(name).gr_gid for name in self.groups]
        except KeyError:
            return True
        with _acting_as(user.pw_uid, [*gids, *os.getgrouplist(user.pw_name, user.pw_gid)]):
            return os.access(path, os.R_OK, effective_ids=True)

    def prepare(self, folder: Path) -> None:
        """Make the folder of its table for it, as systemd its state directory at its first start. For root. Raises
        ConfigError.
        """
        if folder.is_dir():
            return
        try:
            user = pwd.getpwnam(self.user)
        except KeyError:
            raise ConfigError(
                f"{UNIT} runs as {self.user}, and there is no such user; `janus-bridge unit --sysusers | "
                "systemd-sysusers -` makes it"
            ) from None
        try:
            folder.mkdir(mode=0o700, parents=True)
            os.chown(folder, user.pw_uid, user.pw_gid)
        except FileExistsError:
            pass
        except OSError as exc:
            raise ConfigError(f"{folder}: {exc.strerror}") from None


def find() -> InstalledService | None:
    """The service that is installed here, running or not; None if there is none."""
    state_dir = STATE_BASE / "janus-bridge"
    installed = any((folder / UNIT).exists() for folder in UNIT_FOLDERS)
    shown = _show() if installed else {}
    first = None if installed else _first_process()
    if not installed and first is None and not state_dir.is_dir():
        return None
    words, environ = first or _process(shown.get("MainPID", "0")) or _unit(shown)
    if first is None:
        folder = shown.get("StateDirectory", "").split(" ")[0].partition(":")[0] or "janus-bridge"
        environ.setdefault("STATE_DIRECTORY", str(STATE_BASE / folder))
    given = _arguments(words)
    user = shown.get("User") or ("janus-bridge" if first is None else _user_of(_PROC / "1"))
    groups = f"{shown.get('Group', '')} {shown.get('SupplementaryGroups', '')}".split()
    return InstalledService(given.config, tuple(given.option), environ, user, tuple(groups))


@contextmanager
def as_owner(config: Config) -> Iterator[None]:
    """For root, who would leave files in an SQLite table's folder that its owner can no longer use: act as that owner
    while the block runs. Nothing changes for anybody else.
    """
    url = config.janus.janus_db_url
    owner = _owner(url.path) if os.geteuid() == 0 and isinstance(url, SqliteUrl) else None
    if owner is None:
        yield
        return
    uid, gid = owner
    mask = os.umask(0o077)
    try:
        with _acting_as(uid, [gid]):
            yield
    finally:
        os.umask(mask)


@contextmanager
def _acting_as(uid: int, gids: Collection[int]) -> Iterator[None]:
    """For root: that user, and these groups, the first of them its own."""
    groups, group = os.getgroups(), os.getegid()
    os.setgroups([*gids])
    os.setegid(next(iter(gids)))
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _owner(path: str) -> tuple[int, int] | None:
    """Of the folder, user and group; None if that is root. A file in it that root made before becomes the owner's."""
    try:
        folder = os.stat(os.path.dirname(path))
    except OSError:
        return None
    if folder.st_uid == 0:
        return None
    with suppress(OSError):
        file = os.lstat(path)  # no link of the owner's is followed
        if file.st_uid == 0 and stat.S_ISREG(file.st_mode):
            os.chown(path, folder.st_uid, folder.st_gid, follow_symlinks=False)
    return folder.st_uid, folder.st_gid


def _show() -> dict[str, str]:
    """What systemd says of the unit; nothing where it does not run, or cannot be asked."""
    command = ["systemctl", "show", "--no-pager", UNIT]
    command += [f"--property={name}" for name in _PROPERTIES]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return {}
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {name: value for name, _, value in pairs}


def _process(pid: str) -> tuple[list[str], dict[str, str]] | None:
    """Arguments and environment of a process; None if it does not run, or is somebody else's."""
    if not pid.isdecimal() or int(pid) == 0:
        return None
    try:
        words = (_PROC / pid / "cmdline").read_bytes()
        environ = (_PROC / pid / "environ").read_bytes()
    except OSError:
        return None
    pairs = (os.fsdecode(pair).partition("=") for pair in environ.split(b"\0") if pair)
    return [os.fsdecode(word) for word in words.split(b"\0")], {name: value for name, _, value in pairs}


def _first_process() -> tuple[list[str], dict[str, str]] | None:
    """Where it is the bridge, as in a container, or what has started it there (``podman run --init``)."""
    found = _process("1")
    return found if found is not None and {"janus-bridge", "run"} <= {*map(os.path.basename, found[0])} else None


def _user_of(path: Path) -> str:
    """Whom it belongs to: a name, or a number that has none."""
    uid = path.stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _unit(shown: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The same of the unit, ``ExecStart={ path=... ; argv[]=... ; ...}``."""
    _, _, command = shown.get("ExecStart", "").partition("argv[]=")
    pairs = (pair.partition("=") for pair in _words(shown.get("Environment", "")))
    return _words(command.partition(" ; ")[0]), {name: value for name, _, value in pairs}


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    """-c and -o of ``... run -c FILE -o KEY=VALUE``."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("-c", "--config")
    parser.add_argument("-o", "--option", action="append", default=[])
    behind = list(words)[words.index("run") + 1 :] if "run" in words else []
    try:
        return parser.parse_known_args(behind)[0]
    except argparse.ArgumentError:
        return parser.parse_args([])
