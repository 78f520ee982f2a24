"""Protocols over memory streams: with async callbacks, a factory that has resources, and limits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trioproto import Factory, Protocol, TCPAddress
from trioproto.errors import ConnectionClosed, ConnectionLost
from trioproto.framing import LineReceiver
from trioproto.testing import Faults, connected, serving


class Lookup(LineReceiver):
    """Looks names up, which takes a while."""

    delimiter = b"\n"
    factory: "Names"

    async def line_received(self, line: bytes) -> None:
        await trio.sleep(0.5)
        self.send_line(self.factory.names.get(line, b"unknown"))

    def connection_lost(self, reason: ConnectionClosed) -> None:
        self.factory.reasons.append(reason)


class Names(Factory[Lookup]):
    """Reads the names when it begins to be served."""

    protocol = Lookup

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.names = {b"Alice": b"1025"}
        self.reasons: list[ConnectionClosed] = []
        yield


async def test_a_name_is_looked_up(autojump_clock: MockClock) -> None:
    async with connected(Names()) as stream:
        await stream.send_all(b"Alice\nBob\n")
        assert await stream.receive_some() == b"1025\n"
        assert await stream.receive_some() == b"unknown\n"
    assert trio.current_time() == 1.0


async def test_names_are_looked_up_for_several_at_once(autojump_clock: MockClock) -> None:
    async with serving(Names()) as server:
        alice, bob = await server.connect(), await server.connect()
        await alice.send_all(b"Alice\n")
        await bob.send_all(b"Bob\n")
        assert await alice.receive_some() == b"1025\n"
        assert await bob.receive_some() == b"unknown\n"
        assert trio.current_time() == 0.5
        assert server.statistics().open == 2


async def test_a_slow_network_only_takes_longer(autojump_clock: MockClock) -> None:
    dribbles = Faults(reads=(1,), delays=(0.2,))
    async with connected(Names(), to_server=dribbles, to_client=dribbles) as stream:
        await stream.send_all(b"Alice\n")
        received = b""
        while not received.endswith(b"\n"):
            received += await stream.receive_some()
        assert received == b"1025\n"
    assert 0.9 <= trio.current_time() < 2


async def test_a_client_that_crashes_in_a_line_is_no_error() -> None:
    factory = Names()
    async with connected(factory) as stream:
        await stream.send_all(b"Ali")
        await wait_all_tasks_blocked()
        stream.reset()
    assert [type(reason) for reason in factory.reasons] == [ConnectionLost]


class Chatterbox(Protocol):
    """Says as much as is heard, and a little more."""

    said = 0

    async def connection_made(self) -> None:
        while True:
            await self.transport.send(bytes(100))
            self.said += 100


async def test_who_reads_nothing_is_told_nothing_more() -> None:
    factory = Factory(Chatterbox, high_water=5_000, low_water=1_000)
    async with serving(factory, capacity=1_000) as server:
        stream = await server.connect()  # and nobody reads from it
        await wait_all_tasks_blocked()
        (protocol,) = server.server.connections
        assert protocol.said <= 5_000 + 1_000
        assert stream.unread == 1_000


async def test_each_host_may_connect_once() -> None:
    factory = Factory(Chatterbox, max_per_peer=1, at_limit="refuse")
    async with serving(factory) as server:
        first = await server.connect(peer=TCPAddress("192.0.2.1", 50_001))
        other = await server.connect(peer=TCPAddress("192.0.2.2", 50_001))
        again = await server.connect(peer=TCPAddress("192.0.2.1", 50_002))
        assert await first.receive_some(5) == bytes(5)
        assert await other.receive_some(5) == bytes(5)
        assert await again.receive_some() == b""


class Faulty(Protocol):
    def data_received(self, data: bytes) -> None:
        raise ValueError(f"what is {data!r}?")


async def test_an_error_in_a_callback_comes_out_of_the_block() -> None:
    with pytest.raises(ValueError, match=r"what is b'x'\?"):
        await send_an_x()


async def send_an_x() -> None:
    async with connected(Faulty) as stream:
        await stream.send_all(b"x")
        await trio.sleep_forever()
