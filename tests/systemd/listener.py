"""Writes every datagram that comes to a port of 127.0.0.1 into a file, a line each; the file is there once it listens.

Runs beside a container, in its network, as root.
"""

import socket
import sys

SO_RCVBUFFORCE = 33  # of Linux's asm/socket.h: beyond net.core.rmem_max

if __name__ == "__main__":
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)  # what comes while a busy machine lets it wait
        bound.bind(("127.0.0.1", int(sys.argv[1])))
        with open(sys.argv[2], "wb", buffering=0) as file:
            while True:
                file.write(bound.recv(65536).replace(b"\n", b" ") + b"\n")
