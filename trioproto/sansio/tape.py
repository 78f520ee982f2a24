"""A memory of what passed last, which costs no more than it was given.

Bytes and marks are kept apart, each in one block: a mark says when a piece
passed, in which direction, and how long it is. Objects in their place would cost
a connection whose pieces are small a hundred times its bytes. A mark counts as
what it takes, so that the limit is one of memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from struct import Struct


class Direction(Enum):
    """Which way bytes went; the value is how a text shows it."""

    RECEIVED = "<"
    SENT = ">"


_MARK = Struct("dq")  # the time; the number of bytes, below 0 for those that were sent

OVERHEAD = _MARK.size
"""Bytes that each piece counts, besides its own."""


class Tape:
    """The last pieces that passed, of both directions, in order.

    Args:
        size: bytes of memory, marks included; Python's own slack is an eighth more.

    Attributes:
        dropped: bytes of each direction that were kept once, or passed, and are no
            longer on the tape; all of them passed before those that are.
    """

    __slots__ = ("_data", "_longest", "_marks", "_room", "dropped")

    def __init__(self, size: int) -> None:
        self._room = size
        self._longest = size - OVERHEAD
        self._data = bytearray()
        self._marks = bytearray()
        self.dropped = dict.fromkeys(Direction, 0)

    def add(self, time: float, direction: Direction, data: bytes) -> None:
        """Add a piece, at least one byte, and drop the oldest bytes that are too many.

        Cost over a tape's life: linear in the bytes, and in the pieces.
        """
        if len(data) > self._longest:
            self.dropped[direction] += len(data) - self._longest
            data = data[-self._longest :]
        count = len(data)
        self._room -= count + OVERHEAD
        while self._room < 0:
            self._drop(-self._room)
        self._data += data
        self._marks += _MARK.pack(time, count if direction is Direction.RECEIVED else -count)

    def _drop(self, excess: int) -> None:
        """Drop *excess* bytes of the oldest piece, or all of it, if it has no more."""
        time, mark = _MARK.unpack_from(self._marks)
        count = abs(mark)
        if excess >= count:
            del self._marks[:OVERHEAD]
            self._room += count + OVERHEAD
        else:
            left = count - excess
            _MARK.pack_into(self._marks, 0, time, left if mark > 0 else -left)
            self._room += excess
            count = excess
        del self._data[:count]
        self.dropped[_direction(mark)] += count

    def __iter__(self) -> Iterator[tuple[float, Direction, bytes]]:
        """Give what is left of the pieces, the oldest first."""
        start = 0
        for time, mark in _MARK.iter_unpack(self._marks):
            stop = start + abs(mark)
            yield time, _direction(mark), bytes(self._data[start:stop])
            start = stop

    def __bool__(self) -> bool:
        """Whether anything is on it."""
        return bool(self._marks)


def _direction(mark: int) -> Direction:
    return Direction.RECEIVED if mark > 0 else Direction.SENT
