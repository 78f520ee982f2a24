"""What a user subclasses: one object for each connection."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

from trioproto.sansio.errors import ConnectionClosed, FramingError, IdleTimeout

if TYPE_CHECKING:
    from trioproto.sansio.transport import Transport

CallbackResult: TypeAlias = Coroutine[Any, Any, None] | None
"""What a callback returns: nothing, or (an ``async def``) what is to be awaited."""


class Protocol:
    """The handler of one connection.

    Override what you need. Any callback may be ``async def``: it then runs in
    the connection's task, and nothing more is delivered until it has returned.
    Callbacks of one connection never overlap. An exception in one ends this
    connection, and no other.

    A subclass need not call ``super().__init__()``.

    Attributes:
        transport: the connection, from before ``connection_made``, for ever.
        factory: the factory that built this protocol (a private default one
            under ``run_protocol``). Annotate it with your own class to have
            its attributes checked.
        auto_pause: stop reading from this peer while more than ``high_water``
            bytes wait to be sent to it. ``False`` leaves that to
            ``pause_writing`` and ``resume_writing``.

    Origin: Twisted howto "Writing Servers", Protocols.
    """

    transport: Transport
    factory: Any
    auto_pause: bool = True

    def connection_made(self) -> CallbackResult:
        """The connection is open; the first callback."""

    def data_received(self, data: bytes) -> CallbackResult:
        """Bytes have arrived: at least one, cut anywhere.

        There are at most ``read_size``, with TLS or a ``traffic_log`` up to 16 KiB
        more, but for what an earlier protocol left.
        """

    def eof_received(self) -> bool | Coroutine[Any, Any, bool | None] | None:
        """The peer has ended its side, and everything before it was delivered.

        Returns:
            True to keep our side open for writing; anything false closes the
            connection once waiting output is sent.
        """

    def connection_lost(self, reason: ConnectionClosed) -> CallbackResult:
        """The connection has ended; the last callback, exactly once.

        All other callbacks and tasks of the connection have ended. An async
        one may take ``cleanup_timeout`` seconds, even under cancellation.
        """

    def pause_writing(self) -> CallbackResult:
        """More than ``high_water`` bytes wait to be sent."""

    def resume_writing(self) -> CallbackResult:
        """At most ``low_water`` bytes wait, after ``pause_writing``."""

    def timed_out(self) -> CallbackResult:
        """The peer was silent for ``idle_timeout`` seconds; by default, close.

        If the connection is still open afterwards, the time starts again.
        """
        self.transport.close(IdleTimeout(self.transport.timeout or 0))
        return None

    def quiesce(self) -> CallbackResult:
        """The connection is to end soon, and what was received is delivered; by default, close.

        The server drains, or the connection has reached ``max_age``.
        Who overrides this calls ``transport.close()`` when the running exchange
        is over. Nothing more is read, unless ``transport.resume_reading()`` is
        called from here on.
        """
        self.transport.close(self.transport.drain_reason)
        return None

    # For receivers: the contract between a connection and what cuts its bytes
    # into frames.

    def attached(self) -> None:
        """``transport`` and ``factory`` are set: make the receiver's own state."""

    def detached(self) -> None:
        """The connection has ended, or another protocol takes it over: let go of held frames."""

    def deliver_held(self) -> CallbackResult:
        """Go on with frames kept back since ``transport.hold_frames()``."""

    def cut_off(self) -> FramingError | None:
        """Return what is wrong if the peer's input ends here, in the middle of a frame, say."""
        return None

    def in_frame(self) -> bool | None:
        """Return whether the peer has begun a frame and not ended it; ``None``: cannot tell."""
        return None

    def take_rest(self) -> bytes:
        """Give up, in order, what has arrived and was not delivered, to another protocol."""
        return b""


def check_protocol(protocol: object) -> None:
    """Refuse what is no protocol, or one that has a connection.

    Raises:
        TypeError: it is none; a coroutine is closed.
        RuntimeError: it is in use already.
    """
    if not isinstance(protocol, Protocol):
        close = getattr(protocol, "close", None)
        if isinstance(protocol, Awaitable) and close is not None:
            close()
        raise TypeError(f"{protocol!r:.100} is not a Protocol")
    transport = getattr(protocol, "transport", None)
    if transport is not None and transport.belongs_to(protocol):
        raise RuntimeError(f"{protocol!r:.100} is in use already")
