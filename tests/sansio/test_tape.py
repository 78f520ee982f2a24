"""The tape: the last pieces in order, in the memory that it was given."""

from __future__ import annotations

import gc
import sys
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioproto.layers import Direction
from trioproto.sansio.tape import OVERHEAD, Tape

RECEIVED, SENT = Direction.RECEIVED, Direction.SENT


class Added(NamedTuple):
    direction: Direction
    data: bytes


added = st.lists(st.builds(Added, st.sampled_from(Direction), st.binary(min_size=1, max_size=150)))


def filled(size: int, pieces: list[Added]) -> Tape:
    """A tape to which pieces were added, a second after each other."""
    tape = Tape(size)
    for time, (direction, data) in enumerate(pieces):
        tape.add(float(time), direction, data)
    return tape


@given(added, st.integers(64, 1000))
def test_what_is_kept_is_the_end_of_what_passed(pieces: list[Added], size: int) -> None:
    kept = list(filled(size, pieces))
    whole = pieces[len(pieces) - len(kept) :]
    times = range(len(pieces) - len(kept), len(pieces))
    assert [(time, way) for time, way, _ in kept] == [
        (float(time), each.direction) for time, each in zip(times, whole, strict=True)
    ]
    for index, (_, _, data) in enumerate(kept):
        assert data
        assert data == whole[index].data or (index == 0 and whole[0].data.endswith(data))


@given(added, st.integers(64, 1000))
def test_the_tape_is_as_full_as_it_may_be_and_no_fuller(pieces: list[Added], size: int) -> None:
    kept = list(filled(size, pieces))
    used = sum(len(data) + OVERHEAD for _, _, data in kept)
    assert used <= size
    if not kept:
        assert not pieces
    elif len(kept[0][2]) < len(pieces[-len(kept)].data):
        assert used == size  # one byte more of the oldest piece does not fit
    elif len(kept) < len(pieces):
        assert used + OVERHEAD + 1 > size  # nor one byte of the piece before


@given(added, st.integers(64, 1000))
def test_what_is_not_kept_is_counted_for_each_direction(pieces: list[Added], size: int) -> None:
    tape = filled(size, pieces)
    for direction in Direction:
        passed = sum(len(each.data) for each in pieces if each.direction is direction)
        kept = sum(len(data) for _, way, data in tape if way is direction)
        assert tape.dropped[direction] == passed - kept


@pytest.mark.parametrize("count", [99, 100, 101])
def test_a_piece_is_cut_once_it_does_not_fit(count: int) -> None:
    data = bytes(range(count))
    tape = filled(100 + OVERHEAD, [Added(RECEIVED, data)])
    assert list(tape) == [(0.0, RECEIVED, data[-100:])]
    assert tape.dropped == {RECEIVED: max(0, count - 100), SENT: 0}


def test_a_piece_larger_than_the_tape_drives_all_others_out() -> None:
    tape = filled(64, [Added(RECEIVED, b"first"), Added(SENT, b"x" * 1000), Added(SENT, b"yz")])
    assert [data for _, _, data in tape] == [b"x" * (64 - 2 * OVERHEAD - 2), b"yz"]


def test_an_unused_tape_is_false_and_a_used_one_true() -> None:
    assert not Tape(64)
    assert list(Tape(64)) == []
    assert filled(64, [Added(SENT, b"x")])


def memory(tape: Tape) -> int:
    parts: list[Any] = [each for each in gc.get_referents(tape) if isinstance(each, bytearray)]
    return sum(map(sys.getsizeof, parts))


@pytest.mark.parametrize("length", [1, 10, 1000, 100_000])
def test_memory_stays_at_the_size_whatever_the_pieces_are(length: int) -> None:
    size = 16 * 1024
    tape = filled(size, [Added(way, bytes(length)) for way in Direction] * (10 * size // length))
    assert memory(tape) <= size * 1.15 + 2 * sys.getsizeof(bytearray()) + 32
