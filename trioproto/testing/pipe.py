"""Bytes that go one way, as a network carries them; with no loop and no clock.

Who uses a pipe tells it the time. The memory streams, and the link between two
harnesses, are made of two of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from errno import ECONNRESET
from itertools import cycle
from math import inf

from trioproto.testing.faults import NONE, Faults

CAPACITY = 65536
"""Bytes that may wait one way of a connection, if nothing else is said."""


class Pipe:
    """One direction of a connection.

    Args:
        faults: what happens to the bytes.
        capacity: bytes that may wait to be read; ``None``: any number.
        now: the time at which it begins, in seconds.

    Raises:
        ValueError: there is no room for a single byte.

    Attributes:
        size: bytes that were written and not read.
        ended: whether the writer has ended it; the reader may not know that yet.
        closed: whether the reader takes nothing any more.
        breaks_at: when it breaks, or has broken; ``inf``: it does not.
    """

    def __init__(
        self, faults: Faults = NONE, *, capacity: int | None = None, now: float = 0.0
    ) -> None:
        self._capacity = checked_capacity(capacity)
        self._reads: Iterator[float] = cycle(faults.reads or (inf,))
        self._writes: Iterator[float] = cycle(faults.writes or (inf,))
        self._delays = cycle(faults.delays or (0.0,))
        # A drop is a stall for ever.
        dropped = () if faults.drop_after is None else ((faults.drop_after, inf),)
        self._stalls = deque(sorted((*faults.stalls, *dropped)))
        self._reset_after = faults.reset_after
        self._under_way: deque[tuple[float, memoryview]] = deque()
        self._written = 0
        self._last_arrives = now
        self._ends_at = inf
        self.size = 0
        self.ended = False
        self.closed = False
        self.breaks_at = inf
        self._meet_faults()

    # Its writer

    @property
    def room(self) -> int | None:
        """Bytes that there is room for; ``None``: any number."""
        return None if self._capacity is None else max(0, self._capacity - self.size)

    def write(self, data: bytes | bytearray | memoryview, now: float) -> int:
        """Take what there is room for; return how many bytes that is.

        What comes when the reader has closed breaks it; what comes after a break is
        taken and lost.
        """
        room = self.room
        most = len(data) if room is None else min(room, len(data))
        if not most:
            return 0
        taken = int(min(most, next(self._writes)))
        self._last_arrives = max(self._last_arrives, now + next(self._delays))
        if self.closed:
            self.reset(self._last_arrives)
        else:
            self._send(memoryview(bytes(data[:taken])))
        return taken

    def end(self, now: float) -> None:
        """End it: the reader sees EOF after what was written."""
        if not self.ended:
            self.ended = True
            self._ends_at = max(self._last_arrives, now + next(self._delays))

    def reset(self, now: float) -> None:
        """Break it: who reads learns so after what has arrived by then, unless all is dropped."""
        if self._last_arrives == inf:
            return
        self.breaks_at = min(self.breaks_at, now)
        if self._ends_at > now:
            self._ends_at = inf
        while self._under_way and self._under_way[-1][0] > now:
            self.size -= len(self._under_way.pop()[1])

    def _send(self, data: memoryview) -> None:
        """Put *data* under way, in pieces between which something happens."""
        while data and self.breaks_at == inf:
            piece = data[: self._bytes_to_next_fault()]
            self._under_way.append((self._last_arrives, piece))
            self.size += len(piece)
            self._written += len(piece)
            data = data[len(piece) :]
            self._meet_faults()

    def _bytes_to_next_fault(self) -> int | None:
        places = [self._stalls[0][0]] if self._stalls else []
        if self._reset_after is not None:
            places.append(self._reset_after)
        return min(places) - self._written if places else None

    def _meet_faults(self) -> None:
        """Stall or break, if that is due after the last byte."""
        while self._stalls and self._stalls[0][0] <= self._written:
            self._last_arrives += self._stalls.popleft()[1]
        if self._reset_after == self._written:
            self._reset_after = None
            self.breaks_at = self._last_arrives  # never, if nothing arrives any more

    # Its reader

    def read(self, now: float, most: int | None = None) -> bytes | None:
        """Return some of what has arrived; ``b""``: EOF; ``None``: nothing yet.

        Raises:
            ConnectionResetError: it has broken, and all that came before was read.
        """
        if self._under_way and self._under_way[0][0] <= now:
            size = next(self._reads)
            return self._take(size if most is None else min(size, most), now)
        if self._ends_at <= now:
            return b""
        if self.breaks_at <= now:
            raise reset_error()
        return None

    def next_at(self) -> float:
        """Return when something can be read, EOF and a break too; ``inf``: perhaps never."""
        first = self._under_way[0][0] if self._under_way else self._ends_at
        return min(first, self.breaks_at)

    def last_at(self) -> float:
        """Return when the last arrives of what was written, or EOF; what never does is left out."""
        times = [self._ends_at, *(arrives for arrives, _ in self._under_way)]
        return max((each for each in times if each < inf), default=-inf)

    def close(self) -> None:
        """Read nothing any more; what waits is lost."""
        self.closed = True
        self._under_way.clear()
        self.size = 0

    def _take(self, size: float, now: float) -> bytes:
        """Take at most *size* bytes that have arrived off the front."""
        taken = []
        while size and self._under_way and self._under_way[0][0] <= now:
            arrives, data = self._under_way.popleft()
            if len(data) > size:
                self._under_way.appendleft((arrives, data[int(size) :]))
                data = data[: int(size)]
            taken.append(data)
            size -= len(data)
        joined = b"".join(taken)
        self.size -= len(joined)
        return joined


def reset_error() -> ConnectionResetError:
    """Make the error of a connection that was reset."""
    return ConnectionResetError(ECONNRESET, "connection reset by peer")


def checked_capacity(capacity: int | None) -> int | None:
    """Return how many bytes may wait.

    Raises:
        ValueError: there is no room for a single byte.
    """
    if capacity is not None and capacity < 1:
        raise ValueError(f"capacity must be at least 1 byte, not {capacity}")
    return capacity
