"""Bytes that wait to be sent.

Two costs are kept linear. Small pieces are joined once, in runs of at most
64 KiB, and sent together. A piece that was sent in part is kept as a view with
an offset, never joined or copied again: a 60 MiB write is copied zero times.
"""

from __future__ import annotations

RUN = 64 * 1024
"""Bytes up to which waiting pieces are joined into one send."""

MANY = 1024
"""Pieces above which they are joined while they wait."""


class OutboundBuffer:
    """An ordered queue of bytes.

    Attributes:
        pieces: what was written, in order, and not yet taken up by ``head``.
        head: what is being sent, or ``None``.
        size: bytes in both together.
    """

    __slots__ = ("_ahead", "_many", "head", "pieces", "size")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.head: bytes | memoryview | None = None
        self.size = 0
        self._ahead: list[bytes] | None = None
        self._many = MANY

    def append(self, data: bytes) -> None:
        """Add *data* at the end; it is not copied, unless it is one of very many."""
        self.pieces.append(data)
        self.size += len(data)
        if len(self.pieces) > self._many:
            # A tiny piece costs ten times its bytes.
            self._join_small()

    def peek(self) -> bytes | memoryview | None:
        """Return what is to be sent next, or ``None``; it stays until ``sent``."""
        if self.head is None:
            pieces = self.pieces if self._ahead is None else self._ahead
            if pieces:
                self.head = pieces.pop() if len(pieces) == 1 else _next_run(pieces)
        return self.head

    def put_back(self, rest: memoryview) -> None:
        """Have *rest* sent next, after all the pieces were taken, and sent in part."""
        assert self.head is None
        self.head = rest
        self.size += len(rest)

    @property
    def sendable(self) -> bool:
        """Whether ``peek`` would return something."""
        return self.head is not None or bool(self.pieces if self._ahead is None else self._ahead)

    def raise_barrier(self) -> None:
        """Send what is there now, and keep back what is appended from here on."""
        self._ahead = self.pieces
        self.pieces = []

    def lower_barrier(self) -> None:
        """Send what was kept back as well."""
        if self._ahead is not None:
            self.pieces = self._ahead + self.pieces
            self._ahead = None

    def sent(self, count: int) -> None:
        """Drop the first *count* bytes of what ``peek`` returned."""
        assert self.head is not None
        self.size -= count
        self.head = memoryview(self.head)[count:] if count < len(self.head) else None

    def _join_small(self) -> None:
        """Make runs of the pieces; what is a run already is not copied."""
        runs: list[bytes] = []
        pieces = self.pieces
        begin = length = 0
        for index, piece in enumerate(pieces):
            if length + len(piece) > RUN and index > begin:
                runs.append(b"".join(pieces[begin:index]))
                begin, length = index, 0
            length += len(piece)
        runs.append(b"".join(pieces[begin:]))
        self.pieces[:] = runs
        self._many = max(MANY, 2 * len(runs))

    def clear(self) -> None:
        """Drop everything."""
        self.pieces.clear()
        self.head = None
        self.size = 0
        if self._ahead is not None:
            self._ahead.clear()


def _next_run(pieces: list[bytes]) -> bytes:
    """Take the next run off *pieces*: several small ones, or one of any size."""
    length = count = 0
    while count < len(pieces) and length + len(pieces[count]) <= RUN:
        length += len(pieces[count])
        count += 1
    run = b"".join(pieces[:count]) if count > 1 else pieces[0]
    del pieces[: max(count, 1)]
    return run
