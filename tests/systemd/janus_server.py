"""A Janus of the tests' own on a port, until it is ended: runs inside the container."""

import signal
import sys

from tests.support.janus import Janus

if __name__ == "__main__":
    with Janus(port=int(sys.argv[1])):
        signal.pause()
