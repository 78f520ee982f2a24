"""Every default in one place, with its unit and its reason.

The table below is the single source: ``Factory`` takes these names as keywords
and as class attributes, and the docs' table is made from this class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

KIB = 1024
MIB = 1024 * KIB

TimeoutName: TypeAlias = Literal[
    "handshake_timeout",
    "first_byte_timeout",
    "idle_timeout",
    "min_receive_rate",
    "receive_window",
    "write_timeout",
    "close_timeout",
    "cleanup_timeout",
    "linger",
    "callback_timeout",
    "max_age",
]
"""What may be another for a single connection (``transport.set_timeout``)."""

TIMEOUT_NAMES: tuple[str, ...] = get_args(TimeoutName)

_ABOVE_ZERO_OR_NONE = (
    "handshake_timeout",
    "first_byte_timeout",
    "idle_timeout",
    "min_receive_rate",
    "write_timeout",
    "callback_timeout",
    "max_age",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set for a factory and its connections.

    Times are in seconds, sizes in bytes. A time of ``None`` switches that
    deadline off. A connection keeps the settings that its factory had when it
    was accepted.

    Raises:
        ValueError: a value is out of its range; the message names it.
    """

    read_size: int = 64 * KIB
    """Bytes asked for in one read. Above 128 KiB the allocator maps and unmaps memory at each."""
    high_water: int = 64 * KIB
    """Bytes of waiting output above which reading from that peer pauses."""
    low_water: int = 16 * KIB
    """Bytes of waiting output at or below which it resumes."""
    max_buffered: int = 4 * MIB
    """Bytes of waiting output above which the next write aborts the connection."""
    max_buffered_total: int = 256 * MIB
    """The same over all connections: above it the one with most waiting is aborted."""
    handshake_timeout: float | None = 10
    """Seconds for the layers below the protocol to be ready."""
    require_close_notify: bool = True
    """Whether an end of input without TLS's own is a loss: somebody may have cut the stream."""
    first_byte_timeout: float | None = None
    """Seconds for the first byte after the opening; off, as some peers only listen."""
    idle_timeout: float | None = 60
    """Seconds without a byte from the peer while we wait for it."""
    min_receive_rate: float | None = None
    """Bytes a second that a peer must send in a frame that it has begun; off: links differ."""
    receive_window: float = 10
    """Seconds over which that rate is measured, as long as all that we do is wait for the peer."""
    write_timeout: float | None = 30
    """Seconds in which the peer must take at least one byte of waiting output."""
    close_timeout: float = 15
    """Seconds for the flush after ``close()``, plus one for each 64 KiB that waited then."""
    cleanup_timeout: float = 2
    """Seconds for an async ``connection_lost`` or ``stop_factory``, even when cancelled."""
    linger: float = 2
    """Seconds to wait for the peer's EOF after ours, so that the reply's tail is not destroyed."""
    callback_timeout: float | None = None
    """Seconds that an async callback may run; off, since only the user knows."""
    max_age: float | None = None
    """Seconds after which a connection is drained, alone, with the times of a drain."""
    drain_grace: float = 15
    """Seconds that a drain waits for connections to finish before it cancels their callbacks."""
    drain_force: float = 5
    """Seconds after that, before it aborts what is left."""
    max_connections: int | None = 1024
    """Connections at once, over all listeners (``None``: no limit)."""
    at_limit: Literal["wait", "refuse"] = "wait"
    """At the limit: leave newcomers in the kernel's backlog, or accept and close them."""
    refusal: bytes | None = None
    """Bytes that a refused peer is sent before it is closed."""
    backlog: int = 1024
    """Connections that the kernel keeps for us until they are accepted."""
    tcp_nodelay: bool = True
    """Send small segments at once: output is joined here already."""
    keepalive: bool = True
    """Let the kernel probe silent peers."""
    callback_errors: Literal["log", "raise"] = "log"
    """An exception in user code is logged and ends its connection, or ends the server."""

    def __post_init__(self) -> None:
        for name in ("read_size", "max_buffered", "max_buffered_total", "backlog"):
            _require(getattr(self, name) >= 1, name, "at least 1")
        _require(self.low_water >= 0, "low_water", "at least 0")
        _require(self.high_water >= 1, "high_water", "at least 1")
        _require(self.high_water >= self.low_water, "high_water", "at least low_water")
        _require(self.max_buffered >= self.high_water, "max_buffered", "at least high_water")
        for name in _ABOVE_ZERO_OR_NONE:
            value = getattr(self, name)
            _require(value is None or value > 0, name, "above 0, or None")
        for name in ("close_timeout", "cleanup_timeout", "linger", "drain_grace", "drain_force"):
            seconds: float | None = getattr(self, name)  # None: what set_timeout was given
            _require(seconds is not None and seconds >= 0, name, "at least 0")
        window: float | None = self.receive_window
        _require(window is not None and window > 0, "receive_window", "above 0")
        limit = self.max_connections
        _require(limit is None or limit >= 1, "max_connections", "at least 1, or None")
        _require(self.at_limit in ("wait", "refuse"), "at_limit", '"wait" or "refuse"')
        _require(self.callback_errors in ("log", "raise"), "callback_errors", '"log" or "raise"')
        refusal: object = self.refusal
        _require(refusal is None or isinstance(refusal, bytes), "refusal", "bytes, or None")


def _require(holds: bool, name: str, wanted: str) -> None:
    if not holds:
        raise ValueError(f"{name} must be {wanted}")
