"""The one place that knows what happens to a factory's connections.

Whoever lets a connection in, opens or ends it says so here. This keeps the table
of the live ones, counts, and tells those who listen.

For each connection there is ``accepted`` first, and then either ``begun`` (it has
a protocol), perhaps ``opened``, and ``closed``; or ``never_begun``.

The numbers may be asked for in any thread, as exporters have one of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, Any

from trioproto.sansio.connection_info import ConnectionInfo, age_of, class_name, info_of
from trioproto.sansio.counts import Counts, Statistics
from trioproto.sansio.events import (
    Accepted,
    CallbackSlow,
    Closed,
    DrainFinished,
    DrainProgress,
    DrainStarted,
    Failed,
    LimitNeared,
    LimitReached,
    ListenerStarted,
    ListenerStopped,
    Opened,
    Refused,
    Resumed,
    Suspended,
)
from trioproto.sansio.subscriptions import Audience

if TYPE_CHECKING:
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.connection import Connection
    from trioproto.sansio.error_log import ErrorLog
    from trioproto.sansio.errors import ConnectionClosed
    from trioproto.sansio.protocol import Protocol

REFUSED_BY_PROTOCOL = "protocol"
"""Why a peer was refused: ``build_protocol`` returned ``None``."""


class Monitor(Audience):
    """Table, counts and audience of one factory.

    Args:
        error_log: where a subscriber's errors go.
        invoke: calls user code.

    Attributes:
        open: the open connections, and their protocols.
    """

    def __init__(self, error_log: ErrorLog, invoke: Callable[..., Any]) -> None:
        super().__init__(error_log, invoke)
        self.open: dict[Connection, Protocol] = {}
        self._opening: set[Connection] = set()
        self._counts = Counts()
        # So that no other thread sees a connection's bytes twice, or not at all. The same
        # thread may come again: in a signal's handler.
        self._lock = RLock()

    # What is asked

    def live(self) -> tuple[Connection, ...]:
        """Return the connections that have not ended, those in their handshake last."""
        return (*self.open, *self._opening)

    def statistics(self, buffered: int) -> Statistics:
        """Sum up; *buffered* bytes wait to be sent."""
        with self._lock:
            live = self.live()
            return self._counts.statistics(
                open=len(self.open),
                received=sum(each.bytes_received for each in live),
                sent=sum(each.bytes_sent for each in live),
                buffered=buffered,
            )

    def connection_info(self) -> tuple[ConnectionInfo, ...]:
        """Describe the live connections, those in their handshake last."""
        with self._lock:
            return tuple(info_of(each) for each in self.live())

    # A connection's life

    def accepted(self, peer: Address, local: Address) -> None:
        """A connection has begun, of which nothing else is known yet."""
        self._counts.accepted += 1
        if self.subscriptions:
            self.tell(Accepted(peer=peer, local=local))

    def refused(self, peer: Address, local: Address, why: str) -> None:
        """A peer is sent away; see ``Refused``."""
        self._counts.refused.add(why)
        if self.subscriptions:
            self.tell(Refused(peer=peer, local=local, why=why))

    def never_begun(self, peer: Address, local: Address, reason: ConnectionClosed) -> None:
        """An accepted connection has ended before it had a protocol."""
        with self._lock:
            self._counts.end(reason, 0, 0)
        if self.subscriptions:
            self.tell(
                Closed(
                    peer=peer,
                    local=local,
                    protocol=None,
                    reason=reason,
                    opened=False,
                    seconds=0.0,
                    bytes_received=0,
                    bytes_sent=0,
                    transport=None,
                )
            )

    def begun(self, connection: Connection) -> None:
        """It has a protocol, and is to be opened."""
        with self._lock:
            self._opening.add(connection)

    def opened(self, connection: Connection) -> None:
        """It is open."""
        with self._lock:
            self._opening.discard(connection)
            self.open[connection] = connection.protocol
            self._counts.opened += 1
        if self.subscriptions:
            self.tell(
                Opened(
                    peer=connection.peer,
                    local=connection.local,
                    protocol=class_name(connection.protocol),
                    seconds=age_of(connection),
                    transport=connection,
                ),
                connection,
            )

    def switched(self, connection: Connection) -> None:
        """Another protocol has taken it over."""
        self.open[connection] = connection.protocol

    def closed(self, connection: Connection) -> None:
        """It has ended, open or not."""
        reason = connection.reason
        assert reason is not None
        received, sent = connection.bytes_received, connection.bytes_sent
        with self._lock:
            opened = self.open.pop(connection, None) is not None
            self._opening.discard(connection)
            self._counts.end(reason, received, sent)
        if self.subscriptions:
            self.tell(
                Closed(
                    peer=connection.peer,
                    local=connection.local,
                    protocol=class_name(connection.protocol),
                    reason=reason,
                    opened=opened,
                    seconds=age_of(connection),
                    bytes_received=received,
                    bytes_sent=sent,
                    transport=connection,
                ),
                connection,
            )

    def failed(self, peer: Address | None, reason: ConnectionClosed) -> None:
        """User code raised what is the ``__cause__`` of *reason*."""
        error = reason.__cause__
        assert error is not None
        self._counts.errors.add(type(error).__name__)
        if self.subscriptions:
            where = getattr(reason, "callback", str(reason))
            self.tell(Failed(peer=peer, where=where, error=error))

    # Limits and the loop

    def limit_neared(self, limit: str, count: int, threshold: int) -> None:
        """A soft threshold was passed."""
        if self.subscriptions:
            self.tell(LimitNeared(limit=limit, count=count, threshold=threshold))

    def limit_reached(self, limit: str, maximum: float) -> None:
        """A limit keeps somebody out, or waiting."""
        self._counts.limits.add(limit)
        if self.subscriptions:
            self.tell(LimitReached(limit=limit, maximum=maximum))

    def callback_slow(self, protocol: str, peer: Address, seconds: float) -> None:
        """A callback has kept everything else waiting."""
        self._counts.slow_callbacks += 1
        if self.subscriptions:
            self.tell(CallbackSlow(protocol=protocol, peer=peer, seconds=seconds))

    # The server

    def listener_started(self, address: Address, endpoint: str) -> None:
        """A listener takes connections."""
        if self.subscriptions:
            self.tell(ListenerStarted(address=address, endpoint=endpoint))

    def listener_stopped(self, address: Address, endpoint: str) -> None:
        """A listener was closed."""
        if self.subscriptions:
            self.tell(ListenerStopped(address=address, endpoint=endpoint))

    def suspended(self) -> None:
        """The server accepts nothing for the time being."""
        if self.subscriptions:
            self.tell(Suspended())

    def resumed(self) -> None:
        """The server accepts again."""
        if self.subscriptions:
            self.tell(Resumed())

    def drain_started(self, connections: int, grace: float, force: float) -> None:
        """A drain begins."""
        if self.subscriptions:
            self.tell(DrainStarted(connections=connections, grace=grace, force=force))

    def drain_progress(self, phase: str, connections: int) -> None:
        """A drain goes on."""
        if self.subscriptions:
            self.tell(DrainProgress(phase=phase, connections=connections))

    def drain_finished(self, finished: int, cancelled: int, aborted: int, seconds: float) -> None:
        """A drain is over."""
        drained = self._counts.drained
        drained.add("finished", finished)
        drained.add("cancelled", cancelled)
        drained.add("aborted", aborted)
        if self.subscriptions:
            self.tell(
                DrainFinished(
                    finished=finished, cancelled=cancelled, aborted=aborted, seconds=seconds
                )
            )
