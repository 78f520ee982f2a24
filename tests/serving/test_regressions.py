"""What went wrong once in how servers and scopes end."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.behaviour.drivers import MORE_THAN_FITS, small_listener
from tests.serving.conversations import LOOPBACK, Echo, Greeter, Holds, dial, outcome, settle
from trioproto import Factory, Protocol, Settings, open_server, run_protocol
from trioproto.endpoints import TCPServerEndpoint
from trioproto.errors import EndpointError


async def test_a_drain_in_the_tick_of_a_stop_has_its_own_grace(autojump_clock: MockClock) -> None:
    factory = Factory(Holds, drain_grace=20, drain_force=1)
    async with open_server(factory, LOOPBACK) as server:
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        begun = trio.current_time()
        server.stop()
        await server.drain(grace=0)
        assert trio.current_time() - begun < 5
        await peer.aclose()


async def test_the_report_adds_up_where_connections_are_closed_after_the_grace(
    autojump_clock: MockClock,
) -> None:
    async with open_server(Factory(Holds, linger=1), LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(3)]
        for peer in peers:
            await peer.receive_exactly(5)
        report = await server.drain(grace=1, force=10)
        assert (report.finished, report.cancelled, report.aborted) == (3, 0, 0)


async def test_the_report_counts_a_callback_once_that_outlasts_its_cancellation(
    autojump_clock: MockClock,
) -> None:
    class Stubborn(Greeter):
        async def data_received(self, data: bytes) -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(30)

    async with open_server(Factory(Stubborn), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        await peer.send(b"go")
        await settle()
        report = await server.drain(grace=1, force=1)
        assert (report.finished, report.cancelled, report.aborted) == (0, 1, 0)


class Opens(Factory[Any]):
    """Notes whether its lifespan was open when a connection was made."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.is_open = False
        self.made: list[bool] = []

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.is_open = True
        yield
        self.is_open = False

    def build_protocol(self, peer: object) -> Protocol:
        self.made.append(self.is_open)
        return Echo()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_who_waits_for_a_slot_never_enters_a_scope_that_has_ended(
    autojump_clock: MockClock, cancelled: bool
) -> None:
    for _ in range(8):  # trio runs the tasks of one tick in any order
        factory = Opens(max_connections=1)
        pairs = [trio.testing.memory_stream_pair() for _ in range(2)]
        with trio.fail_after(100):
            async with trio.open_nursery() as nursery:
                with trio.CancelScope() as scope:
                    async with factory:
                        for stream, _ in pairs:
                            nursery.start_soon(factory.handle, stream)
                            await settle()
                        if cancelled:
                            scope.cancel()
        assert all(factory.made)


async def test_a_send_with_the_least_high_water_ends() -> None:
    class Sends(Greeter):
        async def data_received(self, data: bytes) -> None:
            for _ in range(4):
                await self.transport.send(bytes(MORE_THAN_FITS // 4))
            self.transport.close()

    factory = Factory(Sends, high_water=1, low_water=0)
    async with open_server(factory, small_listener()) as server:
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        await peer.send(b"go")
        data, ending = await outcome(peer)
        assert (len(data), ending) == (MORE_THAN_FITS, "eof")
        await peer.aclose()


def test_no_high_water_at_all_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="high_water"):
        Settings(high_water=0, low_water=0)


async def test_no_limit_is_no_reason_to_refuse_a_handle_outside_of_a_scope() -> None:
    client, stream = trio.testing.memory_stream_pair()
    factory = Factory(Echo, max_connections=None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(factory.handle, stream)
        await client.send_all(b"hello")
        assert await client.receive_some() == b"hello"
        await client.aclose()


async def test_run_protocol_refuses_what_is_no_protocol_and_one_in_use() -> None:
    wrong: Any = object()
    _, stream = trio.testing.memory_stream_pair()
    with pytest.raises(TypeError):
        await run_protocol(wrong, stream)
    protocol = Echo()
    client, used = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_protocol, protocol, used)
        await settle()
        with pytest.raises(RuntimeError):
            await run_protocol(protocol, stream)
        await client.send_all(b"hello")
        assert await client.receive_some() == b"hello"
        await client.aclose()


@pytest.mark.parametrize("port", ["70000", "000000000000070000"])
async def test_a_port_out_of_range_is_an_endpoint_error(port: str) -> None:
    with pytest.raises(EndpointError):
        async with open_server(Factory(Echo), f"tcp:{port}:interface=127.0.0.1"):
            pass


def test_an_endpoint_of_no_possible_port_is_not_made() -> None:
    with pytest.raises(ValueError, match="70000"):
        TCPServerEndpoint(70000)


async def test_an_ended_connection_is_freed_without_the_cycle_collector() -> None:
    kept: list[weakref.ref[Protocol]] = []

    class Notes(Echo):
        def connection_made(self) -> None:
            kept.append(weakref.ref(self))

    gc.collect()
    gc.disable()
    try:
        async with open_server(Factory(Notes), LOOPBACK) as server:
            for _ in range(5):
                peer = dial(server.addresses[0])
                await peer.send(b"hello")
                await peer.receive_exactly(5)
                await peer.aclose()
            await settle()
            assert [each() for each in kept[:4]] == [None] * 4
    finally:
        gc.enable()


async def test_at_most_64_are_refused_at_a_time_over_all_endpoints() -> None:
    factory = Factory(Greeter, max_connections=1, at_limit="refuse", refusal=b"full")
    async with open_server(factory, LOOPBACK, LOOPBACK) as server:
        first = dial(server.addresses[0])
        await first.receive_exactly(5)
        refused = [dial(server.addresses[number % 2]) for number in range(160)]
        await settle()
        assert sum(peer.take() == b"full" for peer in refused) == 64
        for peer in (first, *refused):
            await peer.aclose()


async def test_a_drain_right_after_a_stop_has_its_own_force(autojump_clock: MockClock) -> None:
    """A connection that cannot be flushed is aborted when it says, not when the setting does."""

    class Full(Protocol):
        def connection_made(self) -> None:
            self.transport.write(bytes(MORE_THAN_FITS))

    async with open_server(Factory(Full), small_listener()) as server:
        peer = dial(server.addresses[0])
        await settle()
        begun = trio.current_time()
        server.stop()
        report = await server.drain(grace=1, force=1)
        assert report.aborted == 1
        assert trio.current_time() - begun < 2.5
        await peer.aclose()


class EndedStream(trio.abc.Stream):
    """Its peer has ended already; how it closes is for a subclass to say."""

    async def send_all(self, data: object) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return b""


class RaisesInClosing(EndedStream):
    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("odd")


class RaisesWhenCutOff(EndedStream):
    async def aclose(self) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled as exc:
            raise BaseExceptionGroup("both", [exc, ValueError("odd")]) from None


@pytest.mark.parametrize("stream", [RaisesInClosing, RaisesWhenCutOff])
async def test_connection_lost_is_called_whatever_closing_the_stream_raises(
    autojump_clock: MockClock, logged_errors: list[Any], stream: type[trio.abc.Stream]
) -> None:
    lost: list[object] = []

    class Loses(Protocol):
        def connection_lost(self, reason: object) -> None:
            lost.append(reason)

    factory = Factory(Loses, cleanup_timeout=1)
    await factory.handle(stream())
    assert len(lost) == 1
    assert len(factory.connections) == factory.statistics().open == 0
    assert len(logged_errors) == 1
