"""How many bytes may be held for others: of all together, and of each.

Owns the sums and the rule by which more is admitted. Must not know what is held, why, or for how long.

The rule: one owner may hold half of a budget, so that another always finds room; and what is large leaves a quarter of
it (and of its owner's half) to what is small, so that an ordinary call finds room beside a few that are huge.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL: Final = 65_536  # bytes of one thing, up to which the whole budget is open to it


class Budget:
    """``total`` in bytes. ``used`` is what is held now, ``shares`` that by owner; owners of nothing are not among them.

    ``relief(holding, size)`` may make room where there is none for ``holding`` to have ``size``: it returns whether it
    has let go of anything; then the rule is asked again. ``refused`` says how often there was no room all the same.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self.shares: dict[str, int] = {}
        self.relief: Callable[[Holding, int], bool] | None = None
        self.refused = 0

    @property
    def largest(self) -> int:
        """Bytes that something may have to be held at all, if what comes with it is small."""
        return self.total * 3 // 8 - SMALL // 8

    def crowded(self, holding: "Holding", size: int) -> bool:
        """Whether the owner of ``holding`` alone stands in the way of its having ``size``."""
        return self.shares.get(holding.owner, 0) + size - holding.size > self.limit(size) // 2

    def limit(self, size: int) -> int:
        """Bytes that may be held when something has this size."""
        return self.total if size <= SMALL else self.total * 3 // 4

    def admits(self, holding: "Holding", size: int) -> bool:
        """Whether ``holding`` may have ``size``."""
        full = self.used + size - holding.size > self.limit(size)
        return not full and not self.crowded(holding, size)


class Holding:
    """What one thing holds of a budget: ``size`` bytes. Whoever has it gives back all of it in the end."""

    __slots__ = ("budget", "owner", "size")

    def __init__(self, budget: Budget, owner: str) -> None:
        self.budget = budget
        self.owner = owner
        self.size = 0

    def resize(self, size: int) -> bool:
        """Hold ``size`` bytes from now on. False, and nothing has changed, where there is no room for more."""
        # Twice for each request: the rule stands here once more, for the case that nearly always is.
        budget, owner = self.budget, self.owner
        more = size - self.size
        share = budget.shares.get(owner, 0) + more
        if more > 0:
            limit = budget.total if size <= SMALL else budget.total * 3 // 4
            if budget.used + more > limit or share > limit // 2:
                return self._squeeze_in(size)
        budget.used += more
        if share:
            budget.shares[owner] = share
        else:
            budget.shares.pop(owner, None)
        self.size = size
        return True

    def _squeeze_in(self, size: int) -> bool:
        budget = self.budget
        while budget.relief is not None and budget.relief(self, size):
            if budget.admits(self, size):
                return self.resize(size)
        budget.refused += 1
        return False

    def release(self) -> None:
        """Let go of all that is held. Twice is the same as once."""
        size = self.size
        if size:
            budget = self.budget
            self.size = 0
            budget.used -= size
            share = budget.shares[self.owner] - size
            if share:
                budget.shares[self.owner] = share
            else:
                del budget.shares[self.owner]

    def handed_on(self) -> "Holding":
        """Another one that holds this one's bytes from now on; this one holds nothing."""
        other = Holding(self.budget, self.owner)
        other.size, self.size = self.size, 0
        return other
