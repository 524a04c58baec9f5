"""What a disk has after a power failure: of a program's files, what had been synced by then and nothing else.

``run`` a program under strace, which notes each write and sync to files of a folder; ``images`` plays that back: for
each line that the program had printed, the files as they would be found. That a file is made or
removed counts as kept at once: SQLite syncs the folder. Authority: pwrite(2), ftruncate(2), fdatasync(2).
"""

import codecs
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_CALLS = "trace=pwrite64,write,ftruncate,fdatasync,fsync,unlink"
_CALL = re.compile(r"^\d+\s+(?P<name>\w+)\((?P<first>\d+<[^>]*>|\"[^\"]*\")(?:, (?P<rest>.*))?\)\s+= (?P<result>-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def run(program: str, folder: Path, trace: Path) -> None:
    """Run Python code with ``folder`` as its argument; what it does is in ``trace``."""
    command = ["strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "70000", "-e", _CALLS, "-o", str(trace)]
    subprocess.run([*command, sys.executable, "-c", program, str(folder)], check=True, stdout=subprocess.DEVNULL)


def images(trace: Path, folder: Path) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """For each line that was printed: the line, and the files of ``folder`` by name, as synced when it was printed."""
    now: dict[str, bytearray] = {}
    synced: dict[str, bytes] = {}
    for call in map(_CALL.match, trace.read_text().splitlines()):
        if call is None:
            continue
        name, rest = call["name"], call["rest"] or ""
        descriptor, _, path = call["first"].rstrip(">").partition("<")
        file = _bytes(path or descriptor).decode()
        if name == "write" and descriptor == "1":
            yield _bytes(rest).decode().strip(), dict(synced)
        if not file.startswith(f"{folder}/"):
            continue
        if name == "unlink":
            now.pop(Path(file).name, None)
            synced.pop(Path(file).name, None)
            continue
        content = now.setdefault(Path(file).name, bytearray())
        if name == "pwrite64":
            data, offset = _bytes(rest), int(rest.rpartition(", ")[2])
            content.extend(bytes(max(0, offset + len(data) - len(content))))
            content[offset : offset + len(data)] = data
        elif name == "ftruncate":
            length = int(rest)
            del content[length:]
            content.extend(bytes(length - len(content)))
        elif name in ("fsync", "fdatasync"):
            synced[Path(file).name] = bytes(content)


def _bytes(text: str) -> bytes:
    found = _TEXT.search(text)
    return codecs.decode((found[1] if found else text).replace("\\x", ""), "hex")
