"""The factory's scope: DESIGN.md section 3, rules 11 to 13; lifespan, start and stop."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import tcp_pair
from tests.ports import free_port
from tests.serving.conversations import (
    LOOPBACK,
    Counting,
    Echo,
    Greeter,
    Logs,
    dial,
    listens,
    settle,
)
from trioproto import Factory, TCPAddress, open_server, serve
from trioproto.errors import ListenError


class BoomError(Exception):
    """What lifespans and bodies of these tests raise."""


def stream() -> tuple[socket.socket, trio.SocketStream]:
    client, server = tcp_pair(None)
    return client, trio.SocketStream(trio.socket.from_stdlib_socket(server))


# One scope at a time


async def test_a_second_server_of_a_factory_at_once_is_an_error_and_harms_nothing() -> None:
    factory = Counting()
    async with open_server(factory, LOOPBACK) as server:
        with pytest.raises(RuntimeError):
            await serve(factory, LOOPBACK)
        with pytest.raises(RuntimeError):
            async with factory:
                pass
        peer = dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()
    assert factory.log == ["entered", "left with 0"]


async def test_a_scope_entered_by_hand_excludes_a_server() -> None:
    factory = Counting()
    async with factory:
        with pytest.raises(RuntimeError):
            await serve(factory, LOOPBACK)
    assert factory.log == ["entered", "left with 0"]


async def test_one_server_after_the_other_runs_the_lifespan_again() -> None:
    factory = Counting()
    for _ in range(3):
        async with open_server(factory, LOOPBACK) as server:
            peer = dial(server.addresses[0])
            assert await peer.receive_exactly(5) == b"hello"
            await peer.aclose()
        async with factory:
            pass
    assert factory.log == ["entered", "left with 0"] * 6


async def test_a_failed_start_leaves_the_factory_free() -> None:
    factory = Counting()
    for endpoint in ("nosuch:1", "tcp:0:interface=192.0.2.1"):
        with pytest.raises((ValueError, OSError)):
            await serve(factory, endpoint)
    async with open_server(factory, LOOPBACK):
        pass
    assert factory.log == ["entered", "left with 0"]


@pytest.mark.parametrize("kind", ["lifespan", "start_factory", "max_connections"])
async def test_handle_outside_a_scope_is_an_error_where_there_is_one_to_enter(kind: str) -> None:
    class Starts(Factory[Any]):
        def start_factory(self) -> None:
            raise AssertionError("not without a scope")

    factories: dict[str, Factory[Any]] = {
        "lifespan": Counting(),
        "start_factory": Starts(Echo),
        "max_connections": Factory(Echo, max_connections=5),
    }
    factory = factories[kind]
    client, server = stream()
    with client, trio.fail_after(5), pytest.raises(RuntimeError):
        await factory.handle(server)
    await server.aclose()


# Lifespan, start and stop


async def test_the_lifespan_is_entered_bound_but_before_listening() -> None:
    address = TCPAddress("127.0.0.1", free_port())
    seen: list[Any] = []

    class Looks(Factory[Any]):
        @asynccontextmanager
        async def lifespan(self) -> AsyncIterator[None]:
            seen.append(listens(address))
            with socket.socket() as rival:
                rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    rival.bind((address.host, address.port))
                    rival.listen()
                except OSError:
                    seen.append("bound")
            yield
            seen.append(listens(address))

    async with open_server(Looks(Greeter), f"tcp:{address.port}:interface=127.0.0.1"):
        assert listens(address)
        await settle()
    assert seen == [False, False] or seen == [False, "bound", False]


async def test_the_lifespan_surrounds_every_connection() -> None:
    factory = Counting(Logs)
    async with open_server(factory, LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(3)]
        for peer in peers:
            await peer.receive_exactly(5)
        await peers[0].aclose()
        await settle()
        for peer in peers[1:]:
            await peer.send_eof()
    assert factory.log[0] == "entered"
    assert factory.log[-1] == "left with 0"
    assert len(factory.log) == 5
    for peer in peers[1:]:
        await peer.aclose()


async def test_the_lifespan_ends_after_the_last_connection_when_cancelled_too() -> None:
    class Slow(Logs):
        async def connection_lost(self, reason: Any) -> None:
            await trio.lowlevel.checkpoint()
            super().connection_lost(reason)

    factory = Counting(Slow)
    with trio.CancelScope() as scope:
        async with open_server(factory, LOOPBACK) as server:
            peers = [dial(server.addresses[0]) for _ in range(2)]
            for peer in peers:
                await peer.receive_exactly(5)
            scope.cancel()
    assert factory.log == ["entered", *["lost: ServerCancelled"] * 2, "left with 0"]


class StartsAndStops(Factory[Any]):
    """The howto's way, beside a lifespan of its own."""

    def __init__(self) -> None:
        super().__init__(Greeter)
        self.log: list[str] = []

    def start_factory(self) -> Any:
        self.log.append("started")

    def stop_factory(self) -> Any:
        self.log.append(f"stopped with {len(self.connections)}")


class StartsAndStopsAsync(StartsAndStops):
    async def start_factory(self) -> None:
        await trio.lowlevel.checkpoint()
        super().start_factory()

    async def stop_factory(self) -> None:
        await trio.lowlevel.checkpoint()
        super().stop_factory()


@pytest.mark.parametrize("factory_class", [StartsAndStops, StartsAndStopsAsync])
async def test_start_and_stop_come_once_each_over_several_listeners(
    factory_class: type[StartsAndStops],
) -> None:
    factory = factory_class()
    async with open_server(factory, LOOPBACK, LOOPBACK, LOOPBACK) as server:
        assert factory.log == ["started"]
        for address in server.addresses:
            peer = dial(address)
            await peer.receive_exactly(5)
            await peer.aclose()
    assert factory.log == ["started", "stopped with 0"]


@pytest.mark.parametrize("factory_class", [StartsAndStops, StartsAndStopsAsync])
async def test_stop_comes_after_the_last_connection_when_cancelled_too(
    factory_class: type[StartsAndStops],
) -> None:
    factory = factory_class()
    with trio.CancelScope() as scope:
        async with open_server(factory, LOOPBACK) as server:
            peer = dial(server.addresses[0])
            await peer.receive_exactly(5)
            scope.cancel()
    assert factory.log == ["started", "stopped with 0"]


@pytest.mark.parametrize("factory_class", [StartsAndStops, StartsAndStopsAsync])
async def test_start_and_stop_come_with_a_scope_entered_by_hand(
    factory_class: type[StartsAndStops],
) -> None:
    factory = factory_class()
    async with factory:
        assert factory.log == ["started"]
    assert factory.log == ["started", "stopped with 0"]


async def test_what_the_lifespan_made_is_there_for_the_protocols() -> None:
    class Uses(Echo):
        factory: Any

        def connection_made(self) -> None:
            self.transport.write(self.factory.resource)

    class Makes(Factory[Uses]):
        @asynccontextmanager
        async def lifespan(self) -> AsyncIterator[None]:
            self.resource = b"opened"
            yield
            self.resource = b"closed"

    factory = Makes(Uses)
    async with open_server(factory, LOOPBACK) as server:
        peer = dial(server.addresses[0])
        assert await peer.receive_exactly(6) == b"opened"
        await peer.aclose()
    assert factory.resource == b"closed"


# Errors come as themselves


async def test_an_error_on_entering_the_lifespan_comes_as_itself_and_nothing_listens() -> None:
    class Fails(Factory[Any]):
        @asynccontextmanager
        async def lifespan(self) -> AsyncIterator[None]:
            await trio.lowlevel.checkpoint()
            raise BoomError
            yield

    with pytest.raises(BoomError):
        await serve(Fails(Greeter), LOOPBACK)
    with pytest.raises(BoomError):
        async with open_server(Fails(Greeter), LOOPBACK):
            raise AssertionError("nothing to serve")


async def test_an_error_in_start_factory_comes_as_itself_and_stop_is_not_called() -> None:
    class Fails(StartsAndStops):
        def start_factory(self) -> None:
            raise BoomError

    factory = Fails()
    with pytest.raises(BoomError):
        await serve(factory, LOOPBACK)
    assert factory.log == []


@pytest.mark.parametrize("kind", ["lifespan", "stop_factory"])
async def test_an_error_on_leaving_comes_as_itself(kind: str) -> None:
    class LifespanFails(Factory[Any]):
        @asynccontextmanager
        async def lifespan(self) -> AsyncIterator[None]:
            yield
            raise BoomError

    class StopFails(Factory[Any]):
        def stop_factory(self) -> None:
            raise BoomError

    factory: Factory[Any] = (LifespanFails if kind == "lifespan" else StopFails)(Greeter)
    with pytest.raises(BoomError):
        async with open_server(factory, LOOPBACK):
            pass


class Fragile(Factory[Any]):
    """Owns a task that fails when it is told to."""

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)
        self.fail = trio.Event()
        self.log: list[str] = []

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.task)
            yield
            nursery.cancel_scope.cancel()

    async def task(self) -> None:
        await self.fail.wait()
        raise BoomError


async def test_a_failing_task_of_the_factory_ends_the_server_with_that_error() -> None:
    factory = Fragile(Logs)
    caught: list[BaseException] = []

    async def run(task_status: trio.TaskStatus[Any]) -> None:
        try:
            await serve(factory, LOOPBACK, task_status=task_status)
        except Exception as error:
            caught.append(error)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(run)
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        factory.fail.set()
    assert [type(error) for error in caught] == [BoomError]
    assert factory.log == ["lost: ServerCancelled"]


async def test_a_failing_task_of_the_factory_ends_open_server_with_that_error() -> None:
    factory = Fragile(Logs)

    async def run() -> None:
        async with open_server(factory, LOOPBACK):
            factory.fail.set()
            await trio.sleep_forever()

    with pytest.raises(BoomError):
        await run()


async def test_a_task_of_the_factory_is_cancelled_in_the_end() -> None:
    async with open_server(Fragile(Greeter), LOOPBACK):
        await settle()


async def test_an_error_of_the_body_comes_as_itself_and_ends_at_once(
    autojump_clock: MockClock,
) -> None:
    factory = Counting(Logs)
    peers = []

    async def run() -> None:
        async with open_server(factory, LOOPBACK) as server:
            peers.append(dial(server.addresses[0]))
            await peers[0].receive_exactly(5)
            raise BoomError

    with pytest.raises(BoomError):
        await run()
    assert factory.log == ["entered", "lost: ServerCancelled", "left with 0"]
    assert autojump_clock.current_time() < 1
    assert await peers[0].receive_all() == (b"", "reset")


async def test_a_group_that_the_body_raised_stays_that_group() -> None:
    group = ExceptionGroup("mine", [BoomError()])
    with pytest.raises(ExceptionGroup) as caught:
        async with open_server(Factory(Greeter), LOOPBACK):
            raise group
    assert caught.value is group


async def test_a_listen_error_comes_as_itself_out_of_open_server() -> None:
    with pytest.raises(ListenError):
        async with open_server(Factory(Greeter), "tcp:0:interface=192.0.2.1"):
            raise AssertionError("nothing to serve")


async def test_serve_returns_none_after_it_was_stopped() -> None:
    results: list[object] = []
    call: Any = serve

    async def run(task_status: trio.TaskStatus[Any]) -> None:
        results.append(await call(Factory(Greeter), LOOPBACK, task_status=task_status))

    async with trio.open_nursery() as nursery:
        server = await nursery.start(run)
        await settle()
        assert results == []
        server.stop()
    assert results == [None]


async def test_serve_started_in_a_nursery_gives_the_server() -> None:
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, Factory(Greeter), LOOPBACK)
        peer = dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()
        nursery.cancel_scope.cancel()


async def test_serve_passes_cancellation_on() -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, Factory(Greeter), LOOPBACK)
            scope.cancel()
    assert scope.cancelled_caught
