"""A ready-made listener of whatever a test has made."""

from __future__ import annotations

import trio


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
