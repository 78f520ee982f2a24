"""The deadlines that are off by default: first byte, rate of receiving, age.

An open connection has a watch if one of them is set. It is looked at when its
time has come, never for a message; and the peer is only held to what it does
while the connection does nothing but wait for it.

The rate is measured in windows. One counts if all of it was such waiting, and if
a frame was unfinished at its begin and at its end: who has sent all that he had
to say is idle, which has a deadline of its own. A protocol without frames cannot
say where one ends, so there a window counts in which something came, if something
had come in the one before.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from trioproto.sansio.errors import AgeTimeout, ConnectionClosed, FirstByteTimeout, PeerTooSlow

if TYPE_CHECKING:
    from trioproto.sansio.settings import Settings

_HEARD = -1
"""In place of a number of bytes: the first one has come."""


class Watch:
    """What an open connection has to keep besides its idle time.

    Args:
        settings: the connection's.
        began_at: when it began.
        now: when it was opened.
        received: bytes that had come by then.

    Attributes:
        aged: whether the connection has reached its age, and is about to end.
    """

    __slots__ = (
        "_began_at",
        "_in_frame",
        "_opened_at",
        "_opened_with",
        "_settings",
        "_window_at",
        "_window_with",
        "aged",
    )

    def __init__(self, settings: Settings, began_at: float, now: float, received: int) -> None:
        self._settings = settings
        self._began_at = began_at
        self._opened_at = now
        self._opened_with = received
        self.aged = False
        self._begin_window(now, received, in_frame=False)

    @staticmethod
    def wanted(settings: Settings) -> bool:
        """Whether any of these deadlines is set."""
        wanted = settings.first_byte_timeout, settings.min_receive_rate, settings.max_age
        return wanted != (None, None, None)

    def change(self, settings: Settings) -> None:
        """Take other settings, which count from the same moments."""
        self._settings = settings

    def heard(self) -> None:
        """Take it that the first byte has come, together with the end of the opening."""
        self._opened_with = _HEARD

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
        in_frame: Callable[[], bool | None],
    ) -> ConnectionClosed | None:
        """Return why the connection has to end, if it has.

        At its age first softly: it is ``aged`` then. If it is still there when
        ``drain_grace`` has passed too, the same reason is returned again.

        Args:
            now: the time.
            waiting_since: as for ``due``.
            received: bytes that have come, ever.
            in_frame: tells whether the peer is in the middle of a frame.
        """
        if self._age_due() <= now:
            self.aged = True
            return AgeTimeout(self._settings.max_age or 0)
        if self._first_byte_due(waiting_since) <= now:
            if received == self._opened_with:
                return FirstByteTimeout(self._settings.first_byte_timeout or 0)
            self.heard()
        if self._window_due(waiting_since) <= now:
            return self._end_window(now, waiting_since, received, in_frame())
        return None

    def _age_due(self) -> float:
        max_age = self._settings.max_age
        if max_age is None:
            return inf
        return self._began_at + max_age + (self._settings.drain_grace if self.aged else 0)

    def _first_byte_due(self, waiting_since: float) -> float:
        timeout = self._settings.first_byte_timeout
        if timeout is None or self._opened_with == _HEARD:
            return inf
        return max(self._opened_at, waiting_since) + timeout

    def _window_due(self, waiting_since: float) -> float:
        if self._settings.min_receive_rate is None:
            return inf
        return max(self._window_at, waiting_since) + self._settings.receive_window

    def _end_window(
        self, now: float, waiting_since: float, received: int, in_frame: bool | None
    ) -> PeerTooSlow | None:
        """End the window and begin the next; return what is wrong with it, if anything."""
        rate = self._settings.min_receive_rate or 0
        came = received - self._window_with
        lasted = now - self._window_at
        if in_frame is None:
            in_frame = came > 0
        slow = (
            waiting_since <= self._window_at
            and self._in_frame
            and in_frame
            and came < rate * lasted
        )
        self._begin_window(now, received, in_frame=in_frame)
        return PeerTooSlow(came, lasted, rate) if slow else None

    def _begin_window(self, now: float, received: int, *, in_frame: bool) -> None:
        self._window_at = now
        self._window_with = received
        self._in_frame = in_frame
