"""The share of a turn of the event loop."""

import trio

from bridge.transport.ration import TURN, Ration


class Turns(trio.abc.Instrument):
    """Counts turns of the event loop."""

    count = 0

    def after_io_wait(self, _timeout: float) -> None:
        self.count += 1


async def turns_of(amounts: list[int]) -> list[int]:
    """In which turn each of them went, in the order in which they did."""
    ration, turns = Ration(), Turns()
    went: list[int] = []

    async def one(amount: int) -> None:
        await ration.draw(amount)
        went.append(turns.count)

    trio.lowlevel.add_instrument(turns)
    async with trio.open_nursery() as nursery:
        for amount in amounts:
            nursery.start_soon(one, amount)
    trio.lowlevel.remove_instrument(turns)
    return went


async def test_what_fits_in_a_turn_goes_at_once() -> None:
    assert len(set(await turns_of([TURN // 4] * 4))) == 1


async def test_four_hundred_large_ones_have_a_turn_each() -> None:
    turns = await turns_of([1 << 20] * 400)
    assert len(set(turns)) == 400
    assert turns == sorted(turns)


async def test_who_waits_is_not_overtaken_and_all_of_a_turn_is_used() -> None:
    turns = await turns_of([TURN // 2] * 40)
    assert max(turns.count(turn) for turn in turns) == 2


async def test_who_leaves_takes_nothing() -> None:
    ration = Ration()
    await ration.draw(2 * TURN)
    with trio.CancelScope() as scope:
        scope.cancel()
        await ration.draw(TURN)
    assert scope.cancelled_caught
    await ration.draw(1)
