"""Metrics for OpenTelemetry, by its API: the extra ``opentelemetry``.

The numbers are observed when the SDK asks for them, in whichever thread that is;
only the two histograms are fed by events. Where no SDK is set up, nothing
happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from trioproto.monitoring.metrics import DURATIONS, METRICS, Metric
from trioproto.monitoring.source import Source, statistics_of, subscribe_to
from trioproto.sansio.events import Event

SERVER = "server"
"""The attribute that tells the sources of one meter apart."""


@contextmanager
def export(source: Source, *, server: str = "", meter: Meter | None = None) -> Iterator[None]:
    """Have the metrics of *source* observed while the block runs.

    Args:
        source: a factory or a server.
        server: the value of the attribute ``server``, if it is not empty; needed
            if several share a meter.
        meter: what makes the instruments; by default the meter ``trioproto`` of
            the provider that the program has set up.

    Raises:
        ValueError: the meter has a *server* of that name.
    """
    meter = metrics.get_meter("trioproto") if meter is None else meter
    instruments = _instruments.get(meter)
    if instruments is None:
        instruments = _instruments[meter] = _Instruments(meter)
    sources = instruments.sources
    if server in sources:
        raise ValueError(f"the meter shows a server {server!r} already: name this another")
    sources[server] = source
    try:
        with subscribe_to(source, lambda event: instruments.observe(server, event)):
            yield
    finally:
        del sources[server]


class _Instruments:
    """The instruments of one meter, which has no way to forget any."""

    def __init__(self, meter: Meter) -> None:
        self.sources: dict[str, Source] = {}
        for metric in METRICS:
            create = (
                meter.create_observable_counter
                if metric.kind == "counter"
                else meter.create_observable_up_down_counter
            )
            create(metric.opentelemetry, [self._reader(metric)], metric.unit, metric.text)
        self._histograms = [
            meter.create_histogram(
                each.opentelemetry,
                "s",
                each.text,
                explicit_bucket_boundaries_advisory=each.buckets,
            )
            for each in DURATIONS
        ]

    def _reader(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        """Make what the SDK calls for the values of *metric*."""

        def read(_options: CallbackOptions) -> Iterable[Observation]:
            for server, source in list(self.sources.items()):
                for label, value in metric.values(statistics_of(source)):
                    labels = dict(zip((metric.label or "",), label, strict=False))
                    yield Observation(value, {**_attributes(server), **labels})

        return read

    def observe(self, server: str, event: Event) -> None:
        for duration, histogram in zip(DURATIONS, self._histograms, strict=True):
            seconds = duration.read(event)
            if seconds is not None:
                histogram.record(seconds, _attributes(server))


_instruments: WeakKeyDictionary[Meter, _Instruments] = WeakKeyDictionary()


def _attributes(server: str) -> dict[str, str]:
    return {SERVER: server} if server else {}
