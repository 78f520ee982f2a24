"""Lines out of bytes: the pure codec below the line receivers.

A chunk is split into all its lines at once, which is what makes lines cheap.
An unfinished line is kept as the list of chunks that it came in, joined only
when its delimiter has arrived, and searched only where it was not searched
before: so the cost is linear in the bytes, however they were cut.

A protocol that takes the rest of a chunk as raw data would have split it in
vain, again and again. So after ``take_rest`` one line is split off, then two,
then four, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import length_hint

_CHUNKS = 64
"""Chunks of an unfinished line that are kept apart."""


class LineBuffer:
    """Cuts bytes at a delimiter.

    Attributes:
        lines: whole lines that have not been taken yet, in order.
    """

    __slots__ = ("_batch", "_chunks", "_delimiter", "_size", "_tail", "_unsplit", "lines")

    def __init__(self, delimiter: bytes) -> None:
        self.lines: Iterator[bytes] = iter(())
        self._delimiter = delimiter
        self._batch = -1
        self._unsplit = b""
        self._chunks: list[bytes] = []
        self._size = 0
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Add bytes; only when all ``lines`` have been taken and ``more`` is false."""
        if self._chunks:
            if self._delimiter not in self._tail + data:
                self._keep(data)
                return
            self._chunks.append(data)
            data = b"".join(self._chunks)
            self._forget()
        self._split(data)

    def more(self) -> bool:
        """Make more ``lines`` of what was fed, when all have been taken."""
        if not self._unsplit:
            return False
        data, self._unsplit = self._unsplit, b""
        self._batch *= 2
        self._split(data)
        return True

    @property
    def empty(self) -> bool:
        """Whether nothing is left of what was fed."""
        return not (self._size or self._unsplit or length_hint(self.lines))

    @property
    def pending(self) -> int:
        """Bytes of the unfinished line, with what may begin its delimiter."""
        return self._size

    @property
    def unfinished(self) -> int:
        """Bytes that belong to the unfinished line for certain."""
        for length in range(len(self._tail), 0, -1):
            if self._delimiter.startswith(self._tail[-length:]):
                return self._size - length
        return self._size

    def peek(self) -> bytes:
        """Return what has arrived of the unfinished line."""
        return b"".join(self._chunks)[: self.unfinished]

    def skip(self) -> None:
        """Forget the unfinished line so far, but not what may begin its delimiter."""
        begun = self._tail[len(self._tail) - (self._size - self.unfinished) :]
        self._forget()
        if begun:
            self._keep(begun)

    def take_rest(self) -> bytes:
        """Return, and forget, everything that has not been taken."""
        rest = self._delimiter.join([*self.lines, b"".join(self._chunks) or self._unsplit])
        self._forget()
        self._unsplit = b""
        self._batch = 1
        return rest

    def _split(self, data: bytes) -> None:
        *lines, rest = data.split(self._delimiter, self._batch)
        self.lines = iter(lines)
        if len(lines) == self._batch:
            self._unsplit = rest
        elif rest:
            self._keep(rest)

    def _keep(self, data: bytes) -> None:
        chunks = self._chunks
        chunks.append(data)
        if len(chunks) > _CHUNKS:
            # Tiny chunks cost more than their bytes; the half-full tail is joined,
            # so that a byte is copied a number of times that grows as a logarithm.
            chunks[:] = _joined(chunks)
        self._size += len(data)
        overlap = len(self._delimiter) - 1
        self._tail = (self._tail + data[-overlap:])[-overlap:] if overlap else b""

    def _forget(self) -> None:
        self._chunks = []
        self._size = 0
        self._tail = b""


def _joined(chunks: list[bytes]) -> list[bytes]:
    """Join neighbours until each chunk is at least twice as long as what follows it."""
    joined: list[bytes] = []
    rest = chunks
    size = sum(map(len, chunks))
    while len(rest) > 1 and 2 * len(rest[0]) >= size:
        size -= len(rest[0])
        joined.append(rest[0])
        rest = rest[1:]
    return [*joined, b"".join(rest)]
