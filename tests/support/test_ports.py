"""Ports for servers: no two processes of a run, and no two servers of a process, are given the same one."""

import socket

from tests.support.ports import free_port, own


def test_processes_share_no_port_and_leave_none_out() -> None:
    parts = [own(f"gw{number}", 3) for number in range(3)]
    assert sorted(port for part in parts for port in part) == list(own("gw0", 1))


def test_a_port_is_not_given_again_while_there_are_others() -> None:
    """One that is to stay closed for a while, or is another server's in a moment."""
    given = [free_port() for _ in range(300)]
    assert len(set(given)) == len(given)


def test_a_taken_one_is_not_given() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        number = taken.getsockname()[1]
        assert number not in [free_port() for _ in range(300)]
