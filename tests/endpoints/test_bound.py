"""What an endpoint brings along: services, what is released, and listeners that end."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from tests.endpoints.sockets import descriptors, dial_unix
from tests.serving.conversations import LOOPBACK, Counting, Echo, Greeter, Holds, dial, settle
from tests.serving.test_listeners import offer, refuses
from trioproto import Factory, UnknownAddress, open_server, serve
from trioproto.endpoints import Bound, ServerEndpoint, TCPServerEndpoint
from trioproto.errors import ListenError
from trioproto.runtime import server as server_module
from trioproto.testing import MemoryListener, PlainMemoryStream


class Noting(ServerEndpoint):
    """A loopback port whose services and release are noted."""

    def __init__(self, *services: Callable[[], Awaitable[None]]) -> None:
        self.text = "noting"
        self.services = list(services)
        self.log: list[str] = []
        self.bound: Bound | None = None

    async def bind(self) -> list[Bound]:
        (self.bound,) = await TCPServerEndpoint(0, "127.0.0.1").bind()
        self.bound.services = self.services
        self.bound.release = self.release
        return [self.bound]

    def release(self) -> None:
        assert self.bound is not None
        assert isinstance(self.bound.source, socket.socket)
        closed = self.bound.source.fileno() < 0
        self.log.append("released" if closed else "released before it was closed")


class Service:
    """Notes when it runs, and what it saw at its end."""

    def __init__(self) -> None:
        self.log: list[str] = []

    async def run(self) -> None:
        self.log.append("begun")
        try:
            await trio.sleep_forever()
        finally:
            self.log.append("ended")


async def test_services_run_while_connections_are_accepted_and_no_longer() -> None:
    one, other = Service(), Service()
    async with open_server(Factory(Holds), Noting(one.run, other.run), Noting()) as server:
        peer = dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        assert one.log == other.log == ["begun"]
        server.stop()
        assert await peer.receive_exactly(8) == b"draining"
        await settle()
        assert one.log == other.log == ["begun", "ended"]
        for protocol in server.connections:
            protocol.transport.close()
        await peer.aclose()


async def test_a_service_may_end_early() -> None:
    async def returns() -> None:
        await trio.lowlevel.checkpoint()

    async with open_server(Factory(Greeter), Noting(returns)) as server:
        await settle()
        peer = dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()


async def test_a_service_that_fails_ends_the_server_with_its_error() -> None:
    async def fails() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("mine")

    factory = Counting()
    endpoint = Noting(fails)
    with trio.fail_after(5), pytest.raises(ValueError, match="mine"):
        await serve(factory, LOOPBACK, endpoint)
    assert factory.log == ["entered", "left with 0"]
    assert endpoint.log == ["released"]


async def test_what_was_bound_is_released_once_and_after_it_is_closed() -> None:
    endpoint = Noting()
    async with open_server(Factory(Greeter), endpoint):
        assert endpoint.log == []
    assert endpoint.log == ["released"]


async def test_what_was_bound_is_released_when_accepting_ends_and_not_after_the_drain() -> None:
    endpoint = Noting()
    async with open_server(Factory(Holds), endpoint) as server:
        peer = dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        server.stop()
        assert await peer.receive_exactly(8) == b"draining"
        await settle()
        assert endpoint.log == ["released"]
        for protocol in server.connections:
            protocol.transport.close()
        await peer.aclose()


async def test_what_was_bound_is_released_when_a_later_endpoint_fails() -> None:
    endpoint = Noting()
    with trio.fail_after(5), pytest.raises(ListenError):
        await serve(Factory(Greeter), endpoint, "tcp:0:interface=192.0.2.1")
    assert endpoint.log == ["released"]


async def test_what_was_bound_is_released_when_the_server_is_cancelled() -> None:
    endpoint = Noting()
    with trio.CancelScope() as scope:
        async with open_server(Factory(Greeter), endpoint):
            scope.cancel()
            await trio.sleep_forever()
    assert endpoint.log == ["released"]


async def test_what_was_bound_is_released_when_cancelled_while_binding() -> None:
    endpoint, scope = Noting(), trio.CancelScope()

    class Slow(ServerEndpoint):
        text = "slow"

        async def bind(self) -> list[Bound]:
            scope.cancel()
            await trio.sleep_forever()
            raise AssertionError

    with scope:
        await serve(Factory(Greeter), endpoint, Slow())
    assert scope.cancelled_caught
    assert endpoint.log == ["released"]


async def test_a_listener_that_an_endpoint_made_is_closed_if_nobody_accepts() -> None:
    listener = MemoryListener()

    class Gives(ServerEndpoint):
        text = "gives"

        async def bind(self) -> list[Bound]:
            await trio.lowlevel.checkpoint()
            return [Bound(listener, UnknownAddress("queue"), "gives")]

    with trio.fail_after(5), pytest.raises(ListenError):
        await serve(Factory(Greeter), Gives(), "tcp:0:interface=192.0.2.1")
    assert await refuses(listener)


# Listeners that end


class Ending(MemoryListener):
    """Gives so many streams, and no more."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = count

    async def accept(self) -> PlainMemoryStream:
        if not self.left:
            raise trio.EndOfChannel
        self.left -= 1
        return await super().accept()


async def test_when_nothing_is_left_to_be_accepted_the_server_ends_with_its_connections() -> None:
    listener = Ending(2)
    factory = Counting(Echo)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, factory, listener)
        peers = [await offer(listener) for _ in range(2)]
        await settle()
        assert await refuses(listener)
        for peer in peers:  # they are not drained
            await peer.send(b"still here")
            assert await peer.receive_exactly(10) == b"still here"
        await peers[0].aclose()
        await settle()
        assert factory.log == ["entered"]
        await peers[1].aclose()
    assert factory.log == ["entered", "left with 0"]


async def test_a_server_with_nothing_to_accept_ends_at_once() -> None:
    with trio.fail_after(5):
        await serve(Factory(Greeter), Ending(0), Ending(0))


async def test_services_end_when_nothing_is_left_to_be_accepted() -> None:
    service = Service()

    class Ends(ServerEndpoint):
        text = "ends"

        async def bind(self) -> list[Bound]:
            await trio.lowlevel.checkpoint()
            return [Bound(Ending(0), UnknownAddress("queue"), "ends", services=[service.run])]

    with trio.fail_after(5):
        await serve(Factory(Greeter), Ends())
    assert service.log == ["begun", "ended"]


async def test_one_listener_that_ends_does_not_end_the_others() -> None:
    listener = Ending(0)
    async with open_server(Factory(Greeter), listener, LOOPBACK) as server:
        await settle()
        assert await refuses(listener)
        peer = dial(server.addresses[1])
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()


async def test_a_server_whose_listeners_have_ended_can_be_drained() -> None:
    listener = Ending(1)
    async with open_server(Factory(Holds), listener) as server:
        peer = await offer(listener)
        assert await peer.receive_exactly(5) == b"hello"
        await settle()
        server.stop()
        assert await peer.receive_exactly(8) == b"draining"
        for protocol in server.connections:
            protocol.transport.close()
        await peer.aclose()
        await server.wait_closed()


# Where there is no epoll


async def test_sockets_are_served_as_streams_where_there_is_no_epoll(
    monkeypatch: pytest.MonkeyPatch, emptied: Path
) -> None:
    monkeypatch.setattr(server_module, "SUPPORTED", False)
    before = descriptors()
    path = emptied / "x"
    async with open_server(Factory(Greeter), f"unix:{path}", LOOPBACK) as server:
        peers = [dial_unix(path), dial(server.addresses[1])]
        for peer in peers:
            assert await peer.receive_exactly(5) == b"hello"
            await peer.aclose()
    for peer in peers:
        peer.discard()
    assert descriptors() == before
