"""Deadlines and rates where there is TLS: with the handshake, and with whole records.

A peer of the suite is one that has shaken hands; these speak TLS byte by byte.
"""

from __future__ import annotations

import ssl
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import (
    OURS,
    MemoryPeer,
    MemoryService,
    PollService,
    TLSMemoryService,
    over_tls,
)
from tests.behaviour.tls_peers import TLSPeer, server_context
from trioproto import Factory
from trioproto.errors import AgeTimeout, FirstByteTimeout, HandshakeTimeout, PeerTooSlow
from trioproto.framing import LineReceiver
from trioproto.testing import memory_stream_pair
from trioproto.testing.conformance import connecting
from trioproto.testing.conformance import serving as serve
from trioproto.testing.conformance.features import Feature, lacks, needs
from trioproto.testing.conformance.peer import Peer
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Connecting, Service, Serving
from trioproto.testing.conformance.suite.fixtures import *  # noqa: F403

SERVICES = OURS
AGED: dict[str, Any] = {"max_age": 10, "drain_grace": 20, "idle_timeout": None}
WINDOW = 5
MEASURED: dict[str, Any] = {
    "min_receive_rate": 100,
    "receive_window": WINDOW,
    "idle_timeout": None,
}
RATE = 20_000  # its burst is more than a TLS handshake


async def raw_peer(service: Service) -> Peer:
    """Connect without shaking hands."""
    if isinstance(service, MemoryService):
        below = await MemoryService.new_peer(service)
    else:
        assert isinstance(service, PollService)
        below = await PollService.new_peer(service)
    below.service = service
    service.peers.append(below)
    await service.settle()
    return below


async def handshake_and_say(peer: TLSPeer, data: bytes) -> None:
    while not peer.connected:
        try:
            peer.session.do_handshake()
            peer.connected = True
            peer.session.write(data)
        except ssl.SSLWantReadError:
            pass
        await peer.below.send(peer.outgoing.read())
        if not peer.connected:
            peer.incoming.write(await peer.below.receive_some())


# Its age


@lacks(Feature.ENCRYPTS)
@pytest.mark.parametrize("seconds_before", [5, 9])
async def test_tls_does_not_make_a_connection_younger(
    connect: Connecting, seconds_before: float, autojump_clock: MockClock
) -> None:
    protocol = Recorder(data_received=lambda self: self.transport.start_tls(server_context()))
    async with connect(Factory(lambda: protocol, **AGED)) as below:
        await below.pass_time(seconds_before)
        await below.send(b"x")
        await below.settle()
        await below.pass_time(3)  # in the second row its time comes in the handshake
        peer = TLSPeer(below)
        await peer.handshake()
        await below.settle()
        await below.pass_time(3)
        assert protocol.heard[:3] == ["connection_made", "data_received", "quiesce"]
        assert type(protocol.transport.reason) is AgeTimeout


@needs(Feature.ENCRYPTS)
@pytest.mark.parametrize("seconds", [3, 8, 1000])
async def test_an_age_shorter_than_the_handshake_ends_it_soon_after(
    serving: Serving, seconds: float, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    factory = Factory(lambda: protocol, **AGED | {"max_age": 5, "handshake_timeout": 10})
    async with serving(factory) as service:
        below = await raw_peer(service)
        await service.pass_time(min(seconds, 11))
        if seconds == 1000:
            assert protocol.heard == []
            assert len(factory.connections) == 0
            return
        peer = TLSPeer(below)
        await peer.handshake()
        await service.settle()
        assert protocol.heard == ["connection_made"] + ["quiesce"] * (seconds > 5)
        await service.pass_time(3)
        assert type(protocol.transport.reason) is AgeTimeout
        assert await peer.receive_all() == (b"", "eof")


# Its first byte


@needs(Feature.ENCRYPTS)
async def test_a_first_byte_may_come_together_with_the_end_of_the_handshake(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    factory = Factory(lambda: protocol, first_byte_timeout=10, idle_timeout=None)
    async with serving(factory) as service:
        below = await raw_peer(service)
        peer = TLSPeer(below)
        await handshake_and_say(peer, b"x")
        await service.settle()
        assert protocol.received == b"x"
        await service.pass_time(100)
        assert not protocol.transport.closing


@needs(Feature.ENCRYPTS)
async def test_the_handshake_is_no_first_byte_and_takes_none_of_its_time(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    factory = Factory(lambda: protocol, first_byte_timeout=5, handshake_timeout=10)
    async with serving(factory) as service:
        below = await raw_peer(service)
        await service.pass_time(8)
        peer = TLSPeer(below)
        await peer.handshake()
        await service.settle()
        assert protocol.heard == ["connection_made"]
        await service.pass_time(4)
        assert not protocol.transport.closing
        await service.pass_time(2)
        assert type(protocol.transport.reason) is FirstByteTimeout


# Its rate


@needs(Feature.ENCRYPTS)
async def test_a_large_record_on_its_way_counts_byte_by_byte(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = LineReceiver()
    async with connect(protocol, **MEASURED | {"min_receive_rate": 1000}) as peer:
        assert isinstance(peer, TLSPeer)
        await peer.send(b"begun ")
        peer.session.write(bytes(16_000))  # a single record: decrypted when all of it is there
        record = peer.outgoing.read()
        for start in range(0, len(record), 120):
            await peer.below.send(record[start : start + 120])
            await peer.pass_time(0.1)
            assert not protocol.transport.closing


@needs(Feature.ENCRYPTS)
async def test_a_record_that_comes_too_slowly_is_too_slow(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, **MEASURED) as peer:
        assert isinstance(peer, TLSPeer)
        peer.session.write(bytes(16_000))
        record = peer.outgoing.read()
        for start in range(3 * WINDOW):
            if not protocol.transport.closing:
                await peer.below.send(record[start : start + 1])
                await peer.pass_time(1)
        assert type(protocol.transport.reason) is PeerTooSlow


@lacks(Feature.ENCRYPTS)
async def test_a_later_handshake_is_not_measured(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    def upgrade(self: Recorder) -> None:
        if self.chunks[-1] == b"tls":
            self.transport.start_tls(server_context())

    protocol = Recorder(data_received=upgrade)
    async with connect(protocol, **MEASURED | {"min_receive_rate": 1000}) as below:
        await below.send(b"x" * WINDOW * 1000)
        await below.pass_time(WINDOW + 1)
        await below.send(b"tls")
        await below.pass_time(8)
        await TLSPeer(below).handshake()
        await below.settle()
        await below.pass_time(WINDOW - 0.1)
        assert protocol.transport.tls is not None
        assert not protocol.transport.closing


# Ours


async def test_waiting_is_no_time_of_the_handshakes(autojump_clock: MockClock) -> None:
    protocol = Recorder()
    rates = {"receive_rate": 50, "send_rate": 100}
    begun = trio.current_time()
    async with connecting(TLSMemoryService, protocol, handshake_timeout=2, **rates) as peer:
        await peer.send(b"data")
        assert trio.current_time() > begun + 10
        await peer.pass_time(20)
        assert protocol.received == b"data"


async def test_a_total_rate_set_in_the_handshake_counts_after_it(
    autojump_clock: MockClock,
) -> None:
    protocol = Recorder()
    factory = Factory(lambda: protocol)
    async with serve(TLSMemoryService, factory) as service:
        assert isinstance(service, TLSMemoryService)
        ours, stream = memory_stream_pair()
        service.handle(stream)
        await service.settle()
        factory.configure(send_rate_total=RATE)
        peer = await over_tls(service, MemoryPeer(ours))
        await service.settle()
        protocol.transport.write(bytes(4 * RATE))
        await service.pass_time(1)
        assert 1.5 * RATE < protocol.transport.bytes_sent <= 2.1 * RATE
        protocol.transport.abort()
        await peer.aclose()


# The time of a later handshake


@lacks(Feature.ENCRYPTS)
async def test_a_later_handshake_has_the_time_that_was_set(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    def upgrade(self: Recorder) -> None:
        self.transport.set_timeout(3, "handshake_timeout")
        self.transport.start_tls(server_context())
        self.transport.set_timeout(4, "handshake_timeout")

    protocol = Recorder(data_received=upgrade)
    async with connect(protocol) as peer:
        await peer.send(b"x")
        await peer.settle()
        protocol.transport.set_timeout(100, "handshake_timeout")  # it has begun
        await peer.pass_time(3.5)
        assert not protocol.lost
        await peer.pass_time(1)
        assert type(protocol.transport.reason) is HandshakeTimeout
