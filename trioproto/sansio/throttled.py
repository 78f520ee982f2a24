"""A connection that may read and send only so many bytes a second.

The waits are two holds, which ``on_timeout`` ends: while ``RECEIVE_WAITS`` is held
nothing is read (what was read is delivered), while ``SEND_WAITS`` is held nothing
is sent. It is we who wait then, and not for the peer: no deadline of the peer's
runs meanwhile. A connection without any rate has no ``throttle``, and pays nothing.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from trioproto.sansio import holds
from trioproto.sansio.layered import Layered
from trioproto.sansio.lifecycle import State
from trioproto.sansio.throttle import Throttle

if TYPE_CHECKING:
    from trioproto.sansio.throttle import Totals

_WAITS = holds.RECEIVE_WAITS | holds.SEND_WAITS


class Throttled(Layered):
    """The part of a connection that keeps to the rates."""

    __slots__ = ()

    # What the driver asks

    def receive_size(self, now: float) -> int:
        """Return how many of the bytes that have come may be read now; 0: none, for a while."""
        size = self.settings.read_size
        if self.throttle is None:
            return size
        size = self.throttle.receive.ask(size, now)
        if not size:
            self._begin_wait(holds.RECEIVE_WAITS, now)
        return size

    def receive_size_ahead(self, now: float) -> int:
        """Return how many bytes may be read at a time by who cannot tell whether any have come."""
        size = self.settings.read_size
        return size if self.throttle is None else self.throttle.receive.quantum(size, now)

    def send_size(self, most: int, now: float) -> int:
        """Return how many of *most* bytes, at least 1, may be sent now; 0: none, for a while."""
        if self.throttle is None:
            return most
        if self.holds & holds.SEND_WAITS:
            return 0
        size = self.throttle.send.ask(most, now)
        if not size:
            self._begin_wait(holds.SEND_WAITS, now)
        return size

    # What the driver tells us

    def spend_received(self, count: int, now: float) -> None:
        """Take it that *count* bytes were read."""
        if self.throttle is not None:
            self.throttle.receive.moved(count, now)
            if self.throttle.receive.due > now:
                self._begin_wait(holds.RECEIVE_WAITS, now)

    def spend_sent(self, count: int, now: float) -> None:
        """Take it that *count* bytes were sent."""
        if self.throttle is not None and count:
            self.throttle.send.moved(count, now)

    # What the factory tells us

    def throttle_by(self, totals: Totals) -> None:
        """Keep to the rates of our settings and to *totals*, which may have changed."""
        settings = self.settings
        rates = totals.limited or settings.receive_rate or settings.send_rate
        if not rates:
            if self.throttle is not None:
                self._end_throttle(self.throttle)
        elif self.throttle is None:
            self.throttle = Throttle(settings, totals)
            self.holds |= holds.THROTTLED
            self.note_change()
        elif self.holds & _WAITS:
            self.note_change()

    def _end_throttle(self, throttle: Throttle) -> None:
        throttle.let_go()
        self._end_waits(inf, self._driver.time())
        self.throttle = None
        self.holds &= ~holds.THROTTLED
        self.note_change()

    # Waiting

    def _begin_wait(self, hold: int, now: float) -> None:
        """Neither the handshake's nor the flush's time runs while we make it wait."""
        if self.holds & hold:
            return
        self.holds |= hold
        flushes = self.state is State.FLUSHING and hold == holds.SEND_WAITS
        if flushes or self.holds & holds.HANDSHAKING:
            self._phase_ends += self._wait_ends(hold) - now

    def _move_throttled(self, throttle: Throttle) -> None:
        """Take a transition: allow a flush the rest of a wait, or let everything go."""
        if self.state is State.FLUSHING and self.holds & holds.SEND_WAITS:
            self._phase_ends += max(0.0, throttle.send.due - self._driver.time())
        elif self.state is State.ENDED:
            throttle.let_go()

    def _end_waits(self, until: float, now: float) -> None:
        """End the waits whose time has come by *until*; the peer's time goes on from there."""
        if self.holds & holds.RECEIVE_WAITS and self._wait_ends(holds.RECEIVE_WAITS) <= until:
            self.holds &= ~holds.RECEIVE_WAITS
            self.active_at = self.waiting_since = now
        if self.holds & holds.SEND_WAITS and self._wait_ends(holds.SEND_WAITS) <= until:
            self.holds &= ~holds.SEND_WAITS
            if self._blocked_at != inf:
                self._stop_idle_clock(now)
                self._blocked_at = now

    def _wait_ends(self, hold: int) -> float:
        """Return when a wait ends, as far as can be told now."""
        assert self.throttle is not None
        gate = self.throttle.receive if hold == holds.RECEIVE_WAITS else self.throttle.send
        return gate.due

    def _next_wait_ends(self) -> float:
        """Return when the first of the waits ends; ``inf`` if there is none."""
        return min(
            (
                self._wait_ends(hold)
                for hold in (holds.RECEIVE_WAITS, holds.SEND_WAITS)
                if self.holds & hold
            ),
            default=inf,
        )
