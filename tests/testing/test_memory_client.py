"""Clients that connect to a listener in memory."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trioproto import Factory, Protocol, TCPAddress, connect, stay_connected
from trioproto.testing import Faults, MemoryClientEndpoint, open_memory_listener, peer, serving


class Echo(Protocol):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Keeps(Protocol):
    """Keeps what it hears, in its chunks."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.heard = trio.Event()

    def data_received(self, data: bytes) -> None:
        self.chunks.append(data)
        if sum(map(len, self.chunks)) == 5:
            self.heard.set()


async def test_a_client_talks_to_what_is_served_in_memory() -> None:
    async with serving(Echo) as server:
        async with connect(MemoryClientEndpoint(server.listener), Keeps()) as client:
            client.transport.write(b"hello")
            await client.heard.wait()
        assert b"".join(client.chunks) == b"hello"


async def test_each_connection_has_the_faults_and_the_address_that_were_given() -> None:
    address = TCPAddress("192.0.2.1", 40000)
    listener = open_memory_listener()
    one_by_one, in_twos = Faults(reads=(1,)), Faults(reads=(2,))
    endpoint = MemoryClientEndpoint(listener, to_server=one_by_one, to_client=in_twos, peer=address)
    for _ in range(2):
        async with connect(endpoint, Keeps()) as client:
            server = await listener.accept()
            assert server.peer == client.transport.local == address
            client.transport.write(b"ab")
            assert [await server.receive_some() for _ in range(2)] == [b"a", b"b"]
            await server.send_all(b"hello")
            await client.heard.wait()
            await server.aclose()
        assert client.chunks == [b"he", b"ll", b"o"]


async def test_a_listener_that_is_closed_refuses() -> None:
    listener = open_memory_listener()
    await listener.aclose()
    with pytest.raises(ConnectionRefusedError):
        async with connect(MemoryClientEndpoint(listener), Keeps()):
            raise AssertionError("it is connected")


async def test_a_client_that_stays_connected_comes_again(autojump_clock: MockClock) -> None:
    listener = open_memory_listener()
    endpoint = MemoryClientEndpoint(listener)
    async with stay_connected(Factory(Echo), endpoint, jitter=lambda: 0.0):
        for number in range(3):
            async with peer(await listener.accept()) as p:
                await p.send(b"hello")
                await p.expect(b"hello")
            assert trio.current_time() == number  # a second after each loss


def test_it_says_what_it_is() -> None:
    assert str(MemoryClientEndpoint(open_memory_listener())) == "memory"
