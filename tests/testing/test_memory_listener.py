"""The listener in memory, with a backlog of its own and behind a server."""

from __future__ import annotations

from functools import partial

import pytest
import trio
import trio.testing
from trio.testing import MockClock, wait_all_tasks_blocked

from trioproto import Address, Factory, Protocol, TCPAddress, UnknownAddress, open_server, serve
from trioproto.sansio.addresses import Addressed
from trioproto.testing import (
    Faults,
    MemoryListener,
    MemoryStream,
    PlainMemoryStream,
    memory_stream_pair,
    open_memory_listener,
)

ALICE = TCPAddress("192.0.2.1", 1025)
BOB = TCPAddress("192.0.2.2", 1026)


class Greeter(Protocol):
    def connection_made(self) -> None:
        self.transport.write(f"{self.transport.peer} to {self.transport.local}".encode())


async def test_it_is_served_on_like_any_listener() -> None:
    listener = open_memory_listener()
    async with open_server(Factory(Greeter), listener) as server:
        stream = await listener.connect(peer=ALICE)
        assert await stream.receive_some() == b"tcp:192.0.2.1:1025 to memory"
        assert server.addresses == (UnknownAddress("MemoryListener"),)
        await stream.aclose()
    with pytest.raises(ConnectionRefusedError):
        await listener.connect()


async def test_serve_takes_it_too() -> None:
    listener = open_memory_listener()
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, Factory(Greeter), listener)
        stream = await listener.connect()
        assert await stream.receive_some() == b"memory to memory"
        await stream.aclose()
        server.stop()


async def test_its_streams_have_what_it_was_made_with() -> None:
    listener = open_memory_listener(capacity=10, half_close=False, address=BOB)
    client = await listener.connect(peer=ALICE, to_server=Faults(reads=(1,)))
    server = await listener.accept()
    assert isinstance(client, MemoryStream)
    assert not isinstance(server, MemoryStream)
    assert (server.peer, server.local) == (ALICE, BOB)
    await client.send_all(b"x" * 10)
    assert await server.receive_some() == b"x"
    with trio.move_on_after(0) as scope:
        await client.send_all(b"xx")
    assert scope.cancelled_caught


async def test_connections_are_accepted_in_the_order_in_which_they_were_made() -> None:
    listener = open_memory_listener()
    clients = [await listener.connect() for _ in range(5)]
    for number, client in enumerate(clients):
        await client.send_all(bytes([number]))
    assert [await (await listener.accept()).receive_some() for _ in range(5)] == [
        bytes([number]) for number in range(5)
    ]


async def test_one_may_wait_for_a_connection() -> None:
    listener = open_memory_listener()
    accepted: list[PlainMemoryStream] = []

    async def accept() -> None:
        accepted.append(await listener.accept())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        await wait_all_tasks_blocked()
        assert accepted == []
        client = await listener.connect()
    await client.send_all(b"x")
    assert await accepted[0].receive_some() == b"x"


async def connect_many(listener: MemoryListener, many: int) -> list[MemoryStream]:
    """Connect so many times at once, and return those who had not to wait."""
    connected: list[MemoryStream] = []

    async def connect() -> None:
        connected.append(await listener.connect())

    async with trio.open_nursery() as nursery:
        for _ in range(many):
            nursery.start_soon(connect)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return connected


@pytest.mark.parametrize(("many", "wait"), [(2, 0), (3, 0), (4, 1)])
async def test_while_the_backlog_is_full_newcomers_wait(many: int, wait: int) -> None:
    listener = open_memory_listener(backlog=3)
    assert len(await connect_many(listener, many)) == many - wait
    assert listener.backlog == many - wait


async def test_who_waits_for_the_backlog_comes_in_when_one_is_accepted() -> None:
    listener = open_memory_listener(backlog=1)
    await listener.connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.connect)
        await wait_all_tasks_blocked()
        assert listener.backlog == 1
        await listener.accept()
        await wait_all_tasks_blocked()
        assert listener.backlog == 1
    await listener.accept()


async def test_a_connect_that_is_cancelled_takes_no_place() -> None:
    listener = open_memory_listener(backlog=1)
    await connect_many(listener, 5)
    await listener.accept()
    assert len(await connect_many(listener, 5)) == 1


async def test_a_cancelled_accept_loses_no_connection() -> None:
    listener = open_memory_listener(backlog=1)
    with trio.move_on_after(0):
        await listener.accept()
    await listener.connect()
    with trio.CancelScope() as scope:
        scope.cancel()
        await listener.accept()
    assert await listener.accept()


async def test_when_it_closes_who_waits_is_reset_or_refused() -> None:
    listener = open_memory_listener(backlog=1)
    waiting = await listener.connect()

    async def refused() -> None:
        with pytest.raises(ConnectionRefusedError, match="the listener at memory is closed"):
            await listener.connect()

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(refused)
        await wait_all_tasks_blocked()
        await listener.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await waiting.receive_some()
    await refused()
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()
    await listener.aclose()
    assert "closed" in repr(listener)


async def test_who_waits_to_accept_when_it_closes_is_told() -> None:
    listener = open_memory_listener()

    async def accept() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        await wait_all_tasks_blocked()
        await listener.aclose()


async def test_each_call_is_a_checkpoint() -> None:
    listener = open_memory_listener(backlog=2)
    with trio.testing.assert_checkpoints():
        await listener.connect()
    with trio.testing.assert_checkpoints():
        await listener.accept()
    for _ in range(2):
        with trio.testing.assert_checkpoints():
            await listener.aclose()


@pytest.mark.parametrize("wrong", [{"backlog": 0}, {"capacity": 0}])
def test_there_must_be_room(wrong: dict[str, int]) -> None:
    for make in (open_memory_listener, MemoryListener):
        with pytest.raises(ValueError, match="must be at least 1"):
            make(**wrong)  # type: ignore[arg-type]


# Addresses that streams have


class Seen(Protocol):
    peers: list[Address]

    def connection_made(self) -> None:
        self.peers.append(self.transport.peer)


async def test_the_limit_of_each_peer_counts_addresses_of_streams(
    autojump_clock: MockClock,
) -> None:
    seen: list[Address] = []
    Seen.peers = seen
    listener = open_memory_listener()
    factory = Factory(Seen, max_per_peer=1, at_limit="refuse")
    async with open_server(factory, listener):
        streams = [await listener.connect(peer=peer) for peer in (ALICE, ALICE, BOB)]
        await wait_all_tasks_blocked()
        assert sorted(map(str, seen)) == ["tcp:192.0.2.1:1025", "tcp:192.0.2.2:1026"]
        assert await streams[1].receive_some() == b""
        for stream in streams:
            await stream.aclose()


class Tunnel(trio.abc.Stream):
    """A stream of a user's, which knows where it leads to, or says something else."""

    def __init__(self, below: trio.abc.Stream, **attributes: object) -> None:
        self.below = below
        vars(self).update(attributes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.below.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.below.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self.below.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self.below.aclose()


@pytest.mark.parametrize(
    ("attributes", "shown"),
    [
        ({"peer": ALICE, "local": BOB}, b"tcp:192.0.2.1:1025 to tcp:192.0.2.2:1026"),
        ({"peer": ALICE}, b"tcp:192.0.2.1:1025 to Tunnel"),
        ({"peer": ("192.0.2.1", 1025), "local": b"x"}, b"Tunnel to Tunnel"),
        ({}, b"Tunnel to Tunnel"),
    ],
)
async def test_a_stream_of_a_users_may_have_addresses(
    attributes: dict[str, object], shown: bytes
) -> None:
    client, server = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(Factory(Greeter).handle, Tunnel(server, **attributes)))
        assert await client.receive_some() == shown
        await client.aclose()


async def test_a_memory_stream_is_what_may_have_them() -> None:
    client, _ = memory_stream_pair(peer=ALICE)
    addressed: Addressed = client
    assert addressed.local == ALICE


# Refusals are gentle


class RefusesAll(Factory[Protocol]):
    def build_protocol(self, peer: Address) -> None:
        return None


@pytest.mark.parametrize("half_close", [True, False])
async def test_who_is_refused_sees_an_end_and_no_reset(half_close: bool) -> None:
    listener = open_memory_listener(half_close=half_close)
    async with open_server(RefusesAll(), listener):
        stream = await listener.connect()
        assert await stream.receive_some() == b""
