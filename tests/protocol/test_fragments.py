"""Messages from fragments, under limits."""

import sys
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.budget import Budget, Holding
from bridge.protocol.fragments import HEAD, DiscardedMessage, Fragments


def put_together(fragments: Fragments, pieces: Iterable[str | bytes]) -> str | DiscardedMessage | None:
    """The pieces as the frames of one message."""
    *before, last = pieces
    for piece in before:
        assert fragments.add(piece, frame_over=True, message_over=False) is None
    return fragments.add(last, frame_over=True, message_over=True)


@given(st.lists(st.text(alphabet="ab€😀\r\n", max_size=5), min_size=1, max_size=20))
def test_any_cut_gives_the_same_message(pieces: list[str]) -> None:
    fragments = Fragments(100, None)
    for _ in range(2):  # one message leaves nothing behind for the next
        assert put_together(fragments, pieces) == "".join(pieces)


@given(st.lists(st.text(alphabet="ab", max_size=30), min_size=1, max_size=20), st.integers(1, 100))
def test_size_counts_over_all_pieces(pieces: list[str], limit: int) -> None:
    fragments = Fragments(limit, None)
    whole = "".join(pieces)
    message = put_together(fragments, pieces)
    if len(whole) <= limit:
        assert message == whole
    else:
        assert isinstance(message, DiscardedMessage)
        assert message.reason == f"is over max_message_size ({limit})"
        assert message.too_large
        assert whole.startswith(message.head)
        assert len(message.head) >= len(pieces[0][:1])
    assert put_together(fragments, ["next"[:limit]]) == "next"[:limit]


def test_head_is_all_that_is_kept() -> None:
    fragments = Fragments(10_000, None)
    message = put_together(fragments, ["x" * 3000] * 100)
    assert isinstance(message, DiscardedMessage)
    assert message.head == "x" * HEAD


@pytest.mark.parametrize(("frames", "refused"), [(1, False), (3, False), (4, True), (50, True)])
def test_frames_are_counted_whole(frames: int, refused: bool) -> None:
    """A frame that arrives in several reads is one frame."""
    fragments = Fragments(10_000, 3)
    for _ in range(frames - 1):
        fragments.add("a", frame_over=False, message_over=False)
        fragments.add("b", frame_over=True, message_over=False)
    message = fragments.add("c", frame_over=True, message_over=True)
    if refused:
        head = "ab" * min(frames - 1, 4) + "c" * (frames == 4)
        assert message == DiscardedMessage("is over janus_max_msg_chunks (3)", head, too_large=True)
    else:
        assert message == "ab" * (frames - 1) + "c"


@pytest.mark.parametrize("pieces", [[b"\xff"], [b"{", b"}"], [bytearray(b"{}")]])
def test_binary_is_refused(pieces: list[bytes]) -> None:
    assert put_together(Fragments(100, None), pieces) == DiscardedMessage("is binary", "", too_large=False)


def test_unfinished_messages_of_all_gateways_have_one_budget() -> None:
    """A thousand gateways that never send the last fragment."""
    budget = Budget(2**20)
    crowd = [Fragments(2**18, None, Holding(budget, f"g{number}")) for number in range(10)]
    for fragments in crowd[:7]:
        for _ in range(100):
            assert fragments.add("x" * 1000, frame_over=True, message_over=False) is None
    assert budget.used == 700_000
    refused = put_together(crowd[7], ["x" * 1000] * 100)
    assert isinstance(refused, DiscardedMessage)
    assert (refused.reason, refused.too_large) == (
        "finds no room beside the unfinished messages of other gateways",
        True,
    )
    assert refused.head == "x" * HEAD
    assert put_together(crowd[8], ["x" * 1000] * 60) == "x" * 60_000  # what is small finds room
    assert put_together(crowd[9], ["x" * 200_000]) == "x" * 200_000  # and what comes in one piece needs none
    assert crowd[0].add("x", frame_over=True, message_over=True) == "x" * 100_001
    crowd[1].let_go()
    assert budget.used == 500_000


def test_characters_count_as_they_are_kept() -> None:
    budget = Budget(2**20)
    fragments = Fragments(2**18, None, Holding(budget, "g"))
    fragments.add("😀" * 1000, frame_over=True, message_over=False)
    assert budget.used == 4000
    assert fragments.add(b"", frame_over=True, message_over=False) is None  # binary: refused, nothing is kept
    assert budget.used == 0


def test_pieces_of_two_characters_are_one_buffer() -> None:
    fragments = Fragments(2**20, None)
    for _ in range(10_000):
        fragments.add("ab", frame_over=True, message_over=False)
    kept = [
        getattr(fragments, name) for name in dir(fragments) if not name.startswith("__")
    ]  # compiled, it has no vars
    assert sum(map(sys.getsizeof, kept)) < 3 * 20_000
