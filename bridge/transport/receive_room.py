"""Room in the kernel for what is left unread in a socket.

Owns how much that may be. Must not know why it is. Authority: tcp(7); tcp_set_rcvlowat and __tcp_select_window in
net/ipv4 of Linux.

Some unread bytes keep all of the segment in which they came: of 64 KiB on a loopback, half of a new buffer. Where no
room is left for a whole segment, the window that the peer sees is 0, and nothing that it can send changes that.
"""

import socket
from typing import Final

_ROOM: Final = 262_144  # bytes that are to find room
_SHARE: Final = 8  # of the whole buffer, what may be unread: data may take a quarter of it, segments the rest


def make_room(sock: socket.socket) -> int:
    """Let the kernel have room for more, and set the low-water mark to 1; returns how many bytes may be left unread.

    A low-water mark makes the buffer larger and leaves it to the kernel to make it larger still, which SO_RCVBUF would
    not. It stays with the socket, whichever process set one.
    """
    for mark in (_ROOM, 1):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, mark)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // _SHARE
