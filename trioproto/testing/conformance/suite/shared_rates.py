"""A rate for all connections together, shared fairly.

The rule: docs/throttling.md, Fairness.
"""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from trioproto.testing.conformance.features import Feature, lacks, needs
from trioproto.testing.conformance.service import Serving
from trioproto.testing.conformance.speed import (
    RATE,
    connect_all,
    receiving,
    sending,
    several,
    take_for,
)

NEEDS = {Feature.RATES}


async def test_connections_share_the_rate_of_reading_fairly(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(3, receive_rate_total=RATE)
    async with serving(factory) as service:
        for peer in await connect_all(service, protocols):
            await peer.send(bytes(10 * RATE))
        await service.pass_time(3)
        speed = receiving(*protocols)
        await service.pass_time(9)
        got = speed()
        assert sum(got) == pytest.approx(9 * RATE, rel=0.05)
        assert max(got) <= 1.1 * min(got)
        for protocol in protocols:
            protocol.transport.abort()


async def test_connections_share_the_rate_of_sending_fairly(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(3, send_rate_total=RATE)
    async with serving(factory) as service:
        peers = await connect_all(service, protocols)
        for protocol in protocols:
            protocol.transport.write(bytes(10 * RATE))
        await take_for(3, *peers)
        speed = sending(*protocols)
        await take_for(9, *peers)
        got = speed()
        assert sum(got) == pytest.approx(9 * RATE, rel=0.05)
        assert max(got) <= 1.1 * min(got)
        for protocol in protocols:
            protocol.transport.abort()


@needs(Feature.READS_ON)  # others are ahead by a quantum each
async def test_many_that_begin_at_once_have_one_burst_together(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(20, receive_rate_total=RATE)
    async with serving(factory) as service:
        for peer in await connect_all(service, protocols):
            await peer.send(bytes(3 * RATE))
        await service.settle()
        speed = receiving(*protocols)
        assert sum(speed.before) <= RATE
        await service.pass_time(4)
        got = speed()
        assert sum(speed.before) <= 5 * RATE
        assert sum(got) == pytest.approx(4 * RATE, rel=0.05)
        assert max(got) <= 1.5 * min(got)
        for protocol in protocols:
            protocol.transport.abort()


async def test_a_modest_connection_is_served_promptly_beside_greedy_ones(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(5, send_rate_total=10 * RATE)
    async with serving(factory) as service:
        peers = await connect_all(service, protocols)
        for protocol in protocols[1:]:
            protocol.transport.write(bytes(100 * RATE))
        await service.pass_time(5)
        for _ in range(5):
            protocols[0].transport.write(b"tick")
            await service.pass_time(0.25)
            received = b"".join([await peer.received_so_far() for peer in peers])
            assert b"tick" in received
        for protocol in protocols:
            protocol.transport.abort()


async def test_a_connection_that_ends_leaves_the_rate_to_the_others(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(3, send_rate_total=RATE)
    async with serving(factory) as service:
        peers = await connect_all(service, protocols)
        for protocol in protocols:
            protocol.transport.write(bytes(10 * RATE))
        await take_for(2, *peers)
        for protocol in protocols[:2]:
            protocol.transport.abort()
        speed = sending(protocols[2])
        await take_for(3, *peers)
        assert speed() == [pytest.approx(3 * RATE, rel=0.05)]
        protocols[2].transport.abort()


@lacks(Feature.ENCRYPTS)
async def test_the_turn_of_a_connection_that_ends_is_the_next_ones(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(2, send_rate_total=0.1)
    async with serving(factory) as service:
        peers = await connect_all(service, protocols)
        protocols[0].transport.write(b"12")
        await service.settle()
        protocols[0].transport.abort()
        await service.settle()
        protocols[1].transport.write(b"3")
        await service.pass_time(12)
        assert b"3" in [await peer.received_so_far() for peer in peers]
