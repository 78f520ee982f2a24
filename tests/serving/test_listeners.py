"""Ready-made listeners, and the order in which a connection is opened."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

import pytest
import trio

from tests.behaviour.drivers import MemoryPeer, small_listener
from tests.serving.conversations import LOOPBACK, Echo, Greeter, dial, settle
from trioproto import Factory, Protocol, TCPAddress, open_server, run_protocol
from trioproto.errors import ConnectionDone, ServerCancelled
from trioproto.testing import MemoryListener, MemoryStream, memory_stream_pair


async def offer(listener: MemoryListener) -> MemoryPeer:
    return MemoryPeer(await listener.connect())


async def refuses(listener: MemoryListener) -> bool:
    """Whether the listener is closed."""
    try:
        await listener.connect()
    except ConnectionRefusedError:
        return True
    return False


async def test_a_socket_listener_is_served_and_closed() -> None:
    listener = small_listener()
    async with open_server(Factory(Greeter), listener) as server:
        (address,) = server.addresses
        peer = dial(address)
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()
    with pytest.raises(ConnectionRefusedError):
        dial(address)


async def test_a_listener_of_any_kind_is_served_and_closed() -> None:
    listener = MemoryListener()
    async with open_server(Factory(Echo), listener):
        peer = await offer(listener)
        await peer.send(b"over memory")
        assert await peer.receive_exactly(11) == b"over memory"
        await peer.aclose()
    assert await refuses(listener)


async def test_listeners_and_strings_may_be_mixed() -> None:
    listener = MemoryListener()
    factory = Factory(Greeter)
    async with open_server(factory, LOOPBACK, listener) as server:
        (address,) = [one for one in server.addresses if isinstance(one, TCPAddress)]
        over_tcp, over_memory = dial(address), await offer(listener)
        for peer in (over_tcp, over_memory):
            assert await peer.receive_exactly(5) == b"hello"
        assert len(factory.connections) == len(server.connections) == 2
        await over_tcp.aclose()
        await over_memory.aclose()


async def test_listeners_are_closed_when_another_endpoint_is_bad() -> None:
    listener = MemoryListener()
    with pytest.raises(ValueError, match="nosuch"):
        async with open_server(Factory(Greeter), listener, "nosuch:1"):
            pass
    assert await refuses(listener)


async def test_listeners_are_closed_when_the_server_is_cancelled() -> None:
    listener = MemoryListener()
    addresses: list[object] = []
    with trio.CancelScope() as scope:
        async with open_server(Factory(Greeter), listener, LOOPBACK) as server:
            addresses.append(server.addresses[-1])
            scope.cancel()
            await trio.sleep_forever()
    assert await refuses(listener)
    with pytest.raises(ConnectionRefusedError):
        dial(addresses[0])


async def test_the_protocol_is_built_before_it_is_made_and_then_is_in_connections() -> None:
    log: list[str] = []

    class Notes(Protocol):
        factory: Factory[Any]

        def connection_made(self) -> None:
            log.append(f"made among {len(self.factory.connections)}")

    class Builds(Factory[Notes]):
        def build_protocol(self, peer: object) -> Notes:
            log.append(f"built beside {len(self.connections)}")
            return Notes()

    async with open_server(Builds(), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        await settle()
        assert log == ["built beside 0", "made among 1"]
        await peer.aclose()


async def test_a_peer_that_leaves_before_it_is_accepted_does_no_harm() -> None:
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        for _ in range(10):
            gone = dial(server.addresses[0])
            await gone.reset()
        peer = dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()


async def test_many_connections_are_accepted_at_once() -> None:
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(200)]
        for peer in peers:
            assert await peer.receive_exactly(5) == b"hello"
        assert len(server.connections) == 200
        for peer in peers:
            await peer.aclose()


# One stream at a time


def memory_pair() -> tuple[MemoryPeer, MemoryStream]:
    ours, stream = memory_stream_pair()
    return MemoryPeer(ours), stream


async def test_run_protocol_serves_one_stream_and_returns_the_reason() -> None:
    protocol = Echo()
    reasons: list[object] = []
    peer, stream = memory_pair()

    async def run() -> None:
        reasons.append(await run_protocol(protocol, stream))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await peer.send(b"hi")
        assert await peer.receive_exactly(2) == b"hi"
        assert isinstance(protocol.factory, Factory)
        assert protocol in protocol.factory.connections
        await peer.send_eof()
    assert [type(reason) for reason in reasons] == [ConnectionDone]
    assert stream.closed


async def test_run_protocol_works_over_trios_memory_streams() -> None:
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_protocol, Echo(), server)
        await client.send_all(b"hi")
        assert await client.receive_some() == b"hi"
        await client.aclose()


async def test_run_protocol_works_over_trios_lockstep_streams() -> None:
    client, server = trio.testing.lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_protocol, Echo(), server)
        await client.send_all(b"hi")
        assert await client.receive_some() == b"hi"
        await client.send_eof()
        assert await client.receive_some() == b""
        await client.aclose()


async def test_run_protocol_is_cancelled_as_anything_is() -> None:
    reasons: list[object] = []

    class Notes(Echo):
        def connection_lost(self, reason: object) -> None:
            reasons.append(reason)

    _, stream = memory_pair()
    with trio.CancelScope() as scope:
        scope.cancel()
        await run_protocol(Notes(), stream)
    assert scope.cancelled_caught
    assert [type(reason) for reason in reasons] in ([], [ServerCancelled])
    assert stream.closed


async def test_handle_serves_a_plain_factory_outside_of_any_scope() -> None:
    factory = Factory(Echo)
    peer, stream = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(factory.handle, stream)
        await peer.send(b"hi")
        assert await peer.receive_exactly(2) == b"hi"
        await peer.send_eof()


async def test_handle_is_a_handler_for_trios_own_server() -> None:
    factory = Factory(Echo)
    async with factory, trio.open_nursery() as nursery:
        serve_tcp: Any = partial(trio.serve_tcp, host="127.0.0.1")
        listeners = await nursery.start(serve_tcp, factory.handle, 0)
        host, port = listeners[0].socket.getsockname()
        peer = dial(TCPAddress(host, port))
        await peer.send(b"hi")
        assert await peer.receive_exactly(2) == b"hi"
        await peer.aclose()
        nursery.cancel_scope.cancel()


async def test_a_unix_socket_stream_can_be_handled() -> None:
    ours, theirs = trio.socket.socketpair(socket.AF_UNIX)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Factory(Echo).handle, trio.SocketStream(theirs))
        await ours.send(b"hi")
        assert await ours.recv(10) == b"hi"
        ours.close()
