"""A stream in memory that can fill up, end and break, as a socket can."""

from __future__ import annotations

import trio


class Pipe:
    """Bytes one way, at most *capacity* of them waiting."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.data = bytearray()
        self.ended = False
        self.broken = False
        self.reader_closed = False
        self.writer_closed = False
        self._changed = trio.lowlevel.ParkingLot()

    def change(self, **states: bool) -> None:
        for name, value in states.items():
            setattr(self, name, value)
        self._changed.unpark_all()

    async def put(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        rest = memoryview(data)
        while True:
            if self.writer_closed:
                raise trio.ClosedResourceError("this end was closed")
            if self.broken or self.reader_closed:
                raise trio.BrokenResourceError("the other end is gone")
            room = max(0, self.capacity - len(self.data))
            self.data += rest[:room]
            rest = rest[room:]
            self._changed.unpark_all()
            if not rest:
                return
            await self._changed.park()

    async def get(self, limit: int | None) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            if self.reader_closed:
                raise trio.ClosedResourceError("this end was closed")
            if self.broken:
                raise trio.BrokenResourceError("the other end broke the connection")
            if self.data or self.ended:
                return self.take(limit)
            await self._changed.park()

    def take(self, limit: int | None = None) -> bytes:
        taken = bytes(self.data[:limit])
        del self.data[:limit]
        self._changed.unpark_all()
        return taken


class PlainPipeStream(trio.abc.Stream):
    """The server's end, over two pipes; it cannot send EOF alone."""

    def __init__(self, incoming: Pipe, outgoing: Pipe) -> None:
        self.incoming = incoming
        self.outgoing = outgoing
        self.closed = False
        self.closed_gracefully = False
        self._sending = False
        self._receiving = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._sending:
            raise trio.BusyResourceError("another task is sending")
        if self.outgoing.ended:
            raise trio.ClosedResourceError("sent EOF already")
        self._sending = True
        try:
            await self.outgoing.put(data)
        finally:
            self._sending = False

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving")
        self._receiving = True
        try:
            return await self.incoming.get(max_bytes)
        finally:
            self._receiving = False

    async def aclose(self) -> None:
        self.closed = True
        if not self.outgoing.ended:
            self.outgoing.change(broken=self.is_cut)
        self.outgoing.change(ended=True, writer_closed=True)
        self.incoming.change(reader_closed=True)
        await trio.lowlevel.checkpoint()
        self.closed_gracefully = True  # not cancelled, as one that is forced to close is

    is_cut = False
    """Whether closing without EOF shows as a cut to the other end."""


class PipeStream(PlainPipeStream, trio.abc.HalfCloseableStream):
    """The server's end, which can send EOF alone: closed without it, it was cut."""

    is_cut = True

    async def send_eof(self) -> None:
        if self._sending:
            raise trio.BusyResourceError("another task is sending")
        if self.outgoing.writer_closed:
            raise trio.ClosedResourceError("this end was closed")
        self.outgoing.change(ended=True)
        await trio.lowlevel.checkpoint()


class QueueListener(trio.abc.Listener[trio.abc.Stream]):
    """A ready-made listener that hands out the streams that a test offers it."""

    def __init__(self) -> None:
        self._offer, self._take = trio.open_memory_channel[trio.abc.Stream](100)
        self.accepted = 0
        self.closed = False

    def offer(self, stream: trio.abc.Stream) -> None:
        self._offer.send_nowait(stream)

    async def accept(self) -> trio.abc.Stream:
        stream = await self._take.receive()
        self.accepted += 1
        return stream

    async def aclose(self) -> None:
        self.closed = True
        self._take.close()
        await trio.lowlevel.checkpoint()
