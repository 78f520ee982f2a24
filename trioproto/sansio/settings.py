"""Every default in one place, with its unit and its reason.

The table below is the single source: ``Factory`` takes these names as keywords
and as class attributes, and the docs' table is made from this class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, TypeAlias, get_args

from trioproto.sansio.traffic_log import TrafficLog

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
    "slow_callback",
    "max_age",
    "max_accept_rate",
    "refuse_after",
)
_AT_LEAST_ZERO = (
    "close_timeout",
    "cleanup_timeout",
    "linger",
    "drain_grace",
    "drain_force",
    "alarm_interval",
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
    slow_callback: float | None = 0.1
    """Seconds, from 0.005, that a callback may keep everything waiting before that is told."""
    max_age: float | None = None
    """Seconds after which a connection is drained, alone, with the times of a drain."""
    drain_grace: float = 15
    """Seconds that a drain waits for connections to finish before it cancels their callbacks."""
    drain_force: float = 5
    """Seconds after that, before it aborts what is left."""
    max_connections: int | None = 1024
    """Connections at once, over all listeners (``None``: no limit)."""
    max_per_peer: int | None = None
    """The same for one peer, who is refused beyond it; off, as many may share an address."""
    ipv4_prefix: int = 32
    """Bits of an IPv4 address that tell peers apart: 24 counts a whole /24 as one."""
    ipv6_prefix: int = 64
    """The same of an IPv6 address: most get a /64 to themselves."""
    max_handshakes: int | None = None
    """Connections at once in their TLS handshake, which costs much, of those let in with one."""
    max_accept_rate: float | None = None
    """Connections a second that are let in; up to as many at once after a quiet second."""
    at_limit: Literal["wait", "refuse"] = "wait"
    """At a limit: leave newcomers in the kernel's backlog, or accept and refuse them."""
    refuse_after: float | None = None
    """Seconds after which who waits is refused; it then waits accepted, up to ``backlog`` do."""
    refusal: bytes | Callable[[], Any] | None = None
    """What a refused peer is sent before it is closed, or makes the protocol that tells it so."""
    refusal_timeout: float = 1
    """Seconds for each step of a refusal: handshake, telling, the peer's EOF."""
    soft_limit: int | None = None
    """Connections at which ``soft_limit_reached`` is called."""
    alarm_interval: float = 60
    """Seconds in which that call, and the news of one limit, are not repeated."""
    backlog: int = 1024
    """Connections that the kernel keeps for us until they are accepted."""
    tcp_nodelay: bool = True
    """Send small segments at once: output is joined here already."""
    keepalive: bool = True
    """Let the kernel probe silent peers."""
    callback_errors: Literal["log", "raise"] = "log"
    """An exception in user code is logged and ends its connection, or ends the server."""
    traffic_log: TrafficLog | None = None
    """How the last bytes of each connection are kept (``None``: not at all)."""

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
        for name in ("receive_rate", "send_rate", "receive_rate_total", "send_rate_total"):
            rate = getattr(self, name)
            _require(rate is None or 0 < rate < inf, name, "above 0, or None")
        for name in _AT_LEAST_ZERO:
            seconds: float | None = getattr(self, name)  # None: what set_timeout was given
            _require(seconds is not None and seconds >= 0, name, "at least 0")
        window: float | None = self.receive_window
        _require(window is not None and window > 0, "receive_window", "above 0")
        _require(self.refusal_timeout > 0, "refusal_timeout", "above 0")
        for name in ("max_connections", "max_per_peer", "max_handshakes", "soft_limit"):
            limit = getattr(self, name)
            whole = limit is None or (isinstance(limit, int) and limit >= 1)
            _require(whole, name, "at least 1, or None")
        _require(0 <= self.ipv4_prefix <= 32, "ipv4_prefix", "from 0 to 32")
        _require(0 <= self.ipv6_prefix <= 128, "ipv6_prefix", "from 0 to 128")
        _require(self.at_limit in ("wait", "refuse"), "at_limit", '"wait" or "refuse"')
        _require(self.callback_errors in ("log", "raise"), "callback_errors", '"log" or "raise"')
        refusal: object = self.refusal
        known = refusal is None or isinstance(refusal, bytes) or callable(refusal)
        _require(known, "refusal", "bytes, what makes a protocol, or None")
        log: object = self.traffic_log
        _require(log is None or isinstance(log, TrafficLog), "traffic_log", "a TrafficLog, or None")


def _require(holds: bool, name: str, wanted: str) -> None:
    if not holds:
        raise ValueError(f"{name} must be {wanted}")
