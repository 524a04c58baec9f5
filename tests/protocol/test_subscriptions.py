"""OpenSIPS's rules of subscription, by the second."""

import pytest

from bridge.protocol.event_filter import EventFilter
from bridge.protocol.reply_socket import ReplySocket
from bridge.protocol.subscriptions import DEFAULT_EXPIRE, MAX_SUBSCRIPTIONS, SubscriptionTable

A, B, C = (ReplySocket.parse(f"udp:127.0.0.1:{port}") for port in (5001, 5002, 5003))
NOW = 1_800_000_000


@pytest.fixture
def table() -> SubscriptionTable:
    made = SubscriptionTable()
    made.register("E_ONE")
    made.register("E_TWO")
    return made


def active(table: SubscriptionTable, now: int, event: str = "E_ONE") -> list[ReplySocket]:
    return [subscription.socket for subscription in table.active(event, now)]


def test_events_keep_the_order_of_their_registration(table: SubscriptionTable) -> None:
    table.register("E_ZERO")
    table.register("E_ONE")
    assert table.events() == ["E_ONE", "E_TWO", "E_ZERO"]


@pytest.mark.parametrize("name", ["", "E" * 65, "ü" * 33])
def test_a_name_opensips_could_not_hold(table: SubscriptionTable, name: str) -> None:
    with pytest.raises(ValueError, match="empty or longer than 64 bytes"):
        table.register(name)


def test_lapses_a_second_after_its_last_second(table: SubscriptionTable) -> None:
    table.subscribe("E_ONE", A, DEFAULT_EXPIRE, NOW)
    assert active(table, NOW + 3600) == [A]
    assert active(table, NOW + 3601) == []
    assert active(table, NOW) == []  # it is gone, not hidden


def test_expire_0_still_delivers_in_the_same_second(table: SubscriptionTable) -> None:
    table.subscribe("E_ONE", A, 3600, NOW)
    table.subscribe("E_ONE", A, 0, NOW + 5)
    assert active(table, NOW + 5) == [A]
    assert active(table, NOW + 6) == []


def test_expire_0_of_an_unknown_socket_creates_it(table: SubscriptionTable) -> None:
    table.subscribe("E_ONE", A, 0, NOW)
    assert active(table, NOW) == [A]
    assert active(table, NOW + 1) == []


def test_renewal_counts_from_itself_and_keeps_the_place(table: SubscriptionTable) -> None:
    table.subscribe("E_ONE", A, 10, NOW)
    table.subscribe("E_ONE", B, 10, NOW)
    table.subscribe("E_ONE", A, 20, NOW + 8)
    assert active(table, NOW + 10) == [B, A]
    assert active(table, NOW + 28) == [A]


def test_newest_first(table: SubscriptionTable) -> None:
    for socket in (A, B, C):
        table.subscribe("E_ONE", socket, 10, NOW)
    assert active(table, NOW) == [C, B, A]


def test_ttl_counts_down_to_what_is_shown_as_expired(table: SubscriptionTable) -> None:
    table.subscribe("E_ONE", A, 20, NOW)
    (subscription,) = table.active("E_ONE", NOW)
    assert [subscription.ttl(NOW + passed) for passed in (0, 1, 20)] == [20, 19, 0]


def test_events_are_subscribed_to_one_by_one(table: SubscriptionTable) -> None:
    table.subscribe("E_ONE", A, 10, NOW)
    table.subscribe("E_TWO", A, 20, NOW)
    assert table.sockets() == [A]
    assert active(table, NOW + 15) == []
    assert active(table, NOW + 15, "E_TWO") == [A]


def test_an_event_that_is_not_registered(table: SubscriptionTable) -> None:
    with pytest.raises(ValueError, match="no event 'E_NONE'"):
        table.subscribe("E_NONE", A, 10, NOW)


def test_256_subscriptions_by_mi_of_which_lapsed_and_configured_ones_do_not_count(table: SubscriptionTable) -> None:
    table.configure([("E_ONE", A)])
    sockets = [ReplySocket.parse(f"udp:127.0.0.1:{6000 + n}") for n in range(MAX_SUBSCRIPTIONS)]
    for n, socket in enumerate(sockets):
        table.subscribe("E_ONE" if n % 2 else "E_TWO", socket, 10 + n // 255, NOW)
    with pytest.raises(ValueError, match="256 subscriptions"):
        table.subscribe("E_ONE", B, 10, NOW)
    table.subscribe("E_ONE", sockets[-1], 11, NOW)  # renewing is no new one
    table.subscribe("E_ONE", B, 10, NOW + 11)  # all but the last have lapsed
    assert active(table, NOW + 11) == [B, sockets[-1], A]


def test_configured_ones_never_lapse(table: SubscriptionTable) -> None:
    table.configure([("E_ONE", A)])
    (subscription,) = table.active("E_ONE", NOW + 10**9)
    assert (subscription.socket, subscription.ttl(NOW)) == (A, None)
    assert table.is_configured(A)
    assert not table.is_configured(B)


def test_mi_cannot_end_a_configured_one(table: SubscriptionTable) -> None:
    table.configure([("E_ONE", A)])
    table.subscribe("E_ONE", A, 0, NOW)
    (subscription,) = table.active("E_ONE", NOW + 100)
    assert subscription.ttl(NOW + 100) is None


def test_made_by_both_ways_it_lives_until_both_have_ended_it(table: SubscriptionTable) -> None:
    table.configure([("E_ONE", A), ("E_ONE", B)])
    table.subscribe("E_ONE", A, 100, NOW)
    table.configure([])
    assert active(table, NOW + 100) == [A]
    assert active(table, NOW + 101) == []


def test_configure_acts_on_the_difference(table: SubscriptionTable) -> None:
    table.configure([("E_ONE", A), ("E_ONE", B)])
    before = table.find("E_ONE", B)
    table.configure([("E_ONE", B), ("E_ONE", C), ("E_ONE", C), ("E_TWO", A)])
    assert table.find("E_ONE", B) is before
    assert active(table, NOW) == [C, B]
    assert active(table, NOW, "E_TWO") == [A]


def test_configure_with_an_unknown_event_changes_nothing(table: SubscriptionTable) -> None:
    table.configure([("E_ONE", A)])
    with pytest.raises(ValueError, match="no event 'E_NONE'; there are E_ONE, E_TWO"):
        table.configure([("E_TWO", B), ("E_NONE", A)])
    assert active(table, NOW) == [A]
    assert active(table, NOW, "E_TWO") == []


def test_sockets_match_exactly(table: SubscriptionTable) -> None:
    """In OpenSIPS the second would only renew the first, of which it is a prefix."""
    longer, shorter = (ReplySocket.parse(f"udp:127.0.0.{host}:5000") for host in ("10", "1"))
    table.subscribe("E_ONE", longer, 10, NOW)
    table.subscribe("E_ONE", shorter, 10, NOW)
    assert active(table, NOW) == [shorter, longer]


def test_a_configured_socket_keeps_its_password_whatever_mi_says_of_it(table: SubscriptionTable) -> None:
    """For another event, too: its connection is one."""
    ours, theirs = (ReplySocket.parse(f"rabbitmq:bridge:{password}@h/k") for password in ("ours", "theirs"))
    table.configure([("E_TWO", ours)])
    for event in ("E_ONE", "E_TWO"):
        table.subscribe(event, theirs, 600, NOW)
        assert [socket.password for socket in active(table, NOW, event)] == ["ours"]
    assert [socket.password for socket in table.sockets()] == ["ours"]


def test_what_mi_has_subscribed_ends_at_a_second(table: SubscriptionTable) -> None:
    wanted = EventFilter(janus_ids=frozenset({"gw1"}))
    table.subscribe("E_ONE", A, 60, NOW, wanted)
    table.configure([("E_TWO", A)])
    assert table.ends(A) == {"E_ONE": (NOW + 60, wanted)}
    assert table.ends(B) == {}
