"""How many connections a second are let in: a token bucket.

It fills at the rate, and holds one second's worth, but one connection at least.
What is in it is counted in connections and not as a moment, so that as many as
it holds come in at once, and none less by rounding.
"""

from __future__ import annotations

from math import inf

_SLACK = 1e-3
"""The part of a connection that may be missing: clocks round. It is owed, and not given."""


class AcceptRate:
    """The bucket.

    Args:
        now: the time, in seconds of any clock, as in all that follows.
    """

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, now: float) -> None:
        self._rate: float | None = None
        self._left = inf
        self._at = now

    def configure(self, rate: float | None, now: float) -> None:
        """Take another rate, in connections a second; a new limit begins with a full bucket."""
        if rate != self._rate:
            self._fill(now)
            self._rate = rate
            self._left = inf if rate is None else min(self._left, max(1, rate))

    def wait(self, now: float) -> float:
        """Return the seconds until the next connection may come in; 0: it may now."""
        if self._rate is None:
            return 0
        self._fill(now)
        missing = 1 - self._left
        return missing / self._rate if missing > _SLACK else 0

    def use(self, now: float) -> None:
        """Count a connection that has come in."""
        if self._rate is not None:
            self._fill(now)
            self._left -= 1

    def give_back(self) -> None:
        """Count one less: it did not come in."""
        self._left += 1

    def _fill(self, now: float) -> None:
        if self._rate is not None:
            self._left = min(max(1, self._rate), self._left + (now - self._at) * self._rate)
        self._at = now
