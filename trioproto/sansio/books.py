"""The state of a connection that every part of it works on, and how it changes.

A change counts at once; the driver, who acts on it, is told once and looks later.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from trioproto.sansio import holds
from trioproto.sansio.errors import ConnectionClosed, ConnectionDone
from trioproto.sansio.lifecycle import Event, State, next_state
from trioproto.sansio.outbound import OutboundBuffer

if TYPE_CHECKING:
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.driver import Driver
    from trioproto.sansio.settings import Settings
    from trioproto.sansio.throttle import Throttle
    from trioproto.sansio.tls_info import TLSInfo
    from trioproto.sansio.watch import Watch

OFFER_SIZE = 256 * 1024
"""Bytes of waiting output from which a write first offers them to the kernel."""

AHEAD = 64 * 1024
"""Bytes that are passed through layers ahead of what is sent, at most twice."""


class Books:
    """What is known of a connection; :class:`Transport` says what it means."""

    __slots__ = (
        "_driver",
        "_fast_limit",
        "_opened_with",
        "_phase_ends",
        "_quiesced",
        "active_at",
        "began_at",
        "broken",
        "bytes_received",
        "bytes_sent",
        "drain_reason",
        "holds",
        "local",
        "outbound",
        "peer",
        "proxy_header",
        "reason",
        "settings",
        "state",
        "tell",
        "throttle",
        "timeout",
        "tls",
        "waiting_since",
        "watch",
    )

    def __init__(self, driver: Driver, settings: Settings, peer: Address, local: Address) -> None:
        self._driver = driver
        self.settings = settings
        self.peer = peer
        self.local = local
        self.timeout = settings.idle_timeout
        self.drain_reason: ConnectionClosed | None = None
        self._quiesced = False
        self.broken = False
        self.state = State.OPENING
        self.holds = holds.NOT_OPEN
        self.reason: ConnectionClosed | None = None
        self.outbound = OutboundBuffer()
        self.tell = False
        self.tls: TLSInfo | None = None
        self.proxy_header: Any = None
        self._fast_limit = -1
        self._opened_with = 0
        self.active_at = self.began_at = self.waiting_since = driver.time()
        self.bytes_received = 0
        self.bytes_sent = 0
        self.watch: Watch | None = None
        self._phase_ends = inf
        self.throttle: Throttle | None = None

    @property
    def buffered(self) -> int:
        """Bytes that wait to be sent."""
        raise NotImplementedError

    @property
    def may_write(self) -> bool:
        """Whether a write is sent, now or after the handshake, and not discarded."""
        return self.state <= State.READ_ENDED

    def note_change(self) -> None:
        """Have the driver look at all of us, not at the output only."""
        self.holds |= holds.CHANGED
        self._tell_driver()

    def _tell_driver(self) -> None:
        """Have the driver look at us, if it does not know already."""
        if self.tell:
            self.tell = False
            self._driver.changed()

    def _await_peer(self) -> None:
        """Begin to wait for the peer again: what went before was not its silence."""
        self.active_at = self.waiting_since = self._driver.time()

    def _set_reason(self, reason: ConnectionClosed) -> None:
        """Keep the first reason, unless it was a clean end that failed."""
        if self.reason is None or type(self.reason) is ConnectionDone:
            self.reason = reason

    def _move(self, event: Event) -> None:
        """Take the transition, and keep what follows from the state in step."""
        state = self.state = next_state(self.state, event)
        self.holds = (self.holds & ~holds.NOT_OPEN) | (0 if state is State.OPEN else holds.NOT_OPEN)
        if state is State.OPEN or state is State.READ_ENDED:
            self._set_fast_limit()
        else:
            self._fast_limit = -1
        if state >= State.FLUSHING or not self.holds & holds.HANDSHAKING:
            self._phase_ends = inf
        if state is State.FLUSHING:
            allowance = self.settings.close_timeout + self.buffered / 65536
            self._phase_ends = self._driver.time() + allowance
        elif state is State.LINGERING:
            self._phase_ends = self._driver.time() + self.settings.linger
        elif state is State.ENDED:
            self.outbound.clear()

    def _set_fast_limit(self) -> None:
        """Set how many bytes may wait before a write has to look closer."""
        if self.holds & holds.HANDSHAKING:
            self._fast_limit = -1
        elif self.holds & holds.LAYERED:
            self._fast_limit = min(OFFER_SIZE, self.settings.max_buffered - 3 * AHEAD)
        else:
            self._fast_limit = min(OFFER_SIZE, self.settings.max_buffered)

    def end_as_error(self) -> ConnectionClosed:
        """Return the reason to be raised, without the traces of earlier raises."""
        assert self.reason is not None
        return self.reason.with_traceback(None)

    def _break(self, reason: ConnectionClosed) -> None:
        if self.state >= State.ENDED:
            return
        self._set_reason(reason)
        self.broken = True
        self._move(Event.BREAK)
        self.note_change()
