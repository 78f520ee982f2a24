"""A listener in memory, to be served on."""

from __future__ import annotations

from errno import ECONNREFUSED
from math import inf

import trio

from trioproto.sansio.addresses import Address
from trioproto.testing.faults import NONE, Faults
from trioproto.testing.memory import (
    MEMORY,
    MemoryStream,
    PlainMemoryStream,
    memory_stream_pair,
)
from trioproto.testing.pipe import CAPACITY, checked_capacity

_BACKLOG = 128
"""Connections that may wait to be accepted, if nothing else is said."""


class MemoryListener(trio.abc.Listener[PlainMemoryStream]):
    """A listener whose connections are made by :meth:`connect`; see ``open_memory_listener``.

    Attributes:
        address: its own address, which the server's ends have.
    """

    def __init__(
        self,
        *,
        backlog: int = _BACKLOG,
        capacity: int | None = CAPACITY,
        half_close: bool = True,
        address: Address = MEMORY,
    ) -> None:
        if backlog < 1:
            raise ValueError(f"backlog must be at least 1, not {backlog}")
        self.address = address
        self._capacity = checked_capacity(capacity)
        self._half_close = half_close
        self._places = trio.Semaphore(backlog)
        self._queue, self._arrivals = trio.open_memory_channel[PlainMemoryStream](inf)
        self._closed = False

    def __repr__(self) -> str:
        state = "closed, " if self._closed else ""
        return f"<{type(self).__name__} {state}{self.address}, {self.backlog} waiting>"

    @property
    def backlog(self) -> int:
        """Connections that wait to be accepted."""
        return self._arrivals.statistics().current_buffer_used

    async def connect(
        self,
        *,
        to_server: Faults = NONE,
        to_client: Faults = NONE,
        peer: Address = MEMORY,
    ) -> MemoryStream:
        """Make a connection, and return the client's end.

        As with TCP, it need not have been accepted then. While the backlog is full,
        this waits; if cancelled, there is no connection.

        Args:
            to_server: what happens to the bytes on that way.
            to_client: the same on the way back.
            peer: the address of the client, as the server is to see it.

        Raises:
            ConnectionRefusedError: the listener is closed.
        """
        if self._closed:
            await trio.lowlevel.checkpoint()
        else:
            await self._places.acquire()
        if self._closed:
            raise ConnectionRefusedError(ECONNREFUSED, f"the listener at {self.address} is closed")
        client, server = memory_stream_pair(
            capacity=self._capacity,
            to_server=to_server,
            to_client=to_client,
            half_close=self._half_close,
            peer=peer,
            local=self.address,
        )
        self._queue.send_nowait(server)
        return client

    async def accept(self) -> PlainMemoryStream:
        """Return the server's end of the next connection, as soon as there is one.

        Raises:
            ClosedResourceError: the listener is closed.
        """
        stream = await self._arrivals.receive()
        self._places.release()
        return stream

    async def aclose(self) -> None:
        """Close it: who waits to connect is refused, who waits to be accepted is reset."""
        if not self._closed:
            self._closed = True
            for _ in range(self.backlog):
                self._arrivals.receive_nowait().reset()
            self._arrivals.close()
            self._queue.close()
            for _ in range(self._places.statistics().tasks_waiting):
                self._places.release()
        await trio.lowlevel.checkpoint()


def open_memory_listener(
    *,
    backlog: int = _BACKLOG,
    capacity: int | None = CAPACITY,
    half_close: bool = True,
    address: Address = MEMORY,
) -> MemoryListener:
    """Make a listener in memory, for ``serve`` and ``open_server``, which close it.

    Args:
        backlog: connections that may wait to be accepted; at least 1.
        capacity: bytes that may wait to be received, each way of a connection;
            ``None``: any number.
        half_close: whether the server's ends can end their side alone.
        address: its address.

    Raises:
        ValueError: *backlog* or *capacity* is below 1.
    """
    return MemoryListener(
        backlog=backlog, capacity=capacity, half_close=half_close, address=address
    )
