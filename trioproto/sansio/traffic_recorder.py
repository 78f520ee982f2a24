"""The topmost layer of a connection that is recorded: a flight recorder.

It stands above TLS, changes nothing of what passes, and has nothing to say
itself. What was to be sent is on the tape once it is passed down, which may be
before the peer has got it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from time import time as wall_time
from typing import TYPE_CHECKING

from trioproto.sansio.errors import (
    AgeTimeout,
    CallbackError,
    ConnectionClosed,
    ConnectionDone,
    IdleTimeout,
    ServerCancelled,
    ServerDraining,
)
from trioproto.sansio.layer import Layer
from trioproto.sansio.recording import Piece, Recording
from trioproto.sansio.tape import Direction, Tape

if TYPE_CHECKING:
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.driver import Owner
    from trioproto.sansio.traffic_log import Redact, TrafficLog

CLEAN = (ConnectionDone, IdleTimeout, AgeTimeout, ServerDraining, ServerCancelled)
"""The reasons that are no error."""

_BLANK = b"*"


class TrafficRecorder(Layer):
    """Records one connection.

    Args:
        log: how.
        clock: the time, in seconds, of whatever origin.
        owner: logs what is wrong with the user's functions.
        peer: the other side's address.
        local: our own.
        accepted: whether the peer has made the connection.
    """

    __slots__ = (
        "_accepted",
        "_began",
        "_clock",
        "_epoch",
        "_local",
        "_log",
        "_owner",
        "_peer",
        "_tape",
    )

    news = False
    stays_on_top = True

    def __init__(
        self,
        log: TrafficLog,
        clock: Callable[[], float],
        owner: Owner,
        peer: Address,
        local: Address,
        *,
        accepted: bool,
    ) -> None:
        self._log = log
        self._clock = clock
        self._owner = owner
        self._peer = peer
        self._local = local
        self._accepted = accepted
        self._tape = Tape(log.size)
        self._began = clock()
        self._epoch = wall_time() - self._began

    # As a layer

    def receive(self, data: bytes) -> bytes:
        """Record what was received, and let it pass."""
        self._tape.add(self._clock(), Direction.RECEIVED, data)
        return data

    def send(self, data: bytes | memoryview) -> bytes:
        """Record what is to be sent, and let it pass."""
        if not isinstance(data, bytes):
            data = bytes(data)
        self._tape.add(self._clock(), Direction.SENT, data)
        return data

    # What was recorded

    def taken(self, reason: ConnectionClosed | None) -> Recording:
        """Take a recording of what is on the tape, redacted."""
        tape = self._tape
        pieces = [Piece(self._epoch + time, way, data) for time, way, data in tape]
        return Recording(
            peer=self._peer,
            local=self._local,
            accepted=self._accepted,
            began=self._epoch + self._began,
            pieces=tuple(self._redacted(pieces)),
            received_before=tape.dropped[Direction.RECEIVED],
            sent_before=tape.dropped[Direction.SENT],
            reason=reason,
        )

    def write(self, reason: ConnectionClosed) -> None:
        """Have a recording written, if *reason* is an error; whatever that raises is logged."""
        write = self._log.write
        if write is None or isinstance(reason, CLEAN) or not self._tape:
            return
        try:
            write(self.taken(reason))
        except Exception as exc:
            self._report("write", exc)

    def _redacted(self, pieces: list[Piece]) -> list[Piece]:
        redact = self._log.redact
        if redact is None:
            return pieces
        clean = {way: iter(self._clean(redact, way, pieces)) for way in Direction}
        return [
            Piece(each.time, each.direction, bytes(islice(clean[each.direction], len(each.data))))
            for each in pieces
        ]

    def _clean(self, redact: Redact, way: Direction, pieces: Iterable[Piece]) -> bytes:
        """Redact all of one direction at once: a secret may have come in several pieces."""
        data = b"".join(each.data for each in pieces if each.direction is way)
        if not data:
            return data
        try:
            clean = redact(data, way, self._tape.dropped[way] > 0)
            if not isinstance(clean, bytes) or len(clean) != len(data):
                raise ValueError(f"redact must return {len(data)} bytes, not {_described(clean)}")
        except Exception as exc:
            self._report("redact", exc)
            return _BLANK * len(data)
        return clean

    def _report(self, name: str, exc: Exception) -> None:
        self._owner.report(self._peer, CallbackError(f"traffic_log.{name}", exc))


def _described(found: object) -> str:
    return str(len(found)) if isinstance(found, bytes) else type(found).__name__
