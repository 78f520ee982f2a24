"""The deadlines that are off by default: first byte, rate of receiving, age.

An open connection has a watch if one of them is set. It is looked at when its
time has come, never for a message; and the peer is only held to what it does
while the connection does nothing but wait for it.

The rate is measured in windows. One counts if all of it was such waiting, and if
a frame was unfinished at its begin and at its end: who has sent all that he had
to say is idle, which has a deadline of its own. Short frames that come at a beat
could be met in the middle both times, so after a window in which too little came
there is a third look, off the beat. A protocol without frames cannot say where one
ends, so there a window counts in which something came, if something had come in the
one before.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from trioproto.sansio.errors import AgeTimeout, ConnectionClosed, FirstByteTimeout, PeerTooSlow

if TYPE_CHECKING:
    from trioproto.sansio.settings import Settings

_DOUBT = 0.382
"""When the third look is, in windows: no simple fraction, which a beat could be in step with."""


class Watch:
    """What an open connection has to keep besides its idle time.

    Args:
        settings: the connection's.
        began_at: when it began.
        now: the time.
        received: bytes that have come, ever.

    """

    __slots__ = (
        "_aged_at",
        "_began_at",
        "_doubtful",
        "_heard",
        "_in_frame",
        "_settings",
        "_window_at",
        "_window_with",
    )

    def __init__(self, settings: Settings, began_at: float, now: float, received: int) -> None:
        self._settings = settings
        self._began_at = began_at
        self._aged_at = inf
        self._heard = False
        self._window_at = now
        self._window_with = received
        self._in_frame = False
        self._doubtful: PeerTooSlow | None = None

    @staticmethod
    def wanted(settings: Settings) -> bool:
        """Whether any of these deadlines is set."""
        wanted = settings.first_byte_timeout, settings.min_receive_rate, settings.max_age
        return wanted != (None, None, None)

    def change(self, settings: Settings, now: float, received: int) -> None:
        """Take other settings, which count from the same moments; but another rate from now on."""
        before, self._settings = self._settings, settings
        if (before.min_receive_rate, before.receive_window) != (
            settings.min_receive_rate,
            settings.receive_window,
        ):
            self._begin_window(now, received, in_frame=False)

    @property
    def aged(self) -> bool:
        """Whether the connection has reached its age, and is about to end."""
        return self._aged_at != inf

    def stand_still(self, seconds: float, now: float) -> None:
        """Take it that output has waited for *seconds*, in which the peer was not waited for."""
        self._window_at = min(now, self._window_at + seconds)

    def due(self, waiting_since: float) -> float:
        """Return when to ``look``.

        Args:
            waiting_since: since when nothing was done but wait for the peer; ``inf``
                while something else is done.
        """
        return min(
            self._first_byte_due(waiting_since), self._window_due(waiting_since), self._age_due()
        )

    def look(
        self,
        now: float,
        waiting_since: float,
        received: int,
        heard: bool,
        in_frame: Callable[[], bool | None],
    ) -> ConnectionClosed | None:
        """Return why the connection has to end, if it has.

        At its age first softly: it is ``aged`` then. If it is still there when
        ``drain_grace`` has passed too, the same reason is returned again.

        Args:
            now: the time.
            waiting_since: as for ``due``.
            received: bytes that have come, ever.
            heard: whether some of them came after the opening.
            in_frame: tells whether the peer is in the middle of a frame.
        """
        if self._age_due() <= now:
            if not self.aged:
                self._aged_at = now
            return AgeTimeout(self._settings.max_age or 0)
        if self._first_byte_due(waiting_since) <= now:
            if not heard:
                return FirstByteTimeout(self._settings.first_byte_timeout or 0)
            self._heard = True
        if self._window_due(waiting_since) <= now:
            return self._end_window(now, waiting_since, received, in_frame())
        return None

    def _age_due(self) -> float:
        max_age = self._settings.max_age
        if self.aged:
            return self._aged_at + self._settings.drain_grace
        return inf if max_age is None else self._began_at + max_age

    def _first_byte_due(self, waiting_since: float) -> float:
        timeout = self._settings.first_byte_timeout
        return inf if timeout is None or self._heard else waiting_since + timeout

    def _window_due(self, waiting_since: float) -> float:
        if self._settings.min_receive_rate is None:
            return inf
        lasts = self._settings.receive_window
        if self._doubtful is not None:
            lasts += lasts * _DOUBT
        return max(self._window_at, waiting_since) + lasts

    def _end_window(
        self, now: float, waiting_since: float, received: int, in_frame: bool | None
    ) -> PeerTooSlow | None:
        """Look at what came; begin the next window; return what is wrong, if anything."""
        whole = waiting_since <= self._window_at
        if self._doubtful is not None:
            slow = self._doubtful if whole and in_frame else None
        elif whole and self._in_frame:
            slow = self._too_slow(now, received)
            if slow is not None and in_frame:
                self._doubtful = slow
                return None
        else:
            slow = None
        going_on = received > self._window_with if in_frame is None else in_frame
        self._begin_window(now, received, in_frame=going_on)
        return slow if going_on else None

    def _too_slow(self, now: float, received: int) -> PeerTooSlow | None:
        rate = self._settings.min_receive_rate or 0
        came = received - self._window_with
        lasted = now - self._window_at
        return PeerTooSlow(came, lasted, rate) if came < rate * lasted else None

    def _begin_window(self, now: float, received: int, *, in_frame: bool) -> None:
        self._window_at = now
        self._window_with = received
        self._in_frame = in_frame
        self._doubtful = None
