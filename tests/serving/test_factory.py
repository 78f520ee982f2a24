"""Factories: what they build, and their settings."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.serving.conversations import LOOPBACK, Echo, Greeter, dial
from trioproto import Factory, Protocol, Settings, open_server
from trioproto.testing import Harness


def test_settings_are_keywords() -> None:
    factory = Factory(Echo, max_connections=100, idle_timeout=None)
    assert factory.settings == Settings(max_connections=100, idle_timeout=None)


def test_settings_are_class_attributes_of_a_subclass() -> None:
    class Patient(Factory[Protocol]):
        idle_timeout = 3600
        max_connections = 5

    assert Patient(Echo).settings == Settings(idle_timeout=3600, max_connections=5)
    assert Patient(Echo, max_connections=7).settings.max_connections == 7


def test_an_unknown_setting_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="max_conections"):
        Factory(Echo, max_conections=100)
    with pytest.raises(TypeError, match="max_conections"):
        Factory(Echo).configure(max_conections=100)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("read_size", 0),
        ("low_water", -1),
        ("high_water", 5),
        ("max_buffered", 1000),
        ("max_connections", 0),
        ("at_limit", "explode"),
        ("callback_errors", "ignore"),
        ("linger", -1),
        ("idle_timeout", 0),
    ],
)
def test_a_setting_out_of_range_is_a_value_error_that_names_it(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Factory(Echo, **{name: value})


def test_settings_are_frozen_and_configure_replaces_them() -> None:
    factory = Factory(Echo)
    before = factory.settings
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.linger = 5  # type: ignore[misc]
    factory.configure(linger=5)
    assert factory.settings.linger == 5
    assert before.linger == 2


def test_the_defaults_are_the_documented_ones() -> None:
    defaults = Settings()
    kib = 1024
    assert defaults.read_size == 64 * kib
    assert (defaults.high_water, defaults.low_water) == (64 * kib, 16 * kib)
    assert defaults.max_buffered == 4 * kib * kib
    assert defaults.max_buffered_total == 256 * kib * kib
    assert (defaults.handshake_timeout, defaults.idle_timeout) == (10, 60)
    assert (defaults.write_timeout, defaults.close_timeout) == (30, 15)
    assert (defaults.cleanup_timeout, defaults.linger) == (2, 2)
    assert defaults.callback_timeout is None
    assert (defaults.drain_grace, defaults.drain_force) == (15, 5)
    assert (defaults.max_connections, defaults.at_limit) == (1024, "wait")
    assert (defaults.refusal, defaults.backlog) == (None, 1024)
    assert (defaults.tcp_nodelay, defaults.keepalive) == (True, True)
    assert defaults.callback_errors == "log"


def test_the_protocol_may_be_set_later_as_in_the_howto() -> None:
    class Quotes(Protocol):
        factory: Any

        def connection_made(self) -> None:
            self.transport.write(self.factory.quote)
            self.transport.close()

    factory: Any = Factory()
    factory.protocol = Quotes
    factory.quote = b"An apple a day"
    harness = Harness(factory)
    harness.connect()
    assert harness.take() == b"An apple a day"


def test_the_protocol_may_be_a_class_attribute() -> None:
    class Echoes(Factory[Echo]):
        protocol = Echo

    protocol = Harness(Echoes()).connect()
    assert type(protocol) is Echo


def test_the_protocol_may_be_any_callable() -> None:
    made = Echo()
    assert Harness(Factory(lambda: made)).connect() is made


def test_a_factory_works_when_its_init_does_not_call_super() -> None:
    class Logfile(Factory[Echo]):
        protocol = Echo
        idle_timeout = 5

        def __init__(self, path: str) -> None:
            self.path = path

    factory = Logfile("somewhere")
    assert factory.settings.idle_timeout == 5
    harness = Harness(factory)
    protocol = harness.connect()
    assert len(factory.connections) == 1
    assert protocol.factory is factory


def test_build_protocol_need_not_set_the_factory() -> None:
    class Builds(Factory[Echo]):
        def build_protocol(self, peer: object) -> Echo:
            return Echo()

    factory = Builds()
    assert Harness(factory).connect().factory is factory


def test_each_factory_has_connections_of_its_own() -> None:
    first, second = Factory(Echo), Factory(Echo)
    Harness(first).connect()
    assert (len(first.connections), len(second.connections)) == (1, 0)


async def test_configure_counts_for_later_connections() -> None:
    factory = Factory(Greeter, read_size=1000)
    async with open_server(factory, LOOPBACK) as server:
        first = dial(server.addresses[0])
        await first.receive_exactly(5)
        factory.configure(read_size=2)
        second = dial(server.addresses[0])
        await second.receive_exactly(5)
        for peer in (first, second):
            await peer.send(b"echo")
            assert await peer.receive_exactly(4) == b"echo"
            await peer.aclose()


async def test_a_callback_finds_the_server_through_its_factory() -> None:
    found: list[object] = []

    class Looks(Greeter):
        def connection_made(self) -> None:
            found.append(self.factory.server)
            super().connection_made()

    async with open_server(Factory(Looks), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        assert found == [server]
        await peer.aclose()
