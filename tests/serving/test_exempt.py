"""Connections that are taken out of all counts."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import OverTLS
from tests.serving.conversations import LOOPBACK, Greeter, dial, settle
from tests.serving.limited import (
    REFUSAL,
    Held,
    admission_of,
    check_at_rest,
    ends,
    greeted,
    held,
)
from tests.serving.test_listeners import offer
from tests.tls.over_wire import Speaker
from trioproto import Factory, Protocol, open_server
from trioproto.testing import MemoryListener


class OnDemand(Greeter):
    """Is exempt from when the peer asks for it, as often as it asks."""

    def data_received(self, data: bytes) -> None:
        for _ in data:
            self.transport.exempt()
        self.transport.write(b"exempt")


class AtOnce(Greeter):
    def connection_made(self) -> None:
        self.transport.exempt()
        super().connection_made()


LIMITS = {"max_connections": 2, "max_per_peer": 2, "at_limit": "refuse", "refusal": REFUSAL}


async def test_an_exempt_connection_makes_room_in_all_counts(autojump_clock: MockClock) -> None:
    factory = Factory(OnDemand, **LIMITS)
    async with open_server(factory, LOOPBACK, grace=0) as server:
        admission = admission_of(factory)
        peers = [dial(server.addresses[0]) for _ in range(2)]
        assert all([await greeted(peer) for peer in peers])
        assert (await ends(dial(server.addresses[0])))[0] == REFUSAL
        await peers[0].send(b"1")
        assert await peers[0].receive_exactly(6) == b"exempt"
        assert held(admission).places == 1
        assert list(held(admission).peers.values()) == [1]
        third = dial(server.addresses[0])
        assert await greeted(third)
        assert (await ends(dial(server.addresses[0])))[0] == REFUSAL
        assert len(factory.connections) == factory.statistics().open == 3
    check_at_rest(factory, admission)


@pytest.mark.parametrize("asked", [1, 2, 5])
async def test_it_counts_once_however_often_it_is_asked_for(
    autojump_clock: MockClock, asked: int
) -> None:
    factory = Factory(OnDemand, **LIMITS)
    async with open_server(factory, LOOPBACK, grace=0) as server:
        admission = admission_of(factory)
        peers = [dial(server.addresses[0]) for _ in range(2)]
        assert all([await greeted(peer) for peer in peers])
        await peers[0].send(b"x" * asked)
        await settle()
        assert held(admission).places == 1
        await peers[0].aclose()
        await settle()
        assert held(admission).places == 1, "it gives nothing back that it does not hold"
        assert list(held(admission).peers.values()) == [1]


async def test_who_waits_comes_in_for_one_that_is_exempt(autojump_clock: MockClock) -> None:
    factory = Factory(OnDemand, max_connections=1)
    async with open_server(factory, LOOPBACK, grace=0) as server:
        first, second = dial(server.addresses[0]), dial(server.addresses[0])
        await settle()
        assert len(factory.connections) == 1
        await first.send(b"1")
        assert await second.receive_exactly(5) == b"hello"


@pytest.mark.parametrize("kind", ["sockets", "streams", "tls"])
async def test_all_may_be_exempt_from_the_start(autojump_clock: MockClock, kind: str) -> None:
    factory = Factory(AtOnce, max_connections=1, max_per_peer=1, max_handshakes=1)
    listener = MemoryListener()
    endpoint: Any = {"sockets": LOOPBACK, "streams": listener, "tls": OverTLS(LOOPBACK)}[kind]
    async with open_server(factory, endpoint, grace=0) as server:
        admission = admission_of(factory)
        for _ in range(5):
            peer: Any = await offer(listener) if kind == "streams" else dial(server.addresses[0])
            if kind == "tls":
                peer = Speaker(peer)
                await peer.shake()
            with trio.fail_after(5):
                assert await peer.receive_exactly(5) == b"hello"
        assert held(admission) == Held()
        assert len(factory.connections) == 5
    check_at_rest(factory, admission)


async def test_the_soft_limit_does_not_count_them(autojump_clock: MockClock) -> None:
    calls: list[int] = []

    class Watched(Factory[Any]):
        def soft_limit_reached(self, connections: int) -> None:
            calls.append(connections)

    async with open_server(Watched(AtOnce, soft_limit=2), LOOPBACK, grace=0) as server:
        for _ in range(4):
            assert await greeted(dial(server.addresses[0]))
        assert calls == []


async def test_they_are_drained_like_others(autojump_clock: MockClock) -> None:
    async with open_server(Factory(AtOnce), LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(3)]
        assert all([await greeted(peer) for peer in peers])
        report = await server.drain()
        assert report.finished == 3


async def test_afterwards_it_does_nothing(autojump_clock: MockClock) -> None:
    kept: list[Protocol] = []

    class Kept(Greeter):
        def connection_made(self) -> None:
            kept.append(self)
            super().connection_made()

        def connection_lost(self, reason: object) -> None:
            self.transport.exempt()

    factory = Factory(Kept, max_connections=2)
    async with open_server(factory, LOOPBACK, grace=0) as server:
        first, second = dial(server.addresses[0]), dial(server.addresses[0])
        assert await greeted(first)
        assert await greeted(second)
        await first.aclose()
        await settle()
        for protocol in kept:
            if protocol not in factory.connections:
                protocol.transport.exempt()
        assert held(admission_of(factory)) == Held(places=1)


async def test_a_refusal_that_asks_for_it_stays_a_refusal(autojump_clock: MockClock) -> None:
    class Overflow(Protocol):
        def connection_made(self) -> None:
            self.transport.exempt()

    factory = Factory(Greeter, max_connections=1, at_limit="refuse", refusal=Overflow)
    async with open_server(factory, LOOPBACK, grace=0) as server:
        admission = admission_of(factory)
        first, second = dial(server.addresses[0]), dial(server.addresses[0])
        await settle()
        assert held(admission) == Held(places=1, refusals=1)
        assert await greeted(first)
        await ends(second)
    check_at_rest(factory, admission)
