"""Tests as a user writes them, which the plugin's tests run in another process; many fail.

Each stands for one behaviour. Where pytest-trio is not, ``trio_test`` runs them.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar, cast

import pytest
import trio
from trio.testing import trio_test, wait_all_tasks_blocked

from trioproto import Protocol
from trioproto.testing import ServeFactory, connected

WITH_PYTEST_TRIO = "NO_PYTEST_TRIO" not in os.environ
pytestmark = [pytest.mark.trio] if WITH_PYTEST_TRIO else []

Test = TypeVar("Test", bound=Callable[..., Awaitable[None]])


def as_test(test: Test) -> Test:
    return test if WITH_PYTEST_TRIO else cast(Test, trio_test(test))


kept: list[object] = []


class Echo(Protocol):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Faulty(Protocol):
    def data_received(self, data: bytes) -> None:
        self.look_at(data)

    def look_at(self, data: bytes) -> None:
        raise ValueError(f"cannot look at {data!r}")


class Forgetful(Protocol):
    def connection_made(self) -> None:
        trio.lowlevel.spawn_system_task(trio.sleep_forever, name="forgotten")


@as_test
async def test_serves_in_memory(serve_factory: ServeFactory) -> None:
    async with serve_factory(Echo) as server:
        stream = await server.connect()
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"


@as_test
async def test_serves_on_sockets(serve_factory: ServeFactory) -> None:
    async with serve_factory(Echo, "tcp:0:interface=127.0.0.1") as server:
        stream = await server.connect()
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"


@as_test
async def test_callback_fails_while_the_test_receives(serve_factory: ServeFactory) -> None:
    async with serve_factory(Faulty) as server:
        stream = await server.connect()
        await stream.send_all(b"x")
        await stream.receive_some()


@as_test
async def test_callback_fails_while_the_test_waits(serve_factory: ServeFactory) -> None:
    async with serve_factory(Faulty) as server:
        stream = await server.connect()
        await stream.send_all(b"x")
        await trio.sleep_forever()


@as_test
async def test_callbacks_of_two_fail(serve_factory: ServeFactory) -> None:
    async with serve_factory(Faulty) as server:
        streams = [await server.connect(), await server.connect()]
        for stream in streams:
            await stream.send_all(b"x")
        await trio.sleep_forever()


@as_test
async def test_callback_fails_on_sockets(serve_factory: ServeFactory) -> None:
    async with serve_factory(Faulty, "tcp:0:interface=127.0.0.1") as server:
        stream = await server.connect()
        await stream.send_all(b"x")
        await stream.receive_some()


@as_test
async def test_callback_fails_without_the_fixture() -> None:
    async with connected(Faulty) as stream:
        await stream.send_all(b"x")
        await stream.receive_some()


@as_test
async def test_callback_fails_over_tls() -> None:
    async with connected(Faulty, tls=True) as stream:
        await stream.send_all(b"x")
        await stream.receive_some()


@as_test
async def test_callback_and_test_fail() -> None:
    async with connected(Faulty) as stream:
        await stream.send_all(b"x")
        try:
            await stream.receive_some()
        except trio.BrokenResourceError:
            assert 1 + 1 == 3


@as_test
async def test_only_the_test_fails(serve_factory: ServeFactory) -> None:
    async with serve_factory(Echo) as server:
        stream = await server.connect()
        await stream.send_all(b"x")
        assert await stream.receive_some() == b"y"


class Aborts(Protocol):
    def connection_made(self) -> None:
        self.transport.abort()


@as_test
async def test_is_reset(serve_factory: ServeFactory) -> None:
    async with serve_factory(Aborts) as server:
        stream = await server.connect()
        await stream.receive_some()


@as_test
async def test_leaves_a_socket(nothing_left: None) -> None:
    kept.append(socket.create_server(("127.0.0.1", 0)).detach())


@as_test
async def test_leaves_a_socket_beside_a_server(serve_factory: ServeFactory) -> None:
    kept.append(socket.create_server(("127.0.0.1", 0)).detach())


@as_test
async def test_leaves_a_pipe_and_a_poll(nothing_left: None) -> None:
    kept.extend((os.pipe(), select.epoll()))


@as_test
async def test_leaves_a_file(nothing_left: None) -> None:
    kept.append(os.open(__file__, os.O_RDONLY))


@pytest.fixture
def earlier() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        yield sock


@as_test
async def test_has_what_an_earlier_fixture_opened(
    earlier: socket.socket, nothing_left: None
) -> None:
    pass


@as_test
async def test_fails_with_a_socket_open(nothing_left: None) -> None:
    kept.append(socket.create_server(("127.0.0.1", 0)).detach())
    assert not kept


@as_test
async def test_leaves_a_task(serve_factory: ServeFactory) -> None:
    async with serve_factory(Forgetful) as server:
        await server.connect()
        await wait_all_tasks_blocked()
