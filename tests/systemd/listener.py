"""Writes every datagram that comes to a port of 127.0.0.1 into a file, a line each; the file is there once it listens.

Runs beside a container, in its network, with this machine's files.
"""

import socket
import sys

from tests.support.receivers import give_room

if __name__ == "__main__":
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        give_room(bound)
        bound.bind(("127.0.0.1", int(sys.argv[1])))
        with open(sys.argv[2], "wb", buffering=0) as file:
            while True:
                file.write(bound.recv(65536).replace(b"\n", b" ") + b"\n")
