"""A protocol driven by hand: no event loop, no clock, no socket.

The harness is a driver like the others, over the same pure ``Connection``; only
that the test decides when bytes arrive, how many leave, and what time it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Generic, TypeVar

from trioproto.factory import Factory, P
from trioproto.sansio.addresses import Address, UnknownAddress
from trioproto.sansio.connection import Connection
from trioproto.sansio.errors import ConnectionClosed
from trioproto.sansio.layer import Layer
from trioproto.sansio.lifecycle import State
from trioproto.sansio.settings import Settings
from trioproto.sansio.transport import Transport
from trioproto.testing.failures import TranscriptError, tells_all
from trioproto.testing.manual_driver import ManualDriver, checked_seconds
from trioproto.testing.pipe import reset_error
from trioproto.testing.targets import Target, factory_of

__tracebackhide__ = tells_all

R = TypeVar("R", bound=ConnectionClosed)

_HERE = UnknownAddress("harness")


class Harness(ManualDriver, Generic[P]):
    r"""One connection of a protocol, driven step by step.

    ::

        harness = Harness(Calculator)
        harness.connect()
        harness.exchange(b"1+1\r\n", b"2\r\n")
        harness.advance(61)
        harness.expect_lost(IdleTimeout)

    What user code raises comes out of the call that led to it, unless
    ``callback_errors="log"`` is given. The factory's ``lifespan`` is not entered.

    Args:
        target: a factory or its class; a protocol, or a class or function that makes one.
        peer: the address that the protocol sees.
        window: bytes that the peer takes before it stalls; ``None``: any number.
        layers: what stands between the bytes and the protocol, such as TLS.
        server_side: whether the peer has made the connection, and not we.
        half_close: whether one side can be ended alone, as over TCP.
        settings: settings of this connection, in place of the factory's.

    Attributes:
        factory: the factory, a private one if *target* is none.
        transcript: what was said, as failures show it.
        write_closed: whether the peer has seen our EOF.

    Raises:
        ValueError: *window* is below 0, also if it is set later; or a setting out of its range.
        TypeError: *target* makes nothing; or an unknown setting.

    Origin: Twisted's ``StringTransport`` and ``Clock``.
    """

    def __init__(
        self,
        target: Target[P],
        *,
        peer: Address | None = None,
        window: int | None = None,
        layers: Iterable[Layer] = (),
        server_side: bool = True,
        half_close: bool = True,
        **settings: Any,
    ) -> None:
        self.factory: Factory[P] = factory_of(target)
        super().__init__()
        self._settings = _settings_of(self.factory, settings)
        self._peer = peer or _HERE
        self._layers = layers
        self._window = _checked(window)
        self._sent = bytearray()
        self._fed_eof = False
        self.server_side = server_side
        self.can_write_eof = half_close

    # What the peer does

    def connect(self) -> P:
        """Build the protocol and open the connection.

        Raises:
            ConnectionRefusedError: ``build_protocol`` returned ``None``.
            RuntimeError: there is a connection already.
        """
        if self._connection is not None:
            raise RuntimeError("a harness is one connection: make another")
        connection = self.factory.accept(self, self._peer, _HERE, self._layers, self._settings)
        if connection is None:
            raise ConnectionRefusedError("build_protocol returned None")
        self._connection = connection
        self.transcript.happened("connected", self._now)
        self._step(connection.open)
        return self.protocol

    def feed(self, data: bytes) -> None:
        """Let bytes arrive, as one chunk; none at all are nothing that arrives.

        Raises:
            RuntimeError: the peer has ended its side before.
            TypeError: *data* is not bytes-like (a ``str``, say).
        """
        connection = self._arriving()
        if not isinstance(data, bytes):
            data = bytes(memoryview(data))
        if data:
            self.transcript.received(data, self._now)
            self._step(connection.feed, data, self._now)

    def feed_eof(self) -> None:
        """Let the peer end its side.

        Raises:
            RuntimeError: it has done so before.
        """
        connection = self._arriving()
        self._fed_eof = True
        self.transcript.happened("EOF received", self._now)
        self._step(connection.feed_eof)

    def _arriving(self) -> Connection:
        connection = self._open
        if self._fed_eof:
            raise RuntimeError("nothing can arrive after feed_eof()")
        return connection

    def reset(self, error: OSError | None = None) -> None:
        """Let the connection break."""
        connection = self._open
        self.transcript.happened("reset received", self._now)
        self._step(connection.lost, error or reset_error())

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
        self._window = _checked(size)
        if self._connection is not None:
            self._take_turn()

    # What else happens

    def advance(self, seconds: float) -> None:
        """Let time pass; each deadline on the way fires at its own time.

        Without any time, those fire that are due now, as of ``linger=0``.

        Raises:
            ValueError: *seconds* are below 0, or no number that time can reach.
        """
        self._advance_to(self._now + checked_seconds(seconds))

    def _advance_to(self, end: float) -> None:
        while (deadline := self._open.deadline) <= end:
            self._now = max(self._now, deadline)
            self._step(self._open.on_timeout, self._now)
        self._now = end

    def drain(self) -> None:
        """Let the server start to drain."""
        connection = self._open
        self.transcript.happened("the server drains", self._now)
        self._step(connection.drain)

    def cancel(self) -> None:
        """Let the server's task be cancelled."""
        connection = self._open
        self.transcript.happened("cancelled", self._now)
        self._step(connection.cancel)

    # What a test says must be

    def expect(self, data: bytes) -> None:
        """Take what the peer has received; fail unless it is *data*.

        Raises:
            TranscriptError: it is not, with the exchange until now.
        """
        came = self.take()
        if came != data:
            raise TranscriptError("not what was to be sent", self.transcript, came, data)

    def exchange(self, data: bytes, answer: bytes) -> None:
        """Let *data* arrive; fail unless *answer* is sent, and nothing else.

        Raises:
            TranscriptError: something else is, or has been since the last ``take``.
        """
        self.feed(data)
        self.expect(answer)

    def expect_lost(self, kind: type[R]) -> R:
        """Return why the connection has ended; fail unless it has, by *kind*.

        Raises:
            TranscriptError: it has not, or by something else.
        """
        reason = self.reason
        if self.lost and isinstance(reason, kind):
            return reason
        otherwise, not_yet = "has ended otherwise", f"has not ended, it is {self.state.name}"
        problem = f"the connection {otherwise if self.lost else not_yet}"
        raise TranscriptError(problem, self.transcript, reason, kind)

    # What is there to see

    @property
    def protocol(self) -> P:
        """The protocol, once connected."""
        return self._open.protocol  # type: ignore[return-value]

    @property
    def transport(self) -> Transport:
        """Its transport, once connected."""
        return self._open

    @property
    def state(self) -> State:
        """Where the connection is in its life."""
        return self._open.state

    @property
    def reading(self) -> bool:
        """Whether a driver would read from the peer now."""
        return self._open.wants_read

    @property
    def deadline(self) -> float:
        """When the next deadline is, as ``time`` counts; ``inf``: there is none."""
        return self._open.deadline

    @property
    def lost(self) -> bool:
        """Whether the connection has ended and ``connection_lost`` was called."""
        return self._open.state is State.LOST

    @property
    def reason(self) -> ConnectionClosed | None:
        """Why the connection ends, or ``None``."""
        return self._open.reason

    # The peer's end, for the driver beneath

    def _room(self, size: int) -> int:
        return size if self._window is None else min(size, self._window)

    def _put(self, data: bytes | memoryview) -> int:
        self._sent += data
        if self._window is not None:
            self._window -= len(data)
        return len(data)


def _checked(window: int | None) -> int | None:
    if window is not None and window < 0:
        raise ValueError(f"window cannot be {window}: the least is 0")
    return window


def _settings_of(factory: Factory[Any], changes: dict[str, Any]) -> Settings:
    """Return the factory's settings, but have what callbacks raise come out; and *changes*."""
    own = factory.settings
    if changes:
        return replace(own, **{"callback_errors": "raise", **changes})
    known: tuple[Settings, Settings] | None = vars(factory).get("_raising")
    if known is None or known[0] is not own:  # making settings takes a fourth of an exchange
        known = vars(factory)["_raising"] = own, replace(own, callback_errors="raise")
    return known[1]
