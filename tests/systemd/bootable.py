"""Whether this machine can boot the Debian of a tree: ``python -m tests.systemd.bootable TREE``; exit code 0 if so."""

import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.container import Container


def main() -> int:
    """Boot one, and end it."""
    try:
        with tempfile.TemporaryDirectory() as folder, Container(Path(folder), Path(sys.argv[1])):
            return 0
    except (pytest.fail.Exception, OSError) as exc:
        print(exc, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
