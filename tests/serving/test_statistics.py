"""What a server counts, whichever way its connections come and go."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.serving.conversations import LOOPBACK, Echo, Greeter, dial, outcome, settle
from tests.serving.test_drain_reports import HEADER, TRUSTING, dial_tls, in_handshake, over_tls
from trioproto import Factory, Protocol, TCPAddress, open_server, serve, stay_connected
from trioproto.sansio.counts import Statistics
from trioproto.testing.conformance.peer import PeerWasReset


def check(now: Statistics) -> Statistics:
    """Hold the numbers to what is true at any time."""
    assert now.accepted == now.opening + now.open + sum(now.closed.values())
    assert min(now.accepted, now.opening, now.open, now.opened) >= 0
    return now


async def test_a_server_counts_who_is_there_and_who_has_been(autojump_clock: MockClock) -> None:
    async with open_server(Factory(Greeter, idle_timeout=10), LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(3)]
        for peer in peers:
            assert await peer.receive_exactly(5) == b"hello"
        now = check(server.statistics())
        assert (now.accepted, now.open, now.opened, now.opening) == (3, 3, 3, 0)
        await peers[0].aclose()
        await settle()
        await peers[1].reset()
        await settle()
        await trio.sleep(13)
        now = check(server.statistics())
        assert now.closed == {"ConnectionDone": 1, "ConnectionLost": 1, "IdleTimeout": 1}
        assert now.bytes_sent == 15
        assert now.bytes_received == 0


async def test_numbers_stay_when_the_server_has_ended_and_go_on_with_the_next() -> None:
    factory = Factory(Greeter)
    for number in (1, 2):
        async with open_server(factory, LOOPBACK) as server:
            peer = dial(server.addresses[0])
            assert await peer.receive_exactly(5) == b"hello"
            await peer.aclose()
        now = check(factory.statistics())
        assert now.accepted == number
        assert now == server.statistics()


async def test_a_handshake_that_is_not_done_is_on_its_way(autojump_clock: MockClock) -> None:
    factory = Factory(Greeter, handshake_timeout=5)
    async with open_server(factory, over_tls()) as server:
        waits = await in_handshake(server)
        talks = dial_tls(server)
        await talks.shake()
        assert await talks.receive_exactly(5) == b"hello"
        now = check(server.statistics())
        assert (now.opening, now.open, now.opened) == (1, 1, 1)
        assert now.bytes_received > 0
        done, begun = server.connection_info()
        assert (done.state, begun.state) == ("open", "opening")
        assert done.tls is not None
        assert done.tls.version.startswith("TLS")
        assert begun.tls is None
        await trio.sleep(6)
        now = check(server.statistics())
        assert (now.opening, now.open, now.opened) == (0, 1, 1)
        assert now.closed == {"HandshakeTimeout": 1}
        waits.peer.discard()
        talks.peer.discard()


async def test_a_handshake_that_fails_has_ended_a_connection(autojump_clock: MockClock) -> None:
    async with open_server(Factory(Greeter), over_tls()) as server:
        peer = dial(server.addresses[0])
        await peer.send(b"GET / HTTP/1.0\r\n\r\n")
        await outcome(peer)
        await peer.aclose()
        await settle()
        now = check(server.statistics())
        assert (now.accepted, now.opened) == (1, 0)
        assert now.closed == {"HandshakeFailed": 1}
        assert now.bytes_received == 18


async def test_who_owes_a_header_is_on_its_way_and_not_described(
    autojump_clock: MockClock,
) -> None:
    async with open_server(Factory(Greeter, handshake_timeout=5), TRUSTING) as server:
        silent, good, bad = (dial(server.addresses[0]) for _ in range(3))
        await settle()
        now = check(server.statistics())
        assert (now.accepted, now.opening, now.open) == (3, 3, 0)
        assert server.connection_info() == ()
        await good.send(HEADER)
        assert await good.receive_exactly(5) == b"hello"
        await bad.send(b"nonsense, and no header at all\r\n")
        await settle()
        now = check(server.statistics())
        assert (now.opening, now.open) == (1, 1)
        assert now.closed == {"ProxyHeaderError": 1}
        (info,) = server.connection_info()
        assert info.peer == TCPAddress("192.0.2.1", 1111)
        await trio.sleep(6)
        now = check(server.statistics())
        assert now.closed == {"ProxyHeaderError": 1, "HandshakeTimeout": 1}
        silent.discard()
        bad.discard()
        await good.aclose()


async def test_who_is_refused_at_a_limit_is_counted_as_that() -> None:
    factory = Factory(Greeter, max_connections=1, at_limit="refuse", refusal=b"full")
    async with open_server(factory, LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await first.receive_exactly(5) == b"hello"
        second = dial(server.addresses[0])
        assert await second.receive_exactly(4) == b"full"
        await second.aclose()
        await settle()
        now = check(server.statistics())
        assert now.refused == {"max_connections": 1}
        assert now.limits == {"max_connections": 1}
        assert now.open == 1
        assert len(server.connection_info()) == 1
        await first.aclose()


async def test_who_has_too_many_is_refused_and_not_accepted() -> None:
    factory = Factory(Greeter, max_per_peer=1)
    async with open_server(factory, LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await first.receive_exactly(5) == b"hello"
        second = dial(server.addresses[0])
        await outcome(second)
        await second.aclose()
        await settle()
        now = check(server.statistics())
        assert (now.accepted, now.open) == (1, 1)
        assert now.refused == {"max_per_peer": 1}
        assert now.closed == {}
        await first.aclose()


async def test_a_connection_that_was_handed_in_is_counted() -> None:
    factory = Factory(Greeter)
    ours, theirs = trio.testing.memory_stream_pair()
    async with factory, trio.open_nursery() as nursery:
        nursery.start_soon(factory.handle, ours)
        await settle()
        assert check(factory.statistics()).open == 1
        (info,) = factory.connection_info()
        assert info.protocol == "tests.serving.conversations.Greeter"
        nursery.cancel_scope.cancel()
    assert check(factory.statistics()).closed == {"ServerCancelled": 1}
    await theirs.aclose()


async def test_connections_of_our_own_making_are_counted_too() -> None:
    clients = Factory(Protocol)
    async with (
        open_server(Factory(Greeter), LOOPBACK) as server,
        stay_connected(clients, f"tcp:127.0.0.1:{server.addresses[0].port}") as kept,  # type: ignore[union-attr]
    ):
        await kept.wait_connected()
        await settle()
        now = check(clients.statistics())
        assert (now.accepted, now.open, now.bytes_received) == (1, 1, 5)
    assert check(clients.statistics()).closed == {"ConnectionDone": 1}


@pytest.fixture
def impatient_threads() -> Iterator[None]:
    """Have threads take turns all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


async def test_numbers_can_be_had_in_another_thread(impatient_threads: None) -> None:
    """At no moment is a connection counted twice, or not at all."""
    factory = Factory(Echo)
    done = False
    seen: list[Statistics] = []

    def look() -> None:
        while not done:
            seen.append(factory.statistics())
            factory.connection_info()

    async def come_and_go(address: Any) -> None:
        for _ in range(50):
            peer = dial(address)
            await peer.send(b"x" * 10)
            await peer.receive_exactly(10)
            await peer.aclose()

    async with open_server(factory, LOOPBACK) as server, trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, look)
        async with trio.open_nursery() as clients:
            for _ in range(4):
                clients.start_soon(come_and_go, server.addresses[0])
        done = True
    assert len(seen) > 1
    for before, after in pairwise(seen):
        assert before.accepted <= after.accepted
        assert before.bytes_received <= after.bytes_received
        assert before.bytes_sent <= after.bytes_sent
        assert after.opening >= 0
    assert check(factory.statistics()).bytes_received == 2000


async def test_a_cancelled_server_has_counted_each_end() -> None:
    factory = Factory(Greeter)
    peers = []
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, factory, LOOPBACK)
        for _ in range(3):
            peers.append(dial(server.addresses[0]))
            assert await peers[-1].receive_exactly(5) == b"hello"
        nursery.cancel_scope.cancel()
    assert check(factory.statistics()).closed == {"ServerCancelled": 3}
    for peer in peers:
        try:
            await peer.receive_all()
        except PeerWasReset:
            pass
        await peer.aclose()


def test_statistics_can_be_written_as_json() -> None:
    written = json.loads(json.dumps(asdict(Factory(Greeter).statistics())))
    assert written["accepted"] == 0
    assert written["closed"] == {}
