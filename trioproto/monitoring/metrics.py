"""Every metric, in one table: its names, what it counts, and where it is read.

The exporters make their instruments of it, and the docs their catalogue. No
metric has a label whose values peers make up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from trioproto.sansio.counts import Statistics
from trioproto.sansio.events import Closed, Event, Opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number that is read from the statistics when somebody asks.

    Attributes:
        prometheus: its name for Prometheus.
        opentelemetry: its name for OpenTelemetry.
        kind: whether it only grows.
        unit: as OpenTelemetry writes units.
        label: what tells its parts apart, if it has any.
        text: what it counts.
        read: takes its value, or its values by label, out of the statistics.
    """

    prometheus: str
    opentelemetry: str
    kind: Literal["counter", "gauge"]
    unit: str
    label: str | None = None
    text: str
    read: Callable[[Statistics], int | Mapping[str, int]]

    def values(self, statistics: Statistics) -> list[tuple[tuple[str, ...], int]]:
        """Return its values, each with the label's value, if it has a label."""
        value = self.read(statistics)
        if isinstance(value, Mapping):
            return [((name,), count) for name, count in value.items()]
        return [((), value)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """A histogram of seconds, taken from events as they happen.

    Attributes:
        prometheus: its name for Prometheus.
        opentelemetry: its name for OpenTelemetry.
        text: what is measured.
        buckets: upper bounds, in seconds.
        read: takes the seconds out of an event, if it has any.
    """

    prometheus: str
    opentelemetry: str
    text: str
    buckets: tuple[float, ...]
    read: Callable[[Event], float | None]


def _handshake(event: Event) -> float | None:
    if isinstance(event, Opened) and event.transport.tls is not None:
        return event.seconds
    return None


def _connection(event: Event) -> float | None:
    return event.seconds if isinstance(event, Closed) and event.opened else None


METRICS: tuple[Metric, ...] = (
    Metric(
        prometheus="trioproto_connections_open",
        opentelemetry="trioproto.connections.open",
        kind="gauge",
        unit="{connection}",
        text="Connections that are open.",
        read=lambda now: now.open,
    ),
    Metric(
        prometheus="trioproto_connections_opening",
        opentelemetry="trioproto.connections.opening",
        kind="gauge",
        unit="{connection}",
        text="Connections that owe a PROXY header or a TLS handshake.",
        read=lambda now: now.opening,
    ),
    Metric(
        prometheus="trioproto_connections_accepted_total",
        opentelemetry="trioproto.connections.accepted",
        kind="counter",
        unit="{connection}",
        text="Connections that have begun.",
        read=lambda now: now.accepted,
    ),
    Metric(
        prometheus="trioproto_connections_opened_total",
        opentelemetry="trioproto.connections.opened",
        kind="counter",
        unit="{connection}",
        text="Connections that have been open.",
        read=lambda now: now.opened,
    ),
    Metric(
        prometheus="trioproto_connections_closed_total",
        opentelemetry="trioproto.connections.closed",
        kind="counter",
        unit="{connection}",
        label="reason",
        text="Connections that have ended, by the reason's class.",
        read=lambda now: now.closed,
    ),
    Metric(
        prometheus="trioproto_connections_refused_total",
        opentelemetry="trioproto.connections.refused",
        kind="counter",
        unit="{connection}",
        label="why",
        text="Peers that were sent away, by the limit, or by the protocol.",
        read=lambda now: now.refused,
    ),
    Metric(
        prometheus="trioproto_connections_drained_total",
        opentelemetry="trioproto.connections.drained",
        kind="counter",
        unit="{connection}",
        label="how",
        text="Connections that were open when a drain began, by how they ended.",
        read=lambda now: now.drained,
    ),
    Metric(
        prometheus="trioproto_errors_total",
        opentelemetry="trioproto.errors",
        kind="counter",
        unit="{error}",
        label="error",
        text="Errors in user code, by the exception's class.",
        read=lambda now: now.errors,
    ),
    Metric(
        prometheus="trioproto_limits_reached_total",
        opentelemetry="trioproto.limits.reached",
        kind="counter",
        unit="{event}",
        label="limit",
        text="Times that a limit was told of as reached, by the limit.",
        read=lambda now: now.limits,
    ),
    Metric(
        prometheus="trioproto_slow_callbacks_total",
        opentelemetry="trioproto.callbacks.slow",
        kind="counter",
        unit="{callback}",
        text="Callbacks that have kept everything else waiting.",
        read=lambda now: now.slow_callbacks,
    ),
    Metric(
        prometheus="trioproto_received_bytes_total",
        opentelemetry="trioproto.io.received",
        kind="counter",
        unit="By",
        text="Bytes that came, as they were on the wire.",
        read=lambda now: now.bytes_received,
    ),
    Metric(
        prometheus="trioproto_sent_bytes_total",
        opentelemetry="trioproto.io.sent",
        kind="counter",
        unit="By",
        text="Bytes that the kernel, or the stream, has taken.",
        read=lambda now: now.bytes_sent,
    ),
    Metric(
        prometheus="trioproto_buffered_bytes",
        opentelemetry="trioproto.io.buffered",
        kind="gauge",
        unit="By",
        text="Bytes that wait to be sent.",
        read=lambda now: now.buffered,
    ),
)
"""All numbers."""

DURATIONS: tuple[Duration, ...] = (
    Duration(
        prometheus="trioproto_connection_duration_seconds",
        opentelemetry="trioproto.connection.duration",
        text="How long connections lived that have been open.",
        buckets=(0.01, 0.1, 1, 10, 60, 600, 3600, 86400),
        read=_connection,
    ),
    Duration(
        prometheus="trioproto_handshake_duration_seconds",
        opentelemetry="trioproto.handshake.duration",
        text="How long TLS handshakes took that came before the opening.",
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        read=_handshake,
    ),
)
"""All histograms."""
