"""Bytes a second: token buckets, and how connections share one without a queue.

A bucket counts two things, in bytes: how many have been *accrued* (its rate
times the time, and the burst that it was full of at first) and how many have been
*spent*. Who spends some is told how far the spending has come, its *place*; the
bytes may be moved when as many have been accrued. So a spender that finds others
before it is behind them, whoever comes later is behind it, and there is neither a
queue to be served nor a task to serve it: first come, first served, as in the
virtual scheduling of ATM's leaky bucket (ITU-T I.371). Places are bytes, not
times: a change of the rate counts at once, for those who wait already too.

Fairness follows from how much one may spend at a time, its *quantum*. A
connection has one outstanding, never two, so that greedy ones take turns, and
one that has little to say waits for a quantum of each of the others at most. That
a crowd does not make this long, the quantum shrinks as the wait for the common
bucket grows: the wait of *n* greedy connections grows with the square root of *n*.

There are two ways to spend. A socket that is readable, or output that waits,
*asks* first and moves bytes when its place has come: then no more than rate times
time and the burst ever go through a bucket. A stream cannot say whether there is
something to read; there what was read is spent afterwards, and the next read waits
until that is paid. So such a connection may be ahead by one quantum.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trioproto.sansio.settings import Settings

BURST = 1.0
"""Seconds' worth of bytes that may go at once after idleness; at least one byte."""
OWN_SLICE = 0.1
"""Seconds' worth of a connection's own rate in one quantum: ten turns a second."""
TOTAL_SLICE = 0.02
"""The same of the rate that connections share, when none of them waits."""
SMALL = 512
"""Bytes below which a quantum does not shrink because others wait: the headers cost more."""


class TokenBucket:
    """What one rate allows; times are those of whoever calls, and never go back much.

    Args:
        rate: bytes a second; ``None``: any number.
        slice_: seconds' worth of them in one quantum.
    """

    __slots__ = ("_accrued", "_as_of", "_slice", "_spent", "burst", "rate")

    def __init__(self, rate: float | None = None, slice_: float = TOTAL_SLICE) -> None:
        self._slice = slice_
        self._spent = 0.0
        self._accrued = 0.0
        self._as_of = -inf  # before the first use
        self.rate = self.burst = inf
        self.change(rate)

    @property
    def limited(self) -> bool:
        """Whether there is a rate at all."""
        return self.rate != inf

    def change(self, rate: float | None) -> bool:
        """Go on at another rate; say whether it is another one.

        A bucket that had none is full at first. The rate counts from when the bucket was last
        used: that is not long ago if somebody waits, and makes no more than a burst otherwise.
        """
        rate = inf if rate is None else rate
        if rate == self.rate:
            return False
        was_limited = self.limited
        if was_limited:
            self._spent = max(self._spent, self._accrued - self.burst)
        self.rate = rate
        self.burst = max(1.0, rate * BURST)
        if not was_limited:
            self._accrued = self._spent + self.burst
        return True

    def spend(self, count: int, now: float) -> float:
        """Spend *count* bytes; return their place."""
        if self.limited:
            self._spent = self.place_of(count, now)
        return self._spent

    def place_of(self, count: int, now: float) -> float:
        """Return what place *count* bytes would have, if they were spent now."""
        self._accrue(now)
        return max(self._spent, self._accrued - self.burst) + count

    def give_back(self, count: int) -> None:
        """Take back what was spent and not used: who comes next has a better place."""
        if self.limited:
            self._spent -= count

    def due(self, place: float) -> float:
        """Return when the bytes of a place may be moved; ``-inf`` if they may already."""
        if not self.limited or place <= self._accrued:
            return -inf
        return self._as_of + (place - self._accrued) / self.rate

    def lapsed(self, place: float, now: float) -> bool:
        """Whether a place came so long ago that the bucket could have overflowed since."""
        if not self.limited:
            return False
        self._accrue(now)
        return place < self._accrued - self.burst

    def quantum(self, now: float) -> float:
        """Return how many bytes may be spent at a time, at least 1."""
        if not self.limited:
            return inf
        self._accrue(now)
        wait = max(0.0, (self._spent - self._accrued) / self.rate)
        whole = self.rate * self._slice
        return max(1.0, min(whole, SMALL), whole * self._slice / (self._slice + wait))

    def _accrue(self, now: float) -> None:
        if now > self._as_of:
            if self._as_of != -inf:
                self._accrued += (now - self._as_of) * self.rate
            self._as_of = now


class Gate:
    """One direction of one connection: its own bucket, and the one that it shares.

    The two are asked one after the other, or a place among the others would pass
    unused while the connection's own rate holds it up.

    Args:
        rate: bytes a second of this connection; ``None``: any number.
        total: the bucket of all connections.
    """

    __slots__ = ("_granted", "_own", "_own_place", "_place", "_total")

    def __init__(self, rate: float | None, total: TokenBucket) -> None:
        self._own = None if rate is None else TokenBucket(rate, OWN_SLICE)
        self._total = total
        self._own_place = self._place = 0.0
        self._granted = 0

    @property
    def due(self) -> float:
        """When to go on: to ask again, or after what was moved unasked; may be ``-inf``."""
        due = self._total.due(self._place)
        return due if self._own is None else max(due, self._own.due(self._own_place))

    def quantum(self, most: int, now: float) -> int:
        """Return how many bytes, of *most*, may be moved at a time."""
        quantum = min(most, self._total.quantum(now))
        return int(quantum if self._own is None else min(quantum, self._own.quantum(now)))

    def ask(self, most: int, now: float) -> int:
        """Return how many bytes may be moved now, at most *most*; 0: not before ``due``.

        What was granted stays so until it is ``moved``, or for as long as a burst lasts.
        """
        if self._granted and self._total.lapsed(self._place, now):
            self._granted = 0  # lost: to give them back would be a burst for the next one
        if not self._granted:
            size = self.quantum(most, now)
            if self._own is not None:
                self._own_place = self._own.place_of(size, now)
                if self._own.due(self._own_place) > now:
                    return 0
            self._place = self._total.spend(size, now)
            self._granted = size
        return 0 if self._total.due(self._place) > now else min(self._granted, most)

    def moved(self, count: int, now: float) -> None:
        """Take it that *count* bytes were moved; more than were granted are a debt."""
        if self._own is not None:
            self._own_place = self._own.spend(count, now)
        unused = self._granted - count
        self._granted = 0
        if unused >= 0:
            self._total.give_back(unused)
        else:
            self._place = self._total.spend(-unused, now)

    def give_back(self) -> None:
        """Let others have what was granted."""
        self._total.give_back(self._granted)
        self._granted = 0


class Totals:
    """The buckets that all connections of a factory share.

    Attributes:
        receive: the one for reading.
        send: the one for sending.
        limited: whether any of them has a rate.
    """

    __slots__ = ("_settings", "limited", "receive", "send")

    def __init__(self) -> None:
        self.receive = TokenBucket()
        self.send = TokenBucket()
        self.limited = False
        self._settings: Settings | None = None

    def change(self, settings: Settings) -> bool:
        """Take the rates of *settings*; say whether that changes anything."""
        if settings is self._settings:
            return False  # as at each connection but the first
        self._settings = settings
        received = self.receive.change(settings.receive_rate_total)
        sent = self.send.change(settings.send_rate_total)
        self.limited = self.receive.limited or self.send.limited
        return received or sent


class Throttle:
    """Both directions of one connection."""

    __slots__ = ("receive", "send")

    def __init__(self, settings: Settings, totals: Totals) -> None:
        self.receive = Gate(settings.receive_rate, totals.receive)
        self.send = Gate(settings.send_rate, totals.send)

    def let_go(self) -> None:
        """Give back what the connection, which has ended, will not use."""
        self.receive.give_back()
        self.send.give_back()
