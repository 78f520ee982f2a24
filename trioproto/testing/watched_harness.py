"""A harness that watches the order of its protocol's callbacks, and has its clock set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from trioproto.factory import P
from trioproto.sansio import holds
from trioproto.sansio.lifecycle import State
from trioproto.sansio.protocol import Protocol
from trioproto.testing.harness import Harness

DATA = ("data_received", "deliver_held", "eof_received")
"""Callbacks that deliver what the peer has sent."""
CALLBACKS = (
    "pause_writing",
    "resume_writing",
    "timed_out",
    "quiesce",
    *DATA,
    "connection_made",
    "connection_lost",
)


class CallbackOrder:
    """What is known of the callbacks of one connection.

    Attributes:
        problem: the first thing that was wrong with their order, or ``None``.
    """

    def __init__(self) -> None:
        self.problem: str | None = None
        self._protocol: Protocol | None = None
        self._running = ""
        self._ended = False
        self._lost = False

    def call(
        self, name: str, callback: Callable[[], Any], protocol: Protocol, *, closing: bool
    ) -> Any:
        """Make a callback of *protocol*, whose connection is *closing* or not."""
        self.problem = self.problem or self._wrong(name, protocol, closing)
        outer, self._running = self._running, name
        if protocol is not self._protocol:
            self._protocol, self._ended = protocol, False
        self._ended = self._ended or name == "eof_received"
        self._lost = self._lost or name == "connection_lost"
        try:
            return callback()
        finally:
            self._running = outer

    def _wrong(self, name: str, protocol: Protocol, closing: bool) -> str | None:
        """Say what is wrong with calling *name* now."""
        new = protocol is not self._protocol
        if self._running:
            return f"{name} was called inside {self._running}"
        if self._lost:
            return f"{name} was called after connection_lost"
        if name == "connection_made":
            return None if new else "connection_made was called twice"
        if new:
            return f"{name} was called before connection_made"
        if closing and name != "connection_lost":
            return f"{name} was called on a connection that is closing"
        if self._ended and name in DATA:
            return f"{name} was called after eof_received"
        return None


class WatchedHarness(Harness[P]):
    """One connection of several, which somebody else drives with one clock for all.

    Args:
        *args: as of a harness.
        losses: numbers the losses of all connections, in the order in which they come.
        **options: as of a harness.

    Attributes:
        order: what is known of the callbacks.
        loss: the number of this connection's loss, if ``connection_lost`` was called.
    """

    def __init__(self, *args: Any, losses: Iterator[int], **options: Any) -> None:
        super().__init__(*args, **options)
        self.order = CallbackOrder()
        self.loss: int | None = None
        self._losses = losses

    def invoke(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Call user code, and note it if it is a callback."""
        connection = self._connection
        name = None if connection is None else _name_of(callback, connection.protocol)
        if connection is None or name is None:
            return callback(*args)
        if name == "connection_lost":
            self.loss = next(self._losses)
        call = partial(callback, *args)
        return self.order.call(name, call, connection.protocol, closing=connection.closing)

    @property
    def connected(self) -> bool:
        """Whether it was not refused."""
        return self._connection is not None

    @property
    def paused(self) -> bool:
        """Whether somebody has paused reading."""
        return bool(self._open.holds & holds.PAUSED)

    @property
    def entered(self) -> bool:
        """Whether it is among the open connections."""
        return self._open.state is not State.OPENING and not self.lost

    @property
    def last_write(self) -> int:
        """How many bytes of the last write wait, at most."""
        outbound = self._open.outbound
        last = outbound.pieces[-1] if outbound.pieces else outbound.head
        return 0 if last is None else len(last)

    def set_time(self, now: float) -> None:
        """Let it be *now*; what is due then is done by ``advance(0)``."""
        self._now = now

    def receive_size(self) -> int:
        """Return how many bytes a driver would read now; 0: none, for a while."""
        return self._open.receive_size(self._now)


def _name_of(callback: Callable[..., Any], protocol: Protocol) -> str | None:
    """Return which callback this is, though its function may be called otherwise."""
    name: str | None = getattr(callback, "__name__", None)
    if name in CALLBACKS:
        return name
    return next((each for each in CALLBACKS if getattr(protocol, each) == callback), None)
