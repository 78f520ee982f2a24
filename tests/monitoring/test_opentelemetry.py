"""What OpenTelemetry's SDK collects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import trio
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from trio.testing import MockClock

from tests.monitoring.conversations import Echo, talking
from trioproto import Factory, Protocol
from trioproto.factory import Factory as PureFactory
from trioproto.monitoring.metrics import DURATIONS, METRICS
from trioproto.monitoring.opentelemetry import export
from trioproto.testing import Harness


class Sdk:
    """The SDK, with a reader that is asked by hand."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.meter = self.provider.get_meter("trioproto")

    def metrics(self) -> dict[str, Any]:
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def values(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """All numbers, by name and values of attributes."""
        return {
            (name, tuple(str(value) for _, value in sorted(point.attributes.items()))): point.value
            for name, metric in self.metrics().items()
            for point in metric.data.data_points
            if not isinstance(point, HistogramDataPoint)
        }


@pytest.fixture
def sdk() -> Iterator[Sdk]:
    made = Sdk()
    yield made
    made.provider.shutdown()


async def test_the_numbers_are_those_of_the_statistics(sdk: Sdk) -> None:
    factory = Factory(Echo)
    with export(factory, meter=sdk.meter):
        async with talking(factory):
            now = sdk.values()
            assert now["trioproto.connections.open", ()] == 1
            assert now["trioproto.connections.accepted", ()] == 1
            assert now["trioproto.io.received", ()] == 5
            assert now["trioproto.io.sent", ()] == 10
        now = sdk.values()
        assert now["trioproto.connections.open", ()] == 0
        assert now["trioproto.connections.closed", ("ConnectionDone",)] == 1


async def test_the_lives_of_connections_are_a_histogram(
    sdk: Sdk, autojump_clock: MockClock
) -> None:
    factory = Factory(Echo, idle_timeout=None)
    with export(factory, meter=sdk.meter):
        async with talking(factory):
            await trio.sleep(30)
        metric = sdk.metrics()["trioproto.connection.duration"]
    (point,) = metric.data.data_points
    assert point.count == 1
    assert point.sum >= 30
    assert metric.unit == "s"
    assert tuple(point.explicit_bounds) == DURATIONS[0].buckets
    assert point.bucket_counts[list(point.explicit_bounds).index(60)] == 1


def test_every_metric_of_the_table_is_there_with_its_unit(sdk: Sdk) -> None:
    """A label's values come as they happen, the rest is there at once."""
    factory = PureFactory(Protocol)
    with export(factory, meter=sdk.meter):
        found = sdk.metrics()
    for metric in METRICS:
        assert (metric.opentelemetry in found) is (metric.label is None)
        if metric.label is None:
            shown = found[metric.opentelemetry]
            assert (shown.unit, shown.description) == (metric.unit, metric.text)
            assert shown.data.is_monotonic is (metric.kind == "counter")


def test_nothing_is_observed_after_the_block(sdk: Sdk) -> None:
    factory = PureFactory(Protocol)
    with export(factory, meter=sdk.meter):
        assert sdk.values()
        assert factory._monitor.subscriptions
    assert sdk.values() == {}
    assert not factory._monitor.subscriptions


def test_the_instruments_of_a_meter_are_made_once(
    sdk: Sdk, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK warns of two of the same name."""
    for _ in range(2):
        with export(PureFactory(Protocol), meter=sdk.meter):
            assert sdk.values()["trioproto.connections.open", ()] == 0
    assert caplog.records == []


def test_several_servers_share_a_meter_by_their_names(sdk: Sdk) -> None:
    chat, web = PureFactory(Protocol), PureFactory(Protocol)
    with (
        export(chat, server="chat", meter=sdk.meter),
        export(web, server="web", meter=sdk.meter),
    ):
        Harness(web).connect()
        now = sdk.values()
        assert now["trioproto.connections.open", ("chat",)] == 0
        assert now["trioproto.connections.open", ("web",)] == 1


def test_a_name_is_taken_once(sdk: Sdk) -> None:
    with (
        export(PureFactory(Protocol), meter=sdk.meter),
        pytest.raises(ValueError, match="name this another"),
        export(PureFactory(Protocol), meter=sdk.meter),
    ):
        pass


def test_without_an_sdk_nothing_happens() -> None:
    factory = PureFactory(Protocol)
    with export(factory):
        harness = Harness(factory)
        harness.connect()
        harness.reset()
    assert factory.statistics().closed == {"ConnectionLost": 1}
