"""What a server tells of itself: one class for each kind of event.

An event is a frozen record, made only if somebody listens. Its ``name`` stays
the same from one version to the next; so do the names of its fields. Its text is
one line, for a log.

The strings below the fields are the docs' catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.errors import ConnectionClosed
    from trioproto.sansio.transport import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events have.

    Attributes:
        name: what kind of event this is, ``"connection.closed"`` say.
    """

    name: ClassVar[str]


# Listeners


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfListener(Event):
    address: Address
    """What was bound."""
    endpoint: str
    """The endpoint, as it was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerStarted(_OfListener):
    """A listener takes connections from now on."""

    name: ClassVar[str] = "listener.started"

    def __str__(self) -> str:
        return f"listening on {self.address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerStopped(_OfListener):
    """A listener was closed."""

    name: ClassVar[str] = "listener.stopped"

    def __str__(self) -> str:
        return f"no longer listening on {self.address}"


# Connections


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfConnection(Event):
    peer: Address
    """The other side's address; the proxy's, until its PROXY header has come."""
    local: Address
    """Our own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(_OfConnection):
    """A connection has begun: accepted, given to `handle`, or made by `stay_connected`.

    `connection.closed` follows in any case.
    """

    name: ClassVar[str] = "connection.accepted"

    def __str__(self) -> str:
        return f"connection from {self.peer} accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(_OfConnection):
    """A peer was sent away, before a protocol was built for it.

    At a limit of the server's it was never accepted. What is found out only
    later (`why` is `protocol`, say) happens to an accepted one.
    """

    name: ClassVar[str] = "connection.refused"

    why: str
    """The limit's name, or `protocol`: `build_protocol` returned `None`."""

    def __str__(self) -> str:
        return f"connection from {self.peer} refused: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(_OfConnection):
    """A connection is open; `connection_made` is called next.

    Who closes it now sees to it that its protocol hears nothing.
    """

    name: ClassVar[str] = "connection.opened"

    protocol: str
    """The qualified name of the protocol's class."""
    seconds: float
    """From the building of the protocol until now: what the TLS handshake took."""
    transport: Transport = field(repr=False)
    """The connection; `write`, `close` and `abort` may be called."""

    def __str__(self) -> str:
        return f"connection from {self.peer} open, to {self.protocol}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(_OfConnection):
    """A connection that was accepted has ended; `connection_lost` is called next."""

    name: ClassVar[str] = "connection.closed"

    protocol: str | None
    """The qualified name of its protocol's class, if one was built."""
    reason: ConnectionClosed
    """Why."""
    opened: bool
    """Whether it was open ever, and not only on its way to that."""
    seconds: float
    """From the building of the protocol until now; 0 if none was built."""
    bytes_received: int
    """Bytes that came from the peer, as they were on the wire."""
    bytes_sent: int
    """Bytes that the kernel, or the stream, has taken."""
    transport: Transport | None = field(repr=False)
    """The connection, for what it was; `None` if no protocol was built."""

    def __str__(self) -> str:
        why = " ".join(str(self.reason).split())[:200] or type(self.reason).__name__
        counts = f"{self.bytes_received} bytes in, {self.bytes_sent} out"
        ended = "closed" if self.opened else "ended before it was open"
        return f"connection from {self.peer} {ended} after {self.seconds:.3g} s, {counts}: {why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """User code raised, which ends its connection: a callback, a task, `build_protocol`.

    Not with `callback_errors="raise"`, where the error comes out of the server.
    """

    name: ClassVar[str] = "connection.error"

    peer: Address | None
    """The other side's address."""
    where: str
    """The qualified name of what was called."""
    error: BaseException
    """What it raised."""

    def __str__(self) -> str:
        return f"error in {self.where}, peer {self.peer}: {self.error!r:.200}"


# Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitNeared(Event):
    """A limit's soft threshold was passed."""

    name: ClassVar[str] = "limit.neared"

    limit: str
    """The threshold's name: the setting's."""
    count: int
    """What is in use."""
    threshold: int
    """What the setting says."""

    def __str__(self) -> str:
        return f"{self.limit}: {self.count} in use, {self.threshold} is the threshold"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReached(Event):
    """A limit keeps somebody out, or makes somebody wait; told once in a while."""

    name: ClassVar[str] = "limit.reached"

    limit: str
    """The limit's name: the setting's."""
    maximum: float
    """What may be in use."""

    def __str__(self) -> str:
        return f"{self.limit}: the limit of {self.maximum:g} is reached"


# The server


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainStarted(Event):
    """The server begins to drain."""

    name: ClassVar[str] = "drain.started"

    connections: int
    """Connections that are open."""
    grace: float
    """Seconds for them to finish."""
    force: float
    """Seconds after that, until what is left is aborted."""

    def __str__(self) -> str:
        return f"draining {_connections(self.connections)}, within {self.grace:g} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainProgress(Event):
    """A drain goes on."""

    name: ClassVar[str] = "drain.progress"

    phase: str
    """`cancel`: the grace is over, who still runs is cancelled; `abort`: the rest is reset."""
    connections: int
    """Connections that are left."""

    def __str__(self) -> str:
        return f"draining ({self.phase}): {_connections(self.connections)} left"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainFinished(Event):
    """A drain is over: of the connections that were open at its begin none is left."""

    name: ClassVar[str] = "drain.finished"

    finished: int
    """How many ended by themselves."""
    cancelled: int
    """How many because their callback was cancelled."""
    aborted: int
    """How many because they could not be flushed in time."""
    seconds: float
    """How long it took."""

    def __str__(self) -> str:
        ends = f"{self.finished} finished, {self.cancelled} cancelled, {self.aborted} aborted"
        return f"drained in {self.seconds:.3g} s: {ends}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended(Event):
    """The server accepts no connections for the time being."""

    name: ClassVar[str] = "server.suspended"

    def __str__(self) -> str:
        return "suspended: no connections are let in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Event):
    """The server accepts connections again."""

    name: ClassVar[str] = "server.resumed"

    def __str__(self) -> str:
        return "resumed: connections are let in again"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSlow(Event):
    """A callback has kept everything else waiting."""

    name: ClassVar[str] = "callback.slow"

    protocol: str
    """The qualified name of the protocol's class."""
    peer: Address
    """The other side's address."""
    seconds: float
    """For how long."""

    def __str__(self) -> str:
        return f"{self.protocol} kept everything waiting for {self.seconds:.3g} s, peer {self.peer}"


EVENTS: tuple[type[Event], ...] = (
    ListenerStarted,
    ListenerStopped,
    Accepted,
    Refused,
    Opened,
    Closed,
    Failed,
    LimitNeared,
    LimitReached,
    DrainStarted,
    DrainProgress,
    DrainFinished,
    Suspended,
    Resumed,
    CallbackSlow,
)
"""Every kind of event."""


def _connections(count: int) -> str:
    return f"{count} connection{'s' * (count != 1)}"
