"""A protocol driven by hand: no event loop, no clock, no socket.

The harness is a driver like the others, over the same pure ``Connection``; only
that the test decides when bytes arrive, how many leave, and what time it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from errno import ECONNRESET
from os import PathLike
from typing import Any, Generic, NoReturn, TypeVar

from trioproto.factory import Factory
from trioproto.sansio.addresses import Address, UnknownAddress
from trioproto.sansio.connection import Connection
from trioproto.sansio.errors import (
    AsyncCallbackError,
    CallbackError,
    ConnectionClosed,
    ConnectionDone,
    NotSupported,
)
from trioproto.sansio.lifecycle import State
from trioproto.sansio.protocol import Protocol
from trioproto.sansio.settings import Settings
from trioproto.sansio.transport import Transport

P = TypeVar("P", bound=Protocol)

_NO_LOOP = (
    "a harness has no event loop: serve the protocol over a trio memory stream "
    "(factory.handle, run_protocol) to run async callbacks and tasks"
)


class _Bench:
    """What the harnesses of one factory share, so that steps never nest."""

    def __init__(self) -> None:
        self.busy = False
        self.marked: list[Harness[Any]] = []


class Harness(Generic[P]):
    """One connection of a protocol, driven step by step.

    What user code raises comes out of the call that led to it, unless the
    settings say ``callback_errors="log"``.

    Args:
        target: a protocol, or a factory that builds it.
        settings: in place of the factory's.
        peer: the address that the protocol sees.
        window: bytes that the peer takes before it stalls; ``None``: any number.

    Attributes:
        factory: the factory, a private one if *target* is a protocol.
        write_closed: whether the peer has seen our EOF.
    """

    can_write_eof = True
    server_side = True

    def __init__(
        self,
        target: P | Factory[P],
        *,
        settings: Settings | None = None,
        peer: Address | None = None,
        window: int | None = None,
    ) -> None:
        if isinstance(target, Factory):
            self.factory: Factory[P] = target
        else:
            self.factory = Factory(lambda: target)
        if settings is None:
            settings = replace(self.factory.settings, callback_errors="raise")
        self._settings = settings
        self._bench: _Bench = vars(self.factory).setdefault("_bench", _Bench())
        self.write_closed = False
        self._peer = peer or UnknownAddress("harness")
        self._connection: Connection | None = None
        self._sent = bytearray()
        self._now = 0.0
        self._window = window

    def connect(self) -> P:
        """Build the protocol and open the connection."""
        self._connection = self._connect()
        self._step(self._connection.open)
        return self.protocol

    def _connect(self) -> Connection:
        monitor, local = self.factory._monitor, UnknownAddress("harness")
        monitor.accepted(self._peer, local)
        try:
            connection = self.factory.connect(self, self._peer, local, settings=self._settings)
        except Exception as exc:
            reason = exc if isinstance(exc, CallbackError) else CallbackError("build_protocol")
            monitor.never_begun(self._peer, local, reason)
            raise
        if connection is None:
            monitor.never_begun(self._peer, local, ConnectionDone())
            raise ConnectionRefusedError("build_protocol returned None")
        return connection

    def feed(self, data: bytes) -> None:
        """Let bytes arrive, as one chunk."""
        self._step(self._open.feed, data, self._now)

    def feed_eof(self) -> None:
        """Let the peer end its side."""
        self._step(self._open.feed_eof)

    def reset(self, error: OSError | None = None) -> None:
        """Let the connection break."""
        self._step(self._open.lost, error or OSError(ECONNRESET, "connection reset by peer"))

    def advance(self, seconds: float) -> None:
        """Let time pass; each deadline on the way fires at its own time."""
        end = self._now + seconds
        while (deadline := self._open.deadline) <= end:
            self._now = max(self._now, deadline)
            self._step(self._open.on_timeout, self._now)
        self._now = end

    def drain(self) -> None:
        """Let the server start to drain."""
        self._step(self._open.drain)

    def cancel(self) -> None:
        """Let the server's task be cancelled."""
        self._step(self._open.cancel)

    def take(self) -> bytes:
        """Return what the peer has received since the last call."""
        sent = bytes(self._sent)
        self._sent.clear()
        return sent

    @property
    def window(self) -> int | None:
        """Bytes that the peer takes from now on; ``None``: any number."""
        return self._window

    @window.setter
    def window(self, size: int | None) -> None:
        self._window = size
        if self._connection is not None:
            self._step(_nothing)

    @property
    def protocol(self) -> P:
        """The protocol, once connected."""
        return self._open.protocol  # type: ignore[return-value]

    @property
    def transport(self) -> Transport:
        """Its transport, once connected."""
        return self._open

    @property
    def reading(self) -> bool:
        """Whether a driver would read from the peer now."""
        return self._open.wants_read

    @property
    def lost(self) -> bool:
        """Whether the connection has ended and ``connection_lost`` was called."""
        return self._open.state is State.LOST

    @property
    def reason(self) -> ConnectionClosed | None:
        """Why the connection ends, or ``None``."""
        return self._open.reason

    @property
    def _open(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("connect() first")
        return self._connection

    def _step(self, action: Callable[..., None], *args: Any) -> None:
        """Take a step, and then those that it has led to in other harnesses."""
        if self._bench.busy:
            raise RuntimeError("a harness cannot be driven from inside a callback")
        self._bench.busy = True
        try:
            self._open.tell = False
            action(*args)
            self._turn()
            while self._bench.marked:
                self._bench.marked.pop(0)._turn()
        finally:
            self._bench.busy = False

    def _turn(self) -> None:
        """Do what a driver does after each event."""
        connection = self._open
        connection.begin_turn()
        self._refuse_async()
        changed = True
        while changed:
            changed = self._flush()
            self._refuse_async()
        if connection.state is State.ENDED:
            connection.report_lost()
            self._refuse_async()
        connection.tell = True
        crash, connection.crash = connection.crash, None
        if crash is not None:
            raise crash

    def _flush(self) -> bool:
        """Send what the window allows; say whether the connection may have changed."""
        connection = self._open
        before = connection.state, connection.buffered, connection.sendable
        sent = self._send()
        connection.output_tried(sent, self._now)
        if connection.wants_shutdown:
            self.write_closed = True
            connection.shut_down()
        connection.advance()
        return before != (connection.state, connection.buffered, connection.sendable)

    def _send(self) -> int:
        sent = 0
        connection = self._open
        connection.encode_output()
        wire = connection.wire
        while data := wire.peek():
            count = len(data) if self._window is None else min(len(data), self._window)
            count = count and connection.send_size(count, self._now)
            if not count:
                break
            self._sent += data[:count]
            wire.sent(count)
            connection.spend_sent(count, self._now)
            sent += count
            if self._window is not None:
                self._window -= count
            connection.encode_output()
        return sent

    def _refuse_async(self) -> None:
        pending = self._open.take_pending()
        if pending is not None:
            pending.close()
            self._open.callback_raised(AsyncCallbackError(_NO_LOOP))

    # The driver's interface

    def time(self) -> float:
        """Return the time that ``advance`` has reached."""
        return self._now

    def invoke(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Call user code."""
        return callback(*args)

    def opened(self) -> None:
        """Count nothing: there are no limits."""

    def exempt(self) -> None:
        """Count nothing: there are no limits."""

    def changed(self) -> None:
        """Take a turn: at once, or when the running step is over."""
        self._bench.marked.append(self)
        if not self._bench.busy:
            self._step(_nothing)

    def offer(self, *, one_turn: bool = False) -> None:
        """Send what the window allows."""
        self._open.output_tried(self._send(), self._now)

    def read_more(self) -> bytes:
        """Return nothing: what was fed has been taken already."""
        return b""

    def start_soon(
        self, async_fn: Callable[..., Awaitable[object]], args: tuple[Any, ...]
    ) -> NoReturn:
        """Refuse: there is no nursery."""
        raise AsyncCallbackError(_NO_LOOP)

    def getsockopt(self, level: int, option: int, buffersize: int = 0) -> NoReturn:
        """Refuse: there is no socket."""
        raise NotSupported("there is no socket")

    def setsockopt(self, level: int, option: int, value: int | bytes) -> NoReturn:
        """Refuse: there is no socket."""
        raise NotSupported("there is no socket")

    async def wait_writable(self) -> None:
        """Refuse: there is nothing to wait with."""
        raise AsyncCallbackError(_NO_LOOP)

    async def wait_closed(self) -> None:
        """Refuse: there is nothing to wait with."""
        raise AsyncCallbackError(_NO_LOOP)

    async def wait_draining(self) -> None:
        """Refuse: there is nothing to wait with."""
        raise AsyncCallbackError(_NO_LOOP)

    async def send_file(self, path: str | PathLike[str], offset: int, count: int | None) -> int:
        """Refuse: there is nothing to wait with."""
        raise AsyncCallbackError(_NO_LOOP)


def _nothing() -> None:
    """Take a step in which nothing happens but a turn."""
