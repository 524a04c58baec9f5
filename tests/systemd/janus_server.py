"""A Janus of the tests' own on a port, until it is ended: runs beside a container, in its network."""

import signal
import sys

from tests.support.janus import Janus

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # and its folder is removed
    with Janus(port=int(sys.argv[1])):
        signal.pause()
