"""How many connections a second are let in: a token bucket, of connections in place of bytes.

As many as it holds, one second's worth but one at least, come in at once.
"""

from __future__ import annotations

from trioproto.sansio.throttle import TokenBucket

_SLACK = 1e-3
"""The part of a connection that may be missing: clocks round. It is owed, and not given."""


class AcceptRate:
    """The bucket; *now* is the time, in seconds of any clock."""

    __slots__ = ("_bucket",)

    def __init__(self) -> None:
        self._bucket = TokenBucket()

    def configure(self, rate: float | None, now: float) -> None:
        """Take another rate, in connections a second; a new limit begins with a full bucket."""
        self._bucket.spend(0, now)  # at the rate that there was
        self._bucket.change(rate)

    def wait(self, now: float) -> float:
        """Return the seconds until the next connection may come in; 0: it may now."""
        bucket = self._bucket
        if not bucket.limited:
            return 0
        seconds = bucket.due(bucket.place_of(1, now)) - now
        return seconds if seconds * bucket.rate > _SLACK else 0

    def use(self, now: float) -> None:
        """Count a connection that has come in."""
        self._bucket.spend(1, now)

    def give_back(self) -> None:
        """Count one less: it did not come in."""
        self._bucket.give_back(1)
