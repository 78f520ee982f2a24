"""One way of a connection in memory: what a pipe cannot know is here, who waits for what."""

from __future__ import annotations

from math import inf

import trio

from trioproto.testing.pipe import Pipe, reset_error


class MemoryPipe:
    """One way of a connection: a pipe, and those who wait at its ends.

    Attributes:
        pipe: the bytes.
        back: the other way of the same connection.
        reader: where the reader waits.
        writer: where those wait who want something to be read.
        end_read: whether the reader has seen EOF.
    """

    __slots__ = ("back", "end_read", "pipe", "reader", "writer")

    back: MemoryPipe

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.reader = trio.lowlevel.ParkingLot()
        self.writer = trio.lowlevel.ParkingLot()
        self.end_read = False

    @property
    def breaks_at(self) -> float:
        """When the connection breaks, or has broken, this way or the other."""
        return min(self.pipe.breaks_at, self.back.pipe.breaks_at)

    @property
    def readable_at(self) -> float:
        """When there is something to read, an end or a break too."""
        return min(self.pipe.next_at(), self.back.pipe.breaks_at)

    def read(self, most: int | None, now: float) -> bytes | None:
        """Read as from the pipe; it may have been broken from the other one.

        Raises:
            ConnectionResetError: it has broken.
        """
        cut = self.back.pipe.breaks_at <= now
        if cut:
            self.pipe.reset(self.back.pipe.breaks_at)
        data = self.pipe.read(now, most)
        if data is not None:
            self.end_read = not data
            self.writer.unpark_all()
        elif cut:  # here everything is dropped, but it has broken all the same
            raise reset_error()
        return data

    def write(self, data: memoryview, now: float) -> int:
        """Write to the pipe; a break that follows concerns everybody."""
        taken = self.pipe.write(data, now)
        if self.pipe.breaks_at == inf:
            self.reader.unpark_all()
        else:
            self.wake_all()
        return taken

    def wake_all(self) -> None:
        """Have everybody look again, at both ends."""
        for way in (self, self.back):
            way.reader.unpark_all()
            way.writer.unpark_all()


async def wait_for(lot: trio.lowlevel.ParkingLot, until: float) -> None:
    """Wait for a change, or until a time."""
    if until == inf:
        await lot.park()
    else:
        with trio.move_on_at(until):
            await lot.park()
