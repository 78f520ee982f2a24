"""Bytes a second: each connection keeps to its rate.

The rule: docs/throttling.md, What counts.
"""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from trioproto.runtime.factory import Factory
from trioproto.sansio.transport import Transport
from trioproto.testing.conformance.features import Feature, lacks
from trioproto.testing.conformance.recorder import Recorder, keep_open
from trioproto.testing.conformance.service import Connecting, Serving
from trioproto.testing.conformance.speed import RATE, Speed, receiving, sending, take_for

NEEDS = {Feature.RATES}


async def test_a_connection_is_read_from_at_its_rate(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, receive_rate=RATE) as peer:
        speed = receiving(protocol)
        await peer.send(bytes(10 * RATE))
        await peer.pass_time(1)
        assert speed()[0] <= 2.1 * RATE  # with the burst
        await peer.pass_time(5)
        assert speed() == [pytest.approx(5 * RATE, rel=0.05)]
        await peer.pass_time(5)
        assert len(protocol.received) == 10 * RATE


async def test_a_connection_is_sent_to_at_its_rate(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, send_rate=RATE) as peer:
        speed = sending(protocol)
        protocol.transport.write(bytes(10 * RATE))
        received = await take_for(1, peer)
        assert speed()[0] <= 2.1 * RATE
        received += await take_for(5, peer)
        assert speed() == [pytest.approx(5 * RATE, rel=0.05)]
        received += await take_for(5, peer)
        assert protocol.transport.buffered == 0
        assert sum(received) == 10 * RATE


@lacks(Feature.ENCRYPTS)
@pytest.mark.parametrize("rate", [1, 2.5, 100, 1e9])
async def test_small_and_large_rates_are_kept_too(
    connect: Connecting, autojump_clock: MockClock, rate: float
) -> None:
    protocol = Recorder()
    async with connect(protocol, receive_rate=rate, send_rate=rate, idle_timeout=None) as peer:
        speed = Speed(
            lambda: protocol.transport.bytes_received, lambda: protocol.transport.bytes_sent
        )
        size = min(100_000, int(30 * rate))
        await peer.send(bytes(size))
        protocol.transport.write(bytes(size))
        await peer.pass_time(2)
        most = min(size, 3 * rate + 1)
        assert all(most - rate - 2 <= moved <= most + rate / 10 + 1 for moved in speed())
        await peer.pass_time(40)
        assert len(protocol.received) == size
        assert len(await peer.received_so_far()) == size


async def test_a_bulk_transfer_at_its_rate_does_not_slow_others_down(
    serving: Serving, autojump_clock: MockClock
) -> None:
    class Serves(Recorder):
        def data_received(self, data: bytes) -> None:
            self.transport.write(bytes(50 * RATE) if data == b"bulk" else data)

    async with serving(Factory(Serves, send_rate=RATE)) as service:
        bulk, interactive = await service.connect(), await service.connect()
        await bulk.send(b"bulk")
        received = 0
        for _ in range(20):
            await interactive.send(b"ping")
            assert await interactive.received_so_far() == b"ping"  # no time has passed
            await service.pass_time(0.5)
            received += len(await bulk.received_so_far())
        assert received == pytest.approx(11 * RATE, rel=0.1)
        await bulk.reset()


async def test_a_burst_after_idleness_is_a_seconds_worth(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, send_rate=RATE) as peer:
        protocol.transport.write(bytes(RATE))
        await peer.pass_time(30)
        speed = sending(protocol)
        protocol.transport.write(bytes(3 * RATE))
        await peer.settle()
        assert 0.85 * RATE <= speed()[0] <= RATE
        await peer.pass_time(5)


async def test_a_half_closed_connection_keeps_to_its_rate(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(eof_received=keep_open)
    async with connect(protocol, send_rate=RATE) as peer:
        await peer.say_eof()
        transport: Transport = protocol.transport
        transport.write(bytes(4 * RATE))
        if transport.can_write_eof:
            transport.write_eof()
        await peer.pass_time(1)
        received = len(await peer.received_so_far())
        assert received <= 2.1 * RATE
        await peer.pass_time(4)
        assert received + len(await peer.received_so_far()) == 4 * RATE
