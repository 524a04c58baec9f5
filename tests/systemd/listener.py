"""Writes every datagram that comes to a port of 127.0.0.1 into a file, a line each.

Runs beside a container, in its network.
"""

import socket
import sys

if __name__ == "__main__":
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound, open(sys.argv[2], "wb", buffering=0) as file:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        bound.bind(("127.0.0.1", int(sys.argv[1])))
        while True:
            file.write(bound.recv(65536).replace(b"\n", b" ") + b"\n")
