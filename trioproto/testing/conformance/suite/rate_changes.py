"""Rates that change while connections are open.

The rule: docs/throttling.md, Changes while running.
"""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import WriteTimeout
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting, Serving
from trioproto.testing.conformance.speed import (
    RATE,
    connect_all,
    receiving,
    sending,
    several,
    take_for,
)

NEEDS = {Feature.RATES}


@pytest.mark.parametrize("before", [0.01, None])
async def test_a_higher_total_rate_counts_at_once(
    serving: Serving, autojump_clock: MockClock, before: float | None
) -> None:
    protocols, factory = several(2)
    async with serving(factory) as service:
        peers = await connect_all(service, protocols)
        factory.configure(receive_rate_total=before, send_rate_total=before)
        for peer, protocol in zip(peers, protocols, strict=True):
            await peer.send(b"begins")  # a stream reads already, as much as it could before
            protocol.transport.write(b"begins")
        await service.pass_time(2)
        factory.configure(receive_rate_total=RATE, send_rate_total=RATE)
        await service.settle()
        assert {protocol.received for protocol in protocols} == {b"begins"}
        assert [await peer.received_so_far() for peer in peers] == [b"begins"] * 2
        for peer, protocol in zip(peers, protocols, strict=True):
            await peer.send(bytes(3 * RATE))
            protocol.transport.write(bytes(3 * RATE))
        await service.settle()
        received, sent = receiving(*protocols), sending(*protocols)
        taken = await take_for(3, *peers)
        assert sum(sent()) == pytest.approx(3 * RATE, rel=0.1)
        if before is not None:
            assert sum(received()) == pytest.approx(3 * RATE, rel=0.1)
        taken += await take_for(7, *peers)
        assert {len(protocol.received) for protocol in protocols} == {3 * RATE + 6}
        assert sum(taken) == 2 * 3 * RATE


@needs(Feature.ASYNC_CODE)  # a harness has the settings that it was made with
async def test_rates_set_while_a_protocol_is_built_count(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()

    def build() -> Recorder:
        factory.configure(send_rate_total=RATE)
        return protocol

    factory = Factory(build)
    async with connect(factory) as peer:
        protocol.transport.write(bytes(4 * RATE))
        await peer.pass_time(1)
        assert 1.5 * RATE < protocol.transport.bytes_sent <= 2.1 * RATE
        protocol.transport.abort()


async def test_a_lower_total_rate_counts_at_once(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(2, send_rate_total=10 * RATE)
    async with serving(factory) as service:
        await connect_all(service, protocols)
        for protocol in protocols:
            protocol.transport.write(bytes(30 * RATE))
        await service.pass_time(1)
        factory.configure(send_rate_total=RATE)
        speed = sending(*protocols)
        await service.pass_time(3)
        assert sum(speed()) <= 3.1 * RATE
        for protocol in protocols:
            protocol.transport.abort()


async def test_a_total_rate_that_is_lifted_holds_nobody_up(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    factory = Factory(lambda: protocol)
    async with connect(factory) as peer:
        factory.configure(receive_rate_total=1, send_rate_total=1)
        await peer.settle()
        await peer.send(bytes(2 * RATE))
        protocol.transport.write(bytes(2 * RATE))
        await peer.pass_time(3)
        factory.configure(receive_rate_total=None, send_rate_total=None)
        await peer.settle()
        assert len(protocol.received) == 2 * RATE
        assert len(await peer.received_so_far()) == 2 * RATE


async def test_the_write_timeout_counts_from_when_the_rate_is_lifted(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    factory = Factory(lambda: protocol, write_timeout=10)
    async with connect(factory, small_buffers=True) as peer:
        factory.configure(send_rate_total=1)
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.pass_time(9)
        factory.configure(send_rate_total=None)
        await peer.pass_time(9)
        assert not protocol.lost
        await peer.pass_time(12)
        assert type(protocol.reason) is WriteTimeout


async def test_a_connections_own_rate_is_that_of_when_it_was_accepted(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(2, send_rate=RATE)
    async with serving(factory) as service:
        first = await service.connect()
        factory.configure(send_rate=2 * RATE)
        peers = first, await service.connect()
        for protocol in protocols:
            protocol.transport.write(bytes(10 * RATE))
        await take_for(1, *peers)
        speed = sending(*protocols)
        await take_for(3, *peers)
        assert speed() == [pytest.approx(3 * RATE, rel=0.05), pytest.approx(6 * RATE, rel=0.05)]
        for protocol in protocols:
            protocol.transport.abort()
