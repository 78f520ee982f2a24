"""One connection, with no input or output of its own.

A driver feeds it (``feed``, ``feed_eof``, ``lost``, ``on_timeout``, ``drain``,
``cancel``), sends what ``wire`` holds, and looks after each such call at what
it asks for:

* ``pending``: an async callback, to be taken and awaited in the connection's
  task, then ``callback_returned`` or ``callback_raised``;
* ``wants_read``: whether bytes should be read at all;
* ``wants_shutdown``: shut the sending side down (if ``can_write_eof``, and it is
  not ``shut`` already), then ``shut_down``;
* ``deadline``: when to call ``on_timeout``, unless it has moved by then;
* ``state``: from ``ENDED`` on, stop user code, close (with a reset, if it is
  ``broken``), then ``report_lost``;
* ``crash``: an error to be raised out of the driver, after everything else.

While the driver is at work on the connection, and until it looks at it again,
``tell`` is false: nothing that is done then has to be told by ``changed``.

Which callback is due follows from the state alone: ``advance`` makes those that
are, one after the other, until one is async. So there is no queue of calls, and
what a later event has made pointless is never called.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING

from trioproto.sansio import holds
from trioproto.sansio.errors import (
    ConnectionDone,
    ConnectionLost,
    HandshakeFailed,
    HandshakeTimeout,
    ServerCancelled,
    ServerDraining,
)
from trioproto.sansio.lifecycle import Event, State
from trioproto.sansio.protocol import Protocol, check_protocol
from trioproto.sansio.timed import Timed

if TYPE_CHECKING:
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.driver import Driver, Owner
    from trioproto.sansio.errors import ConnectionClosed
    from trioproto.sansio.layer import Layer
    from trioproto.sansio.settings import Settings

_REST_READS = 16
"""Reads with which a drain empties the kernel's buffer, before ``quiesce``."""


class Connection(Timed):
    """The state of one connection; see the module for the contract.

    Attributes:
        made: whether ``connection_made`` was called.
    """

    __slots__ = ("_next", "_reads_left", "made")

    def __init__(
        self,
        protocol: Protocol,
        owner: Owner,
        driver: Driver,
        settings: Settings,
        peer: Address,
        local: Address,
        layers: Iterable[Layer] = (),
    ) -> None:
        super().__init__(protocol, owner, driver, settings, peer, local, layers)
        self.made = False
        self._next: Protocol | None = None
        self._reads_left = _REST_READS

    # What the driver tells us

    def open(self) -> None:
        """Start: attach the protocol, and call ``connection_made`` when ready."""
        self.protocol.transport = self
        self._call(self.protocol.attached)
        timeout = self.settings.handshake_timeout
        if self.layer is not None:
            if timeout is not None:
                self._phase_ends = self.active_at + timeout
            self.encode_part(b"")
        if self.layer is None or self.layer.ready:
            self._layers_are_ready()
            self.advance()

    def feed(self, data: bytes, now: float) -> None:
        """Take bytes from the peer; while closing they are discarded."""
        self.bytes_received += len(data)
        if self.throttle is not None:
            self.spend_received(len(data), now)
        if self.state >= State.FLUSHING or (self._quiesced and self.holds & holds.DRAINING):
            if self.layer is not None and not self.shut:
                # What waits can only be sent after a handshake; an end has to be seen.
                self.decode(data)
                if self.holds & holds.INPUT:
                    self.advance()
            return
        skipping = self.holds & holds.SKIPPING
        if not skipping:
            self.active_at = now
        if self.layer is None:
            self._hold_input(data)
            self.advance()
        else:
            self.feed_decoded(self.decode(data))
        if skipping and not self.holds & holds.SKIPPING:
            self.active_at = now

    def feed_eof(self) -> None:
        """Take the peer's EOF; it is delivered after what came before it."""
        if self._eof:
            return
        self._eof = True
        if self.state is State.LINGERING:
            self._move(Event.FINISH)
        elif self.holds & holds.HANDSHAKING:
            self._break(self._handshake_cut_off())
        elif self.state <= State.WRITE_ENDED:
            self.holds |= holds.INPUT
            self.advance()

    def lost(self, cause: BaseException) -> None:
        """Take a broken stream."""
        done = self.state is State.FLUSHING and self._only_farewell_waits
        if self.state is State.LINGERING or done:
            # Everything was sent; a peer that resets instead of closing is no loss.
            self._move(Event.FINISH)
            return
        reason = ConnectionLost(str(cause) or type(cause).__name__)
        reason.__cause__ = cause.with_traceback(None)  # whose frames would keep us alive
        self._break(reason)

    def shut_down(self) -> None:
        """Take it that our side has been shut down, after the last byte."""
        self.shut = True
        if self.state is State.FLUSHING:
            lingers = self._driver.can_write_eof and not self._eof
            self._move(Event.SHUT_DOWN if lingers else Event.FINISH)

    def drain(self, reason: ConnectionClosed | None = None) -> None:
        """Take what has arrived, deliver it, then ``quiesce``: by default the server drains."""
        if self.draining:
            return
        self.drain_reason = reason or ServerDraining()
        if self.state is State.OPENING and not self._heard:
            self.close(self.drain_reason)
        self.holds |= holds.DRAINING
        self.note_change()

    def cancel(self) -> None:
        """The connection's task is being cancelled from outside."""
        self._break(ServerCancelled())

    def report_lost(self) -> None:
        """Make the last callback; an async one is then ``pending``."""
        reason = self.reason
        assert reason is not None
        if self.pending is not None:
            self.pending.close()
            self.pending = None
        self.holds &= ~holds.CALLBACK
        self._input = None
        self._ask(self.protocol.detached, None)
        self._owner.closed(self)
        self._move(Event.REPORT)
        if self._driver.server_side and isinstance(reason, (HandshakeFailed, HandshakeTimeout)):
            self._owner.opening_failed(self.peer, reason)
        if self.recorder is not None:
            self._ask(self._write_traffic, None)
        if self.made:
            self._call(self.protocol.connection_lost, reason)

    def let_go(self, driver: Driver) -> None:
        """Forget everything that would keep others alive; *driver* answers from now on."""
        self._driver = driver
        self._running = None
        self._next = None
        self.watch = None
        self.throttle = None
        self.layer = None
        del self.protocol

    # What the driver asks

    def begin_turn(self) -> None:
        """Take it that the driver looks at everything now."""
        self.tell = False
        self.holds &= ~(holds.CHANGED | holds.UNSETTLED)

    @property
    def wants_read(self) -> bool:
        """Whether bytes should be read from the peer now."""
        if self._eof or self.holds & holds.RECEIVE_WAITS:
            return False
        if State.OPEN <= self.state <= State.WRITE_ENDED:
            if self.holds & holds.HANDSHAKING:
                return not self.holds & holds.STARTING  # the layers read, whoever holds the rest
            return not self.holds & holds.NO_READ
        return self.state <= State.LINGERING

    # Callbacks

    def advance(self) -> None:
        """Make the callbacks that are due, until one is async or none is."""
        while self._advance_once():
            pass

    def _advance_once(self) -> bool:
        """Make one callback if one is due; say whether to look again."""
        if not (self.holds or self._writing_paused or self.buffered > self.settings.high_water):
            return False
        if self.holds & holds.BUSY or not State.OPEN <= self.state <= State.WRITE_ENDED:
            return False
        if self.holds & (holds.SWITCHING | holds.STARTING):
            if self.holds & holds.STARTING:
                self._begin_handshake()
                return True
            if not self.holds & holds.HANDSHAKING:
                self._switch()
                return True
        if self._cross_water_marks():
            return True
        held = self.holds
        if not held & holds.NO_DELIVERY:
            if held & holds.FRAMES:
                self.holds &= ~holds.FRAMES
                self._call(self.protocol.deliver_held)
                return True
            if self._input:
                self._call(self.protocol.data_received, self._take_input())
                return True
        if held & holds.DRAINING and not (self._quiesced or held & holds.HANDSHAKING):
            if self._reads_on():
                self._read_rest()
                return True
            if not self._undelivered():
                self._quiesced = True
                self._call(self.protocol.quiesce)
                return True
        elif held & holds.INPUT and not held & holds.NO_DELIVERY:
            self.holds &= ~holds.INPUT
            if self._eof:
                self._deliver_eof()
            return True
        return False

    def _reads_on(self) -> bool:
        """Whether to read more in a drain, to be delivered before ``quiesce``.

        Full output, or a pause that came with what was read here, does not mean that
        the rest is not wanted: one chunk is read ahead then, and waits.
        """
        if not self._reads_left or self._eof:
            return False
        stopped = self.holds & holds.NO_DELIVERY
        if not stopped:
            return True
        begun = self._reads_left < _REST_READS
        return (begun or stopped == holds.HIGH_WATER) and not self._undelivered()

    def _read_rest(self) -> None:
        """Read on in a drain, a chunk at a time, until the kernel has no more or it is enough."""
        data = self._driver.read_more()
        self._reads_left = self._reads_left - 1 if data else 0
        self.bytes_received += len(data)
        if data and self.layer is not None:
            data = self.decode(data)
        if data:
            self._hold_input(data)

    def _deliver_eof(self) -> None:
        """Tell the protocol of the peer's end, or end, if the stream was only cut."""
        problem = self._stream_cut_off()
        if problem is None:
            self._call_eof_received()
        else:
            self._break(problem)

    def switch_protocol(self, protocol: Protocol) -> None:
        """Hand the connection over to *protocol*."""
        check_protocol(protocol)
        if self.closing:
            return
        if self._next is not None:
            raise RuntimeError("another protocol is about to take over already")
        self._next = protocol
        protocol.transport = self
        if getattr(protocol, "factory", None) is None:
            protocol.factory = self.protocol.factory
        self.holds |= holds.SWITCHING
        self.note_change()

    def belongs_to(self, protocol: Protocol) -> bool:
        """Whether *protocol* has this connection, or is about to take it over."""
        return self.state < State.LOST and (protocol is self.protocol or protocol is self._next)

    def _switch(self) -> None:
        """Have the next protocol take over."""
        new, self._next = self._next, None
        assert new is not None
        self.holds &= ~(holds.SWITCHING | holds.FRAMES | holds.SKIPPING)
        self._forget_water_marks()
        rest = self._ask(self.protocol.take_rest, b"")
        if rest:
            self._input = [rest, *(self._input or ())]
        if rest or self._eof:
            self.holds |= holds.INPUT
        if self.draining:
            self.holds |= holds.DRAINING
            self._quiesced = False
        self._ask(new.attached, None)
        if self.closing:
            return  # the old one was not replaced, and hears of the end
        self._ask(self.protocol.detached, None)
        self.protocol = new
        self._owner.switched(self)
        self._call(new.connection_made)

    def _end_of_input(self, *, keep_open: bool) -> None:
        if self.state >= State.FLUSHING:
            return
        layer = self.layer
        if keep_open and (self.can_write_eof or layer is None or not layer.marks_end):
            if self.state is State.WRITE_ENDED:
                self._set_reason(ConnectionDone())
            if self.state is not State.READ_ENDED:  # as an earlier protocol has kept it
                self._move(Event.PEER_EOF)
                self._await_peer()
            return
        self.close(self._ask(self.protocol.cut_off, None) or ConnectionDone())

    def _move(self, event: Event) -> None:
        super()._move(event)
        if self.state is State.ENDED:
            self.wire.clear()
            self.count_output()
        if self.throttle is not None:
            self._move_throttled(self.throttle)

    def _layers_are_ready(self) -> None:
        self.tls = None if self.layer is None else self.layer.tls
        self.holds &= ~holds.HANDSHAKING
        if self.state is State.OPENING:
            self._move(Event.READY)
            self._driver.opened()
            if self.layer is not None:
                self.waiting_since = self._driver.time()
                self._opened_with = self.bytes_received
            self._set_watch()
            self._owner.opened(self)
            if self.closing:
                return  # who was told of it has ended it: the protocol hears nothing
            self.made = True
            self._call(self.protocol.connection_made)
        elif self.state < State.FLUSHING:
            self._await_peer()
            self._phase_ends = inf
            self._set_fast_limit()

    @property
    def stopped(self) -> bool:
        """Whether a receiver must not deliver its next frame now."""
        stopping = holds.PAUSED | holds.SWITCHING | holds.STARTING | holds.ALONE
        if self.state >= State.FLUSHING or self.holds & stopping:
            return True
        return self.buffered > self.settings.high_water and self.protocol.auto_pause
