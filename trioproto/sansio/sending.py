"""The output of a connection: what waits, since when, and who has to know.

The driver sends what ``wire`` holds, and says what became of it. From that
follow the two water marks, the deadline for progress, and the factory's count
of waiting bytes.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from trioproto.sansio import holds
from trioproto.sansio.callbacks import Callbacks
from trioproto.sansio.lifecycle import State

if TYPE_CHECKING:
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.driver import Driver, Owner
    from trioproto.sansio.outbound import OutboundBuffer
    from trioproto.sansio.protocol import Protocol
    from trioproto.sansio.settings import Settings


class Sending(Callbacks):
    """The part of a connection that keeps the books of its output.

    Attributes:
        counted: bytes of ours that the factory counts as waiting.
        sending_file: whether the driver sends a file just now, and what is
            written has to wait behind it.
        shut: whether our side has been shut down.
        wire: what is to be sent: ``outbound`` itself, unless there are layers.
    """

    __slots__ = (
        "_blocked_at",
        "_writing_paused",
        "counted",
        "sending_file",
        "shut",
        "wire",
    )

    def __init__(
        self,
        protocol: Protocol,
        owner: Owner,
        driver: Driver,
        settings: Settings,
        peer: Address,
        local: Address,
    ) -> None:
        super().__init__(protocol, owner, driver, settings, peer, local)
        self.wire: OutboundBuffer = self.outbound
        self.shut = False
        self.sending_file = False
        self._writing_paused = False
        self._blocked_at = inf
        self.counted = 0

    # What waits

    @property
    def buffered(self) -> int:
        """Bytes that wait to be sent."""
        if self.wire is self.outbound:
            return self.outbound.size
        return self.outbound.size + self.wire.size

    # What the driver sent

    def begin_output(self, limit: int, now: float) -> bytes | memoryview | None:
        """Return what to send next, at most *limit* bytes, if sending may have to wait."""
        data = self.wire.peek()
        if data is None:
            return None
        self.holds |= holds.UNSENT
        if self._blocked_at == inf:
            self._blocked_at = now
        return data if len(data) <= limit else memoryview(data)[:limit]

    def output_tried(self, sent: int, now: float) -> None:
        """Take it that the driver sent *sent* bytes, and could not send more for now."""
        self.bytes_sent += sent
        waiting = self.buffered
        if self.holds & (holds.HANDSHAKING | holds.STARTING) == holds.HANDSHAKING:
            # The rest waits for the peer's answers, which have a deadline of their own.
            stuck = self.wire.size > 0
        else:
            stuck = waiting > 0 or self.sending_file
        if stuck:
            self.holds |= holds.UNSENT
            if sent or self._blocked_at == inf:
                self._stop_idle_clock(now)
                self._blocked_at = now
        elif self._blocked_at != inf or (sent and self.state is State.READ_ENDED):
            self.holds &= ~holds.UNSENT
            self._stop_idle_clock(now)
            self._blocked_at = inf
        if waiting != self.counted:
            self.count_output()

    def _stop_idle_clock(self, now: float) -> None:
        """See that the time in which output waited does not count as the peer's silence."""
        if self.state is State.READ_ENDED:
            self.active_at = now  # it can show no other activity than to take our bytes
        elif self._blocked_at != inf:
            waited = now - self._blocked_at
            self.active_at = min(now, self.active_at + waited)
            self.waiting_since = min(now, self.waiting_since + waited)
            if self.watch is not None:
                self.watch.stand_still(waited, now)

    # Files

    def begin_file(self) -> None:
        """Keep a place for a file: what is written from here on is sent after it."""
        self.sending_file = True
        self.holds |= holds.FILE
        self.outbound.raise_barrier()

    def file_is_next(self) -> bool:
        """Whether everything that was written before the file has been sent."""
        return not self.outbound.sendable and not self.holds & holds.HANDSHAKING

    def end_file(self) -> None:
        """Send on what has been written after the file."""
        self.sending_file = False
        self.holds &= ~holds.FILE
        self.outbound.lower_barrier()
        if self.state < State.ENDED:
            self.output_tried(0, self._driver.time())
            self.note_change()

    # What follows from it

    def _cross_water_marks(self) -> bool:
        """Tell the protocol when output crosses a water mark."""
        size = self.buffered
        if self._writing_paused:
            if size > self.settings.low_water:
                return False
            self._writing_paused = False
            self.holds &= ~holds.HIGH_WATER
            self._await_peer()
            self._call(self.protocol.resume_writing)
            return True
        if size <= self.settings.high_water:
            return False
        self._writing_paused = True
        if self.protocol.auto_pause:
            self.holds |= holds.HIGH_WATER
        self._call(self.protocol.pause_writing)
        return True

    def _forget_water_marks(self) -> None:
        """Look at the marks anew: another protocol has not been told of them."""
        self._writing_paused = False
        self.holds &= ~holds.HIGH_WATER

    def _output_deadline(self) -> float:
        limit = self.settings.write_timeout
        return inf if limit is None or self.holds & holds.SEND_WAITS else self._blocked_at + limit

    def count_output(self) -> None:
        """Bring the factory's count of waiting bytes up to date."""
        waiting = self.buffered
        change = waiting - self.counted
        if change:
            self.counted = waiting
            self._owner.output_waits(change, self.settings.max_buffered_total)
