"""What all queues may hold: two halves that take nothing from each other, and equal shares of each."""

from bridge.core.event_pool import Pool, Pools


def test_each_queue_has_an_equal_share_of_its_half() -> None:
    pool = Pool(1000)
    assert pool.share == 1000
    for queues, share in ((4, 250), (3, 333), (1, 1000), (0, 1000)):
        pool.divide(queues)
        assert pool.share == share


def test_callers_of_the_mi_take_nothing_from_the_configured() -> None:
    pools = Pools(1001)
    pools.subscribed.divide(64)
    assert (pools.configured.share, pools.subscribed.share) == (500, 7)
    pools.configured.used, pools.subscribed.used, pools.subscribed.refused = 5, 6, 7
    assert (pools.used, pools.refused, pools.total) == (11, 7, 1001)
