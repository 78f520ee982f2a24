"""What Prometheus gets to see, read back as it would be."""

from __future__ import annotations

import pytest
import trio
from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock

from tests.monitoring.conversations import Echo, talking
from tests.serving.conversations import Greeter, settle
from tests.serving.test_drain_reports import dial_tls, over_tls, say_farewell
from trioproto import Factory, Protocol, open_server
from trioproto.factory import Factory as PureFactory
from trioproto.monitoring.metrics import DURATIONS, METRICS
from trioproto.monitoring.prometheus import export
from trioproto.testing import Harness


def scraped(registry: CollectorRegistry) -> dict[tuple[str, tuple[str, ...]], float]:
    """All samples, by name and values of labels."""
    text = generate_latest(registry).decode()
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_the_numbers_are_those_of_the_statistics() -> None:
    registry = CollectorRegistry()
    factory = Factory(Echo)
    with export(factory, registry=registry):
        async with talking(factory):
            now = scraped(registry)
            assert now["trioproto_connections_open", ("",)] == 1
            assert now["trioproto_connections_accepted_total", ("",)] == 1
            assert now["trioproto_received_bytes_total", ("",)] == 5
            assert now["trioproto_sent_bytes_total", ("",)] == 10
        now = scraped(registry)
        assert now["trioproto_connections_open", ("",)] == 0
        assert now["trioproto_connections_closed_total", ("ConnectionDone", "")] == 1


async def test_the_lives_of_connections_are_a_histogram(autojump_clock: MockClock) -> None:
    registry = CollectorRegistry()
    factory = Factory(Echo, idle_timeout=None)
    with export(factory, registry=registry):
        async with talking(factory):
            await trio.sleep(30)
        now = scraped(registry)
    name = "trioproto_connection_duration_seconds"
    assert now[f"{name}_count", ("",)] == 1
    assert now[f"{name}_sum", ("",)] >= 30
    assert now[f"{name}_bucket", ("10.0", "")] == 0
    assert now[f"{name}_bucket", ("60.0", "")] == 1


async def test_tls_handshakes_are_a_histogram(autojump_clock: MockClock) -> None:
    registry = CollectorRegistry()
    async with open_server(Factory(Greeter), over_tls()) as server:
        with export(server, registry=registry):
            speaker = dial_tls(server)
            await speaker.shake()
            assert await speaker.receive_exactly(5) == b"hello"
            await settle()
            now = scraped(registry)
            assert now["trioproto_handshake_duration_seconds_count", ("",)] == 1
        server.stop()
        await say_farewell([speaker])
        await server.wait_closed()


def test_every_metric_of_the_table_is_shown_from_the_beginning_on() -> None:
    """A label's values come as they happen, the rest is there at once."""
    registry = CollectorRegistry()
    with export(PureFactory(Protocol), registry=registry):
        text = generate_latest(registry).decode()
        names = {sample for sample, _ in scraped(registry)}
    for metric in METRICS:
        assert f"# HELP {metric.prometheus} {metric.text}\n" in text
        assert f"# TYPE {metric.prometheus} {metric.kind}\n" in text
        assert (metric.prometheus in names) is (metric.label is None)
    for duration in DURATIONS:
        assert f"# TYPE {duration.prometheus} histogram\n" in text


def test_nothing_is_left_in_the_registry_after_the_block() -> None:
    registry = CollectorRegistry()
    for _ in range(2):
        with export(PureFactory(Protocol), registry=registry):
            assert generate_latest(registry)
        assert generate_latest(registry) == b""


def test_nobody_listens_after_the_block() -> None:
    factory = PureFactory(Protocol)
    with export(factory, registry=CollectorRegistry()):
        assert factory._monitor.subscriptions
    assert not factory._monitor.subscriptions


def test_several_servers_share_a_registry_by_their_names() -> None:
    registry = CollectorRegistry()
    chat, web = PureFactory(Protocol), PureFactory(Protocol)
    with export(chat, server="chat", registry=registry):
        with export(web, server="web", registry=registry):
            Harness(web).connect()
            now = scraped(registry)
            assert now["trioproto_connections_open", ("chat",)] == 0
            assert now["trioproto_connections_open", ("web",)] == 1
        names = {labels[-1] for _, labels in scraped(registry)}
        assert names == {"chat"}


def test_a_name_is_taken_once() -> None:
    registry = CollectorRegistry()
    with export(PureFactory(Protocol), registry=registry):
        with (
            pytest.raises(ValueError, match="name this another"),
            export(PureFactory(Protocol), registry=registry),
        ):
            pass
        assert generate_latest(registry)
    assert generate_latest(registry) == b""


def test_a_registry_that_has_such_a_metric_refuses() -> None:
    registry = CollectorRegistry()
    Counter("trioproto_connections_accepted", "Not ours.", registry=registry)
    with (
        pytest.raises(ValueError, match="trioproto_connections_accepted"),
        export(PureFactory(Protocol), registry=registry),
    ):
        pass


def test_what_is_no_factory_leaves_nothing_behind() -> None:
    registry = CollectorRegistry()
    with (
        pytest.raises(TypeError, match="neither a factory nor a server"),
        export(None, registry=registry),  # type: ignore[arg-type]
    ):
        pass
    assert generate_latest(registry) == b""


def test_the_registry_is_by_default_the_one_that_all_use() -> None:
    with export(PureFactory(Protocol)):
        assert REGISTRY.get_sample_value("trioproto_connections_open", {"server": ""}) == 0
    assert REGISTRY.get_sample_value("trioproto_connections_open", {"server": ""}) is None


def test_no_label_grows_with_the_peers() -> None:
    registry = CollectorRegistry()
    factory = PureFactory(Protocol)
    with export(factory, registry=registry):
        sizes = set()
        for _ in range(3):
            for _ in range(100):
                harness = Harness(factory)
                harness.connect()
                harness.reset()
            sizes.add(len(scraped(registry)))
    assert len(sizes) == 1
