"""Every default in one place, with its unit and its reason.

The table below is the single source: ``Factory`` takes these names as keywords
and as class attributes, and the docs' table is made from this class.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

KIB = 1024
MIB = 1024 * KIB


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
    receive_rate: float | None = None
    """Bytes a second that are read from each connection at most (``None``: any number)."""
    send_rate: float | None = None
    """Bytes a second that are sent on each connection at most."""
    receive_rate_total: float | None = None
    """Bytes a second that are read from all connections of a factory together; counts at once."""
    send_rate_total: float | None = None
    """Bytes a second that are sent on all of them together; counts at once."""
    handshake_timeout: float | None = 10
    """Seconds for the layers below the protocol to be ready."""
    require_close_notify: bool = True
    """Whether an end of input without TLS's own is a loss: somebody may have cut the stream."""
    idle_timeout: float | None = 60
    """Seconds without a byte from the peer while we wait for it."""
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
        for name in ("handshake_timeout", "idle_timeout", "write_timeout", "callback_timeout"):
            value = getattr(self, name)
            _require(value is None or value > 0, name, "above 0, or None")
        for name in ("receive_rate", "send_rate", "receive_rate_total", "send_rate_total"):
            rate = getattr(self, name)
            _require(rate is None or 0 < rate < inf, name, "above 0, or None")
        for name in ("close_timeout", "cleanup_timeout", "linger", "drain_grace", "drain_force"):
            _require(getattr(self, name) >= 0, name, "at least 0")
        limit = self.max_connections
        _require(limit is None or limit >= 1, "max_connections", "at least 1, or None")
        _require(self.at_limit in ("wait", "refuse"), "at_limit", '"wait" or "refuse"')
        _require(self.callback_errors in ("log", "raise"), "callback_errors", '"log" or "raise"')
        refusal: object = self.refusal
        _require(refusal is None or isinstance(refusal, bytes), "refusal", "bytes, or None")


def _require(holds: bool, name: str, wanted: str) -> None:
    if not holds:
        raise ValueError(f"{name} must be {wanted}")
