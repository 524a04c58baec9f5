"""Messages from fragments, under limits."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.fragments import HEAD, Fragments, Refused


def put_together(fragments: Fragments, pieces: Iterable[str | bytes]) -> str | Refused | None:
    """The pieces as the frames of one message."""
    *before, last = pieces
    for piece in before:
        assert fragments.add(piece, frame_over=True, message_over=False) is None
    return fragments.add(last, frame_over=True, message_over=True)


@given(st.lists(st.text(alphabet="ab€😀", max_size=5), min_size=1, max_size=20))
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
        assert isinstance(message, Refused)
        assert message.reason == f"is over max_message_size ({limit})"
        assert message.too_large
        assert whole.startswith(message.head)
        assert len(message.head) >= len(pieces[0][:1])
    assert put_together(fragments, ["next"[:limit]]) == "next"[:limit]


def test_head_is_all_that_is_kept() -> None:
    fragments = Fragments(10_000, None)
    message = put_together(fragments, ["x" * 3000] * 100)
    assert isinstance(message, Refused)
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
        assert message == Refused("is over janus_max_msg_chunks (3)", head, too_large=True)
    else:
        assert message == "ab" * (frames - 1) + "c"


@pytest.mark.parametrize("pieces", [[b"\xff"], [b"{", b"}"], [bytearray(b"{}")]])
def test_binary_is_refused(pieces: list[bytes]) -> None:
    assert put_together(Fragments(100, None), pieces) == Refused("is binary", "", too_large=False)
