"""Who calls: roles in their order, and one name for whoever can take many addresses."""

import pytest

from bridge.protocol.caller import ROLES, Role, client_of


def test_roles_include_the_lower_ones_and_are_written_as_in_the_configuration() -> None:
    assert Role.NONE < Role.READ_ONLY < Role.COMMANDS < Role.EVERYTHING
    assert ROLES == {"read-only": Role.READ_ONLY, "commands": Role.COMMANDS, "everything": Role.EVERYTHING}


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", "loopback"),
        ("127.5.5.5", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
    ],
)
def test_one_client_has_one_name(peer: str, client: str) -> None:
    assert client_of(peer) == client
