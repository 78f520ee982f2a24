"""The deadlines of a connection, as data: when to look, and what has run out then.

One moment is enough for a driver: the earliest. What arrives only moves a
timestamp; when the moment has come the deadline is asked for again.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from trioproto.sansio import holds
from trioproto.sansio.errors import (
    AgeTimeout,
    CallbackTimeout,
    CloseTimeout,
    HandshakeTimeout,
    WriteTimeout,
)
from trioproto.sansio.lifecycle import Event, State
from trioproto.sansio.settings import TIMEOUT_NAMES
from trioproto.sansio.throttled import Throttled
from trioproto.sansio.watch import Watch

if TYPE_CHECKING:
    from trioproto.sansio.errors import ConnectionClosed
    from trioproto.sansio.settings import TimeoutName


class Timed(Throttled):
    """The part of a connection that keeps its deadlines."""

    __slots__ = ()

    def drain(self, reason: ConnectionClosed | None = None) -> None:
        """End soon, and softly."""
        raise NotImplementedError

    @property
    def deadline(self) -> float:
        """When ``on_timeout`` is due, as far as can be told now; may be ``inf``."""
        deadline = min(self._phase_ends, self._output_deadline())
        if self.throttle is not None:
            deadline = min(deadline, self._next_wait_ends())
        if State.OPEN <= self.state <= State.WRITE_ENDED:
            if self.holds & holds.BUSY:
                deadline = min(deadline, self._callback_deadline())
            elif self.timeout is not None and self._waits_for_peer():
                deadline = min(deadline, self.active_at + self.timeout)
            if self.watch is not None:
                deadline = min(deadline, self.watch.due(self._only_waiting_since()))
        return deadline

    def on_timeout(self, now: float) -> None:
        """Act on the deadline that has passed; do nothing if none has."""
        settings = self.settings
        if self.throttle is not None:
            self._end_waits(now, now)
        if self.deadline > now or self.state >= State.ENDED:
            return
        if self._output_deadline() <= now:
            self._break(WriteTimeout(settings.write_timeout or 0))
        elif self.state is State.FLUSHING:
            self._break(CloseTimeout(settings.close_timeout))
        elif self.holds & holds.HANDSHAKING and self._phase_ends <= now:
            self._break(HandshakeTimeout(settings.handshake_timeout or 0))
        elif self.state is State.LINGERING:
            self._move(Event.FINISH)
        elif self.holds & holds.BUSY and self._callback_deadline() <= now:
            self._break(CallbackTimeout(settings.callback_timeout or 0))
        elif self.watch is not None and self.watch.due(self._only_waiting_since()) <= now:
            self._look_after(self.watch, now)
        else:
            self.active_at = now
            self._call(self.protocol.timed_out)
            self.advance()

    def _waits_for_peer(self) -> bool:
        """Whether only the peer can make something happen (the idle clock runs)."""
        not_reading = holds.PAUSED | holds.HIGH_WATER | holds.DRAINING | holds.HANDSHAKING
        throttled = holds.RECEIVE_WAITS | holds.SEND_WAITS
        return self._blocked_at == inf and not self.holds & (not_reading | throttled)

    # Deadlines that are off by default

    def set_timeout(self, value: float | None, name: TimeoutName = "idle_timeout") -> None:
        """Change a deadline for this connection alone."""
        if name not in TIMEOUT_NAMES:
            raise ValueError(f"{name!r} is no deadline")
        changes: dict[str, Any] = {name: value}
        settings = replace(self.settings, **changes)
        if self.state is State.LOST:
            return
        if name == "idle_timeout":
            self.timeout = value  # often changed: no settings of its own for that
        else:
            self.settings = settings
            if name == "callback_timeout":
                self._busy_since = self._driver.time()
                if self.holds & holds.BUSY:
                    self.holds |= holds.ALONE
            if self.state >= State.OPEN:
                self._set_watch()
        self.active_at = self._driver.time()
        self.note_change()

    def _set_watch(self) -> None:
        """Have a watch if the settings ask for one."""
        settings, received = self.settings, self.bytes_received
        if self.watch is not None:
            self.watch.change(settings, self._driver.time(), received)
        elif Watch.wanted(settings):
            self.watch = Watch(settings, self.began_at, self._driver.time(), received)

    @property
    def timed(self) -> bool:
        """Whether a deadline may come up as soon as only the peer is waited for."""
        if self.timeout is not None:
            return True
        return self.watch is not None and self.watch.due(self.waiting_since) < inf

    def _only_waiting_since(self) -> float:
        """Since when nothing was done but wait for the peer; ``inf`` if that is not so."""
        busy = self._eof or self.holds & holds.BUSY or not self._waits_for_peer()
        return inf if busy else self.waiting_since

    def _look_after(self, watch: Watch, now: float) -> None:
        """Act on a deadline of the watch."""
        aged = watch.aged
        reason = watch.look(
            now,
            self._only_waiting_since(),
            self.bytes_received,
            self.bytes_received != self._opened_with,
            lambda: self._ask(self.protocol.in_frame, None),
        )
        if isinstance(reason, AgeTimeout):
            if aged:
                self._break(reason)
            else:
                self.drain(reason)
        elif reason is not None:
            self.close(reason)
        self.advance()
