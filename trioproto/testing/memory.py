"""Streams in memory that fill up, end and break as sockets do.

Time is trio's, so that a mock clock moves it.

They are as TCP is seen from a program on Linux: what has arrived before a reset can
still be read; who closes without having read everything resets the connection; and
so does who sends to an end that has closed.
"""

from __future__ import annotations

from typing import Literal, overload

import trio

from trioproto.sansio.addresses import Address, UnknownAddress
from trioproto.testing.faults import NONE, Faults
from trioproto.testing.memory_pipe import MemoryPipe, wait_for
from trioproto.testing.pipe import CAPACITY, Pipe, reset_error

MEMORY = UnknownAddress("memory")
"""The address of an end that was given none."""


class PlainMemoryStream(trio.abc.Stream):
    """One end of a connection in memory, which cannot end its own side alone.

    :func:`memory_stream_pair` makes them. One task at a time may receive, and one
    send; closing wakes both with :exc:`trio.ClosedResourceError`.

    Attributes:
        local: our own address.
        peer: that of the other end.
    """

    def __init__(
        self, incoming: MemoryPipe, outgoing: MemoryPipe, local: Address, peer: Address
    ) -> None:
        self.local = local
        self.peer = peer
        self._incoming = incoming
        self._outgoing = outgoing
        self._closed = False
        self._sending = False
        self._receiving = False

    def __repr__(self) -> str:
        state = "closed, " if self._closed else ""
        return f"<{type(self).__name__} {state}{self.local} to {self.peer}>"

    @property
    def closed(self) -> bool:
        """Whether this end is closed."""
        return self._closed

    @property
    def unread(self) -> int:
        """Bytes that were sent to us and not received yet, those under way too."""
        return self._incoming.pipe.size

    @property
    def unread_by_peer(self) -> int:
        """Bytes that we have sent and the other end has not received yet."""
        return self._outgoing.pipe.size

    # Receiving

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive what has arrived, at most *max_bytes*; ``b""``: the other end has ended.

        If cancelled, nothing is lost.

        Raises:
            BrokenResourceError: the connection was reset.
            ClosedResourceError: this end is closed.
            BusyResourceError: another task is receiving.
        """
        _check_max_bytes(max_bytes)
        if self._receiving:
            raise _busy("receiving from")
        self._receiving = True
        way = self._incoming
        try:
            now = trio.current_time()
            if self._closed or way.readable_at <= now:
                await trio.lowlevel.checkpoint()
            while not self._closed:
                data = way.read(max_bytes, now)
                if data is not None:
                    return data
                await wait_for(way.reader, way.readable_at)
                now = trio.current_time()
            raise _closed()
        except ConnectionResetError as error:
            raise _broken(error) from error
        finally:
            self._receiving = False

    def receive_nowait(self, max_bytes: int | None = None) -> bytes:
        """Receive what has arrived, without waiting.

        Raises:
            WouldBlock: nothing has.
            Exception: as :meth:`receive_some`.
        """
        _check_max_bytes(max_bytes)
        if self._receiving:
            raise _busy("receiving from")
        if self._closed:
            raise _closed()
        try:
            data = self._incoming.read(max_bytes, trio.current_time())
        except ConnectionResetError as error:
            raise _broken(error) from error
        if data is None:
            raise trio.WouldBlock
        return data

    # Sending

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of *data*, waiting while the other end has too much to read.

        If cancelled, or if it raises, some of it may have been sent.

        Raises:
            BrokenResourceError: the connection was reset.
            ClosedResourceError: this end is closed, or has sent EOF.
            BusyResourceError: another task is sending.
        """
        self._begin_to_send()
        try:
            rest = memoryview(data).cast("B")
            await trio.lowlevel.checkpoint()
            while True:
                now = self._check_sendable()
                rest = rest[self._outgoing.write(rest, now) :]
                if not rest:
                    return
                if self._outgoing.pipe.room == 0:
                    await wait_for(self._outgoing.writer, self._outgoing.breaks_at)
                else:
                    # Less was taken than there was room for: who waits for it sees that.
                    await trio.lowlevel.checkpoint()
                    await trio.lowlevel.checkpoint()
        finally:
            self._sending = False

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room for a byte.

        Raises:
            Exception: as :meth:`send_all`.
        """
        self._begin_to_send()
        try:
            await trio.lowlevel.checkpoint()
            self._check_sendable()
            while self._outgoing.pipe.room == 0:
                await wait_for(self._outgoing.writer, self._outgoing.breaks_at)
                self._check_sendable()
        finally:
            self._sending = False

    @property
    def last_arrives_at(self) -> float:
        """When the last of what we have sent arrives, on trio's clock, as far as it ever does."""
        return self._outgoing.pipe.last_at()

    async def wait_all_read(self) -> None:
        """Wait until the other end has received all that we have sent, or has closed.

        If our side has ended, that has to be received too. A connection that breaks
        is waited for no longer.
        """
        way = self._outgoing
        await trio.lowlevel.checkpoint()
        while not way.pipe.closed and way.breaks_at > trio.current_time():
            if way.end_read if way.pipe.ended else not way.pipe.size:
                return
            await wait_for(way.writer, way.breaks_at)

    def _begin_to_send(self) -> None:
        if self._sending:
            raise _busy("sending to")
        self._sending = True

    def _check_sendable(self) -> float:
        """Raise what is in the way of sending; return the time."""
        now = trio.current_time()
        self._check_whole(now)
        if self._outgoing.pipe.ended:
            raise trio.ClosedResourceError("EOF was sent already")
        return now

    def _check_whole(self, now: float) -> None:
        if self._closed:
            raise _closed()
        if self._outgoing.breaks_at <= now:
            error = reset_error()
            raise _broken(error) from error

    # Ending

    async def aclose(self) -> None:
        """Close this end: the other one receives what was sent, and then EOF.

        It is reset instead if something that has arrived was not received, as TCP
        does; or if this is cancelled (``trio.aclose_forcefully``) and our side has not
        been ended before.
        """
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            self._close(cut=not self._outgoing.pipe.ended)
            raise
        self._close(cut=False)
        await trio.lowlevel.cancel_shielded_checkpoint()

    def reset(self) -> None:
        """Close this end as a host does that has crashed: the connection is reset.

        The other end can receive what has arrived by now; what is still under way
        is lost.
        """
        self._close(cut=True)

    def _close(self, *, cut: bool) -> None:
        if self._closed:
            return
        self._closed = True
        now = trio.current_time()
        incoming, outgoing = self._incoming, self._outgoing
        if cut or (incoming.pipe.size and incoming.pipe.next_at() <= now):
            outgoing.pipe.reset(now)
        else:
            outgoing.pipe.end(now)
        incoming.pipe.close()
        outgoing.wake_all()


class MemoryStream(PlainMemoryStream, trio.abc.HalfCloseableStream):
    """One end of a connection in memory, which can end its own side and still receive."""

    async def send_eof(self) -> None:
        """End our side: the other end receives EOF after all that was sent.

        Raises:
            BrokenResourceError: the connection was reset.
            ClosedResourceError: this end is closed.
            BusyResourceError: another task is sending.
        """
        self._begin_to_send()
        try:
            await trio.lowlevel.checkpoint()
            now = trio.current_time()
            way = self._outgoing
            if self._closed or not way.pipe.ended:
                self._check_whole(now)
            way.pipe.end(now)
            way.reader.unpark_all()
        finally:
            self._sending = False


@overload
def memory_stream_pair(
    *,
    capacity: int | None = ...,
    to_server: Faults = ...,
    to_client: Faults = ...,
    half_close: Literal[True] = ...,
    peer: Address = ...,
    local: Address = ...,
) -> tuple[MemoryStream, MemoryStream]: ...


@overload
def memory_stream_pair(
    *,
    capacity: int | None = ...,
    to_server: Faults = ...,
    to_client: Faults = ...,
    half_close: bool,
    peer: Address = ...,
    local: Address = ...,
) -> tuple[MemoryStream, PlainMemoryStream]: ...


def memory_stream_pair(
    *,
    capacity: int | None = CAPACITY,
    to_server: Faults = NONE,
    to_client: Faults = NONE,
    half_close: bool = True,
    peer: Address = MEMORY,
    local: Address = MEMORY,
) -> tuple[MemoryStream, PlainMemoryStream]:
    """Make the two ends of a connection in memory: the client's, and the server's.

    Args:
        capacity: bytes that may wait to be received, each way; ``None``: any number.
        to_server: what happens to the bytes on that way.
        to_client: the same on the way back.
        half_close: whether the server's end can end its side alone. A driver closes
            one that cannot in another way. The client's can in any case.
        peer: the client's address, as the server sees it.
        local: the server's.

    Raises:
        RuntimeError: trio does not run here.
        ValueError: there is no room for a single byte.
    """
    now = trio.current_time()
    up = MemoryPipe(Pipe(to_server, capacity=capacity, now=now))
    down = MemoryPipe(Pipe(to_client, capacity=capacity, now=now))
    up.back, down.back = down, up
    kind = MemoryStream if half_close else PlainMemoryStream
    return MemoryStream(down, up, peer, local), kind(up, down, local, peer)


def _check_max_bytes(max_bytes: int | None) -> None:
    if max_bytes is None:
        return
    if not isinstance(max_bytes, int):
        raise TypeError(f"max_bytes must be a number of bytes, not {max_bytes!r:.100}")
    if max_bytes < 1:
        raise ValueError(f"max_bytes must be at least 1, not {max_bytes}")


def _closed() -> trio.ClosedResourceError:
    return trio.ClosedResourceError("this end of the memory stream was closed")


def _busy(does: str) -> trio.BusyResourceError:
    return trio.BusyResourceError(f"another task is {does} this stream")


def _broken(error: OSError) -> trio.BrokenResourceError:
    return trio.BrokenResourceError(f"memory stream: {error.strerror}")
