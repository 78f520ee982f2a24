"""What a protocol may do to its connection.

This is the half that users see. The other half, which drivers feed, is
:class:`~trioproto.sansio.connection.Connection`, its only subclass; both are
one object so that a ``write`` costs one call.

No method here sends, or calls back. Each changes the books at once, and the
driver acts on them when the running callback has returned or waits, or, if the
call came from elsewhere (another connection, a task), in the connection's own
turn shortly after.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

from trioproto.sansio import holds
from trioproto.sansio.books import OFFER_SIZE, Books
from trioproto.sansio.errors import (
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    NotSupported,
    OutboundOverflow,
)
from trioproto.sansio.lifecycle import Event, State

if TYPE_CHECKING:
    from trioproto.sansio.protocol import Protocol
    from trioproto.sansio.recording import Recording
    from trioproto.sansio.settings import TimeoutName
    from trioproto.sansio.tls_info import TLSContext

BytesLike: TypeAlias = bytes | bytearray | memoryview


class Transport(Books):
    """One connection, as its protocol sees it.

    Every attribute and every plain method can be used at any time, also after
    the end and in ``connection_lost``: a late ``write`` is discarded, a late
    ``close`` does nothing.

    Attributes:
        peer: the other side's address.
        local: our own.
        settings: the factory's settings when the connection was accepted.
        timeout: seconds of silence after which ``timed_out`` is called, or
            ``None``.
        drain_reason: why the connection is to end soon, because the server drains or
            the connection has reached its age; or ``None``.
        tls: what the TLS handshake agreed on, or ``None`` without TLS.
        proxy_header: the PROXY header that the connection came with, or ``None``.
        began_at: when the connection began, in trio's time.
        bytes_received: bytes that have come, as they were on the wire: with TLS
            and discarded ones, without a PROXY header.
        bytes_sent: bytes that the stream or the kernel has taken.

    Attributes for drivers and receivers:
        tell: whether the driver wants ``changed()`` called. It does not while
            it is at work on this connection, or has been told already.
        broken: whether the end was a hard one, to be shown as a reset.
        active_at: when the peer last sent something, or we began to wait for it.
        holds: what keeps the connection off the fast path.
        throttle: the rates that it keeps to, or ``None`` if there are none.
        waiting_since: since when the peer was waited for, whether it sent or not.
        watch: keeps the deadlines that are off by default, if one is set.

    Origin: Twisted's ITransport and IConsumer, asyncio's transports.
    """

    __slots__ = ()

    # Writing

    def write(self, data: BytesLike) -> None:
        """Queue bytes to be sent, in order.

        ``bytes`` are kept as they are; anything else is copied at once. After
        ``close``, ``abort``, ``write_eof`` or loss the data is discarded. One
        write may be of any size; a write that finds more than ``max_buffered``
        bytes waiting aborts the connection with ``OutboundOverflow``.

        Raises:
            TypeError: *data* is not bytes-like (a ``str``, say).
        """
        if not isinstance(data, bytes):
            data = _as_bytes(data)
        if not data:
            return
        outbound = self.outbound
        size = outbound.size + len(data)
        if size > self._fast_limit:
            self._write_slowly(data)
            return
        outbound.pieces.append(data)
        outbound.size = size
        if self.tell:
            self.tell = False
            self._driver.changed()

    def writelines(self, chunks: Iterable[BytesLike]) -> None:
        """Queue several chunks as one write."""
        self.write(b"".join(chunks))

    async def send(self, data: BytesLike) -> None:
        """Write, and wait until less than ``high_water`` bytes wait to be sent.

        This is how async code streams: it goes as fast as the peer reads. Once
        it returns or is cancelled, all of *data* is queued.

        Raises:
            ConnectionClosed: the connection's reason, once it is closing.
        """
        self.write(data)
        await self._driver.wait_writable()

    async def send_file(
        self, path: str | PathLike[str], offset: int = 0, count: int | None = None
    ) -> int:
        """Send *count* bytes of a file from *offset* (all of the rest by default).

        What was written before is sent before, what is written meanwhile after
        it. If cancelled, the peer has got a part of it; ``abort()`` then.

        Returns:
            The bytes sent: fewer than *count* if the file ends earlier.

        Raises:
            ConnectionClosed: the connection's reason, once it is closing.
            OSError: the file cannot be read.
            ValueError: *offset* or *count* is negative.

        Origin: Twisted's FileSender, asyncio's ``loop.sendfile``.
        """
        if offset < 0 or (count is not None and count < 0):
            raise ValueError("offset and count must be at least 0")
        return await self._driver.send_file(path, offset, count)

    @property
    def buffered(self) -> int:
        """Bytes that wait to be sent."""
        return self.outbound.size

    @property
    def can_write_eof(self) -> bool:
        """Whether ``write_eof`` is supported."""
        raise NotImplementedError

    def write_eof(self) -> None:
        """End our side once everything waiting is sent; reading goes on.

        Does nothing if our side has ended already.

        Raises:
            NotSupported: this kind of stream cannot end one side alone.
        """
        if not self.can_write_eof:
            raise NotSupported("this stream cannot end one side alone")
        if self.state is State.OPEN or self.state is State.READ_ENDED:
            if self.state is State.READ_ENDED:
                self._set_reason(ConnectionDone())
            self._move(Event.WRITE_EOF)
            self.note_change()

    # Another protocol

    def switch_protocol(self, protocol: Protocol) -> None:
        """Hand the connection over to *protocol*, with every byte that was not delivered.

        When the running callback has ended, *protocol* is attached, its
        ``connection_made`` is called, and it gets the unread bytes, in order;
        nothing more is delivered to the old protocol, not even
        ``connection_lost``; it may take over again. What it has written is sent
        first. If the
        connection ends before that, *protocol* hears nothing, and the old one
        hears of the end. On a closing connection this does nothing. What the
        old one was told of the peer's EOF, of full buffers and of a drain, the
        new one is told again.

        The transport, its settings, pauses, timeout and tasks stay as they are,
        and so does a file that is being sent. *protocol* keeps its ``factory``
        if it has one, and gets this connection's otherwise. In
        ``eof_received``, return True to keep the connection open for it.

        Raises:
            TypeError: *protocol* is no Protocol.
            RuntimeError: *protocol* is in use, or another one is about to take
                over already.
        """
        raise NotImplementedError

    def belongs_to(self, protocol: Protocol) -> bool:
        """Whether *protocol* has this connection, or is about to take it over."""
        raise NotImplementedError

    def start_tls(
        self,
        context: TLSContext,
        *,
        server_hostname: str | None = None,
        server_side: bool | None = None,
    ) -> None:
        """Go on in TLS: what is written from the call on is encrypted.

        What was written before goes out as it is. The handshake begins when the
        running callback has ended, and has to be done in ``handshake_timeout``
        seconds; until then nothing is delivered, and what is written waits. Then
        ``tls`` says what was agreed on, and the protocol goes on as before.
        After ``switch_protocol`` in the same callback the new protocol's
        ``connection_made`` is called only when the handshake is done.

        Bytes that have arrived and were not delivered when the running callback
        ends came in plain: somebody may have injected them. They are never
        delivered; the connection is reset (``EarlyPlaintext``). A handshake that
        fails ends the connection with ``HandshakeFailed`` or ``HandshakeTimeout``.
        On a closing connection this does nothing.

        Args:
            context: for our side; on a server also what finds one for the name
                that the client asks for, as ``Certificates`` do.
            server_hostname: on a client, the name that is asked for and verified.
            server_side: whether we are the server; by default as the connection
                was made: accepted, or by ``connect``.

        Raises:
            RuntimeError: a handshake or a file is under way, or one side has ended.
            ssl.SSLError: *context* is not for this side.
            TypeError: it is none, or a client's is no ``SSLContext``.
            ValueError: *context* checks names and there is no *server_hostname*.

        Origin: Twisted's ``startTLS``; RFC 3207, and section 6 for the injection.
        """
        raise NotImplementedError

    # Ending

    @property
    def draining(self) -> bool:
        """Whether the connection is to end soon: ``quiesce`` was called, or will be."""
        return self.drain_reason is not None

    @property
    def closing(self) -> bool:
        """Whether the connection is closing or closed."""
        return self.state >= State.FLUSHING

    def close(self, reason: ConnectionClosed | None = None) -> None:
        """End cleanly: send what waits, shut down, linger briefly, close.

        Nothing more is delivered from the call on. *reason* (by default
        ``ConnectionDone``) is what ``connection_lost`` gets. On a connection
        that is closing already this does nothing, but that a *reason* takes
        the place of a plain ``ConnectionDone``.

        Origin: Twisted's ``loseConnection``.
        """
        if self.state >= State.FLUSHING:
            if reason is not None and type(self.reason) is ConnectionDone:
                self.reason = reason
            return
        self._set_reason(reason or ConnectionDone())
        self._move(Event.CLOSE)
        self.note_change()

    def abort(self, reason: ConnectionClosed | None = None) -> None:
        """End at once: drop what waits, reset the connection.

        Nothing more is sent or delivered from the call on. Can be repeated.

        Origin: Twisted's ``abortConnection``.
        """
        self._break(reason or ConnectionAborted())

    async def wait_closed(self) -> ConnectionClosed:
        """Wait until ``connection_lost`` has returned; return its reason.

        Not for the connection's own callbacks, which end before that.
        """
        await self._driver.wait_closed()
        assert self.reason is not None
        return self.reason

    async def wait_draining(self) -> None:
        """Wait until the server drains, or this connection ends."""
        await self._driver.wait_draining()

    def exempt(self) -> None:
        """Count this connection in no limit of the factory's any more.

        For long-lived ones that are to keep nobody out: they still belong to
        ``factory.connections``, and are drained like the others.
        """
        self._driver.exempt()

    # Reading

    def pause_reading(self) -> None:
        """Deliver nothing more until ``resume_reading``; a flag, not a count.

        In a receiver's callback it stops after the frame in hand.
        """
        if not self.holds & holds.PAUSED:
            self.holds |= holds.PAUSED
            self.note_change()

    def resume_reading(self) -> None:
        """Go on delivering, in order."""
        lifted = holds.PAUSED | (holds.DRAINING if self._quiesced else 0)
        if self.holds & lifted:
            self.holds &= ~lifted
            self._await_peer()
            self.note_change()

    def set_timeout(self, value: float | None, name: TimeoutName = "idle_timeout") -> None:
        """Change a deadline for this connection alone; the idle time starts again.

        ``max_age`` counts from the begin of the connection and ``first_byte_timeout``
        from its opening, as before; a rate counts from now on, and a callback that runs
        has the new time from now on. A handshake, a flush, a linger or the grace of an
        old connection that has begun keeps its time. After the end this does nothing.

        Args:
            value: seconds (bytes a second for ``min_receive_rate``), or ``None``
                for no such deadline, where the setting may be that.
            name: which of the settings that are deadlines.

        Raises:
            ValueError: *value* is out of the setting's range, or *name* is none of them.
        """
        raise NotImplementedError

    # Tasks and the socket

    def start_soon(self, async_fn: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Start a task in the connection's nursery.

        It is cancelled as soon as the connection starts to close, has ended
        before ``connection_lost``, and its error ends the connection. On a
        closing connection nothing is started.
        """
        if not self.closing:
            self._driver.start_soon(async_fn, args)
            self.note_change()

    def getsockopt(self, level: int, option: int, buffersize: int = 0) -> int | bytes:
        """Read an option of the socket.

        Raises:
            NotSupported: there is no socket.
        """
        return self._driver.getsockopt(level, option, buffersize)

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option of the socket.

        Raises:
            NotSupported: there is no socket.
        """
        self._driver.setsockopt(level, option, value)

    # The traffic log

    def traffic(self) -> Recording | None:
        """Take a recording of the last bytes that passed; ``None`` without a ``traffic_log``.

        It shows what the protocol has received and written, without TLS; the
        last of it may not have reached the peer. Also after the end, for as long
        as this transport is kept. It costs a copy, and what ``redact`` costs.
        """
        raise NotImplementedError

    # For receivers

    @property
    def stopped(self) -> bool:
        """Whether a receiver must not deliver its next frame now."""
        raise NotImplementedError

    def hold_frames(self) -> None:
        """Say that frames are kept back; ``deliver_held`` is called in time."""
        self.holds |= holds.FRAMES
        self._tell_driver()

    def skip_input(self, skipping: bool) -> None:
        """Say whether input is being discarded, and so is no activity."""
        if skipping:
            self.holds |= holds.SKIPPING
        elif self.holds & holds.SKIPPING:
            self.holds &= ~holds.SKIPPING
            self._await_peer()

    def count_output(self) -> None:
        """Have the factory know how much waits."""
        raise NotImplementedError

    def _write_slowly(self, data: bytes) -> None:
        """Write when a limit is near, or not at all."""
        if not self.may_write:
            return
        outbound = self.outbound
        limit = self.settings.max_buffered
        if self.buffered > min(OFFER_SIZE, limit):
            self._driver.offer()
            if self.buffered > limit:
                self.abort(OutboundOverflow(self.buffered, limit))
            if not self.may_write:
                return
        outbound.append(data)
        if self.buffered > OFFER_SIZE:
            self._driver.offer(one_turn=True)  # what the kernel takes does not count
        self.count_output()
        self.note_change()


def _as_bytes(data: object) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    try:
        return bytes(memoryview(data))  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not {type(data).__name__!r}") from None
