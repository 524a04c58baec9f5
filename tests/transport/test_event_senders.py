"""A row for each kind of reply socket, on both sides of the wall."""

from bridge.protocol.reply_socket import KINDS
from bridge.transport.event_senders import SENDERS


def test_every_kind_of_socket_has_a_sender() -> None:
    assert list(SENDERS) == list(KINDS)
