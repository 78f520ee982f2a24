"""The outbound buffer: order, sizes, and what is never copied."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioproto.sansio.outbound import RUN, OutboundBuffer


def filled(*pieces: bytes) -> OutboundBuffer:
    buffer = OutboundBuffer()
    for piece in pieces:
        buffer.append(piece)
    return buffer


def emptied(buffer: OutboundBuffer) -> list[bytes]:
    """What is sent, run by run."""
    runs = []
    while (run := buffer.peek()) is not None:
        runs.append(bytes(run))
        buffer.sent(len(run))
    return runs


def test_a_new_buffer_is_empty() -> None:
    buffer = OutboundBuffer()
    assert (buffer.peek(), buffer.size) == (None, 0)


def test_small_pieces_are_joined_into_one_run() -> None:
    assert emptied(filled(b"a", b"bc", b"d")) == [b"abcd"]


def test_one_piece_is_sent_as_the_object_that_was_appended() -> None:
    piece = b"as it is"
    assert filled(piece).peek() is piece


def test_what_is_peeked_at_stays_until_it_is_sent() -> None:
    buffer = filled(b"one")
    first = buffer.peek()
    buffer.append(b"two")
    assert buffer.peek() is first
    buffer.sent(3)
    assert buffer.peek() == b"two"


def test_a_run_has_at_most_64_kib() -> None:
    pieces = [bytes([index]) * 1000 for index in range(200)]
    runs = emptied(filled(*pieces))
    assert b"".join(runs) == b"".join(pieces)
    assert [len(run) for run in runs] == [65_000, 65_000, 65_000, 5_000]


@pytest.mark.parametrize("size", [RUN - 1, RUN, RUN + 1])
def test_a_piece_beside_the_limit_of_a_run_is_whole(size: int) -> None:
    runs = emptied(filled(b"first", b"x" * size, b"last"))
    assert b"".join(runs) == b"first" + b"x" * size + b"last"
    assert all(len(run) <= RUN or run == b"x" * size for run in runs)


def test_a_large_piece_is_never_copied_however_it_is_sent() -> None:
    piece = bytes(60 << 20)
    buffer = filled(b"before", piece, b"after")
    tracemalloc.start()
    try:
        buffer.sent(len(buffer.peek() or b""))
        assert buffer.peek() is piece
        buffer.sent(1)
        while buffer.size > 1 << 20:
            view = buffer.peek()
            assert isinstance(view, memoryview)
            assert view.obj is piece
            buffer.sent(min(len(view), 99_991))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_a_run_sent_in_part_is_not_joined_again() -> None:
    buffer = filled(b"abc", b"def")
    run = buffer.peek()
    buffer.sent(2)
    buffer.append(b"ghi")
    rest = buffer.peek()
    assert isinstance(rest, memoryview)
    assert rest.obj is run
    assert emptied(buffer) == [b"cdef", b"ghi"]


def test_clearing_drops_what_is_half_sent_too() -> None:
    buffer = filled(b"abc", b"def")
    buffer.peek()
    buffer.sent(1)
    buffer.append(b"ghi")
    buffer.clear()
    assert (buffer.peek(), buffer.size, buffer.pieces) == (None, 0, [])


steps = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=20),
        st.builds(bytes, st.sampled_from([RUN // 2, RUN - 1, RUN, RUN + 1, 2 * RUN])),
        st.integers(0, 3 * RUN),
    ),
    max_size=40,
)


@given(steps)
def test_after_any_appends_and_sends_order_and_size_are_right(steps: list[bytes | int]) -> None:
    buffer = OutboundBuffer()
    expected = bytearray()
    for step in steps:
        if isinstance(step, bytes):
            buffer.append(step)
            expected += step
            continue
        head = buffer.peek()
        assert (head is None) == (not expected)
        if head is not None:
            assert len(head) > 0
            assert bytes(head) == expected[: len(head)]
            sent = min(step, len(head))
            buffer.sent(sent)
            del expected[:sent]
        assert buffer.size == len(expected)
    assert b"".join(emptied(buffer)) == expected
    assert buffer.size == 0


def test_very_many_tiny_pieces_are_joined_while_they_wait() -> None:
    buffer = OutboundBuffer()
    for number in range(200_000):
        buffer.append(b"%05d" % number)
    assert len(buffer.pieces) <= 1024 + 200_000 * 5 // 65_536 + 1
    sent = b""
    while (data := buffer.peek()) is not None:
        sent += data
        buffer.sent(len(data))
    assert sent == b"".join(b"%05d" % number for number in range(200_000))
