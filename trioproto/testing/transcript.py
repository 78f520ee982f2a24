"""What was said on a connection.

The notation is that of the traffic log: ``<`` is what the protocol under test
has received, and ``>`` what it has sent.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from trioproto.sansio.tape import Direction

_KEPT = 500
"""Entries that are kept; the oldest are forgotten."""
_HEAD = 160
"""Bytes kept of what passed at once."""
_SHOWN = 60
"""Entries that an error shows: the last ones."""


class Entry(NamedTuple):
    """Something that happened.

    Attributes:
        time: when, in seconds.
        direction: which way bytes went; ``None``: it is an event.
        size: how many bytes that were.
        data: the first 160 of them, or the event's text.
    """

    time: float
    direction: Direction | None
    size: int
    data: bytes | str

    def __str__(self) -> str:
        if self.direction is None or isinstance(self.data, str):
            return f"{self.time:8.3f}   {self.data!s}"
        more = self.size - len(self.data)
        text = f"{self.time:8.3f} {self.direction.value} {self.data!r}"
        return f"{text} and {more} bytes more" if more else text


class Transcript:
    """The last 500 things that happened on a connection."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, Direction | None, int, bytes | str]] = deque(maxlen=_KEPT)
        self._count = 0

    def received(self, data: bytes | bytearray | memoryview, time: float) -> None:
        """Note bytes that the protocol has received."""
        self._count += 1
        self._kept.append((time, Direction.RECEIVED, len(data), bytes(data[:_HEAD])))

    def sent(self, data: bytes | bytearray | memoryview, time: float) -> None:
        """Note bytes that it has sent."""
        self._count += 1
        self._kept.append((time, Direction.SENT, len(data), bytes(data[:_HEAD])))

    def happened(self, event: str, time: float) -> None:
        """Note anything else."""
        self._count += 1
        self._kept.append((time, None, 0, event))

    @property
    def entries(self) -> list[Entry]:
        """What is kept, the oldest first."""
        return [Entry(*kept) for kept in self._kept]

    def __str__(self) -> str:
        last = self.entries[-_SHOWN:]
        lines = [f"  {entry}" for entry in last]
        before = self._count - len(last)
        return "\n".join([f"  ({before} before these)", *lines] if before else lines)
