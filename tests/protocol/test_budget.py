"""How many bytes may be held for others."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.budget import SMALL, Budget, Holding

MIB = 2**20


def test_one_owner_may_hold_half_and_another_the_other_half() -> None:
    budget = Budget(8 * SMALL)
    for owner in ("a", "b"):
        held = [Holding(budget, owner) for _ in range(5)]
        assert [one.resize(SMALL) for one in held] == [True] * 4 + [False]
    assert budget.used == budget.total
    assert not Holding(budget, "c").resize(1)
    assert budget.refused == 3


def test_what_is_large_leaves_room_for_what_is_small() -> None:
    budget = Budget(64 * MIB)
    large = [Holding(budget, "a") for _ in range(40)]
    assert sum(one.resize(MIB) for one in large) == 24
    assert Holding(budget, "a").resize(SMALL)
    more = [Holding(budget, "b") for _ in range(40)]
    assert sum(one.resize(MIB) for one in more) == 23  # the small one counts too
    assert Holding(budget, "c").resize(SMALL)


def test_what_could_never_be_held_is_known_beforehand() -> None:
    budget = Budget(64 * MIB)
    assert Holding(budget, "a").resize(budget.largest + 4096)
    assert not Holding(budget, "b").resize(24 * MIB + 1)


def test_what_is_given_back_is_free_and_its_owner_forgotten() -> None:
    budget = Budget(2 * SMALL)
    one = Holding(budget, "a")
    assert one.resize(SMALL)
    assert not one.resize(SMALL + 1)
    assert one.size == SMALL
    assert one.resize(1)
    assert budget.shares.get("a", 0) == 1
    one.release()
    one.release()
    assert (budget.used, budget.shares.get("a", 0), budget.shares) == (0, 0, {})


def test_what_is_handed_on_is_held_once() -> None:
    budget = Budget(4 * SMALL)
    one = Holding(budget, "a")
    one.resize(5)
    other = one.handed_on()
    one.release()
    assert budget.used == other.size == 5
    other.release()
    assert budget.used == 0


def test_room_is_made_while_there_is_anything_to_let_go() -> None:
    budget = Budget(2 * SMALL)
    slow = [Holding(budget, "a") for _ in range(4)]
    for one in slow:
        assert one.resize(SMALL // 4)

    def relief(holding: Holding, size: int) -> bool:
        assert (holding, size) == (wanted, SMALL // 2)
        victims = [one for one in slow if one.size]
        if victims:
            victims[0].release()
        return bool(victims)

    budget.relief = relief
    wanted = Holding(budget, "a")
    assert wanted.resize(SMALL // 2)
    assert [one.size > 0 for one in slow] == [False, False, True, True]


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abc"), st.integers(0, 4 * SMALL)), max_size=60))
def test_the_sums_are_those_of_what_is_held_and_never_over_the_limit(steps: list[tuple[int, str, int]]) -> None:
    budget = Budget(8 * SMALL)
    held: dict[int, Holding] = {}
    for number, owner, size in steps:
        one = held.setdefault(number, Holding(budget, owner))
        before = one.size
        fits = one.resize(size)
        assert one.size == (size if fits else before)
        assert budget.used == sum(item.size for item in held.values()) <= budget.total
        for name in "abc":
            share = sum(item.size for item in held.values() if item.owner == name)
            assert budget.shares.get(name, 0) == share <= budget.total // 2
