"""Metrics for Prometheus, by ``prometheus-client``: the extra ``prometheus``.

The numbers are read when Prometheus asks for them, in whichever thread that is;
only the two histograms are fed by events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from trioproto.monitoring.metrics import DURATIONS, METRICS, Metric
from trioproto.monitoring.source import Source, statistics_of, subscribe_to
from trioproto.sansio.events import Event

SERVER = "server"
"""The label that tells the sources of one registry apart."""


@contextmanager
def export(
    source: Source, *, server: str = "", registry: CollectorRegistry | None = None
) -> Iterator[None]:
    """Have the metrics of *source* in a registry while the block runs.

    Args:
        source: a factory or a server.
        server: the value of the label ``server``; needed if several share a
            registry. An empty one is to Prometheus as if there was no label.
        registry: where; by default ``prometheus_client``'s own.

    Raises:
        ValueError: the registry has a *server* of that name, or metrics of the
            same names that are not ours.
    """
    registry = REGISTRY if registry is None else registry
    exporter = _exporters.get(registry)
    if exporter is None:
        exporter = _Exporter()
        registry.register(exporter)
        _exporters[registry] = exporter
    exporter.add(server, source)
    try:
        with subscribe_to(source, lambda event: exporter.observe(server, event)):
            yield
    finally:
        exporter.remove(server)
        if not exporter.sources:
            registry.unregister(exporter)
            del _exporters[registry]


class _Exporter(Collector):
    """All that one registry shows of us."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self._histograms = [
            Histogram(each.prometheus, each.text, [SERVER], registry=None, buckets=each.buckets)
            for each in DURATIONS
        ]

    def add(self, server: str, source: Source) -> None:
        if server in self.sources:
            raise ValueError(f"the registry shows a server {server!r} already: name this another")
        self.sources[server] = source
        for histogram in self._histograms:
            histogram.labels(server)

    def remove(self, server: str) -> None:
        del self.sources[server]
        for histogram in self._histograms:
            histogram.remove(server)

    def observe(self, server: str, event: Event) -> None:
        for duration, histogram in zip(DURATIONS, self._histograms, strict=True):
            seconds = duration.read(event)
            if seconds is not None:
                histogram.labels(server).observe(seconds)

    def describe(self) -> Iterable[Family]:
        """Return what the names are, for the registry to see that no two are alike."""
        for metric in METRICS:
            yield _family(metric)
        for histogram in self._histograms:
            yield from histogram.describe()

    def collect(self) -> Iterable[Family]:
        """Return what the values are now; in any thread."""
        now = [(server, statistics_of(each)) for server, each in list(self.sources.items())]
        for metric in METRICS:
            family = _family(metric)
            for server, statistics in now:
                for label, value in metric.values(statistics):
                    family.add_metric([server, *label], value)
            yield family
        for histogram in self._histograms:
            yield from histogram.collect()


_exporters: WeakKeyDictionary[CollectorRegistry, _Exporter] = WeakKeyDictionary()


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    labels = [SERVER] if metric.label is None else [SERVER, metric.label]
    return kind(metric.prometheus, metric.text, labels=labels)
