"""Peers that say nothing, or too little, or are not there any more."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.hostile.callers import Caller
from tests.hostile.places import DRIVERS, OVER_TLS, Echo, Lines, serving
from trioproto import Factory


async def test_a_thousand_silent_connections_are_closed_in_their_time(
    driver: str, autojump_clock: MockClock
) -> None:
    """With nothing but the defaults; and there is room for others meanwhile."""
    async with serving(driver, Factory(Echo)) as place:
        await place.crowd(1000)
        await place.settle()
        assert place.connections == 1000
        await place.newcomer()
        await place.healthy.served(30)
        assert place.connections >= 1000
        await place.until(lambda: place.count("IdleTimeout") >= 1000)
        assert place.healthy.exchanges >= 50


@pytest.mark.over(*OVER_TLS)
async def test_a_thousand_that_never_shake_hands_are_reset_in_their_time(
    driver: str, autojump_clock: MockClock
) -> None:
    async with serving(driver, Factory(Echo)) as place:
        await place.crowd(1000)
        await place.settle()
        assert place.factory.statistics().opening == 1000
        await place.newcomer()
        await place.healthy.served(5)
        assert place.factory.statistics().opening == 1000
        await place.until(lambda: place.count("HandshakeTimeout") == 1000)
        assert place.healthy.exchanges >= 10


@pytest.mark.over(*DRIVERS)
async def test_who_never_says_a_first_word_is_closed_early(
    driver: str, autojump_clock: MockClock
) -> None:
    async with serving(driver, Factory(Echo, first_byte_timeout=10)) as place:
        for _ in range(50):
            await place.connect()
        await place.healthy.served(5)
        assert place.connections == 50
        await place.until(lambda: place.count("FirstByteTimeout") == 50)
        assert 10 <= place.healthy.exchanges <= 20


@pytest.mark.over(*DRIVERS)
async def test_who_sends_a_byte_a_second_is_closed_for_being_slow(
    driver: str, autojump_clock: MockClock
) -> None:
    """It is never idle; a rate has to be asked for. In a record, a byte is some twenty."""
    factory = Factory(Lines, min_receive_rate=100, receive_window=20)
    async with serving(driver, factory) as place, trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(_send_slowly, await place.connect())
        await place.healthy.served(15)
        assert place.connections == 50
        await place.until(lambda: place.count("PeerTooSlow") == 50)
        nursery.cancel_scope.cancel()


async def test_who_sends_a_byte_a_second_holds_nobody_without_a_rate(
    driver: str, autojump_clock: MockClock
) -> None:
    async with serving(driver, Factory(Lines)) as place, trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(_send_slowly, await place.connect())
        await place.healthy.served(100)
        assert place.connections == 50
        unfinished = [each.codec.pending for each in place.factory.connections if each.in_frame()]
        assert len(unfinished) == 50
        assert min(unfinished) > 90
        nursery.cancel_scope.cancel()


async def _send_slowly(peer: Any) -> None:
    while True:
        try:
            await peer.send(b"a")
        except OSError:
            return
        await trio.sleep(1)


class KeepsOpen(Echo):
    """Goes on answering a peer that has ended its side."""

    def eof_received(self) -> bool:
        return True


@pytest.mark.parametrize("how", ["vanish", "half-close"])
async def test_half_open_connections_are_closed_in_their_time(
    driver: str, autojump_clock: MockClock, how: str
) -> None:
    """Their hosts have died in the middle of a request, or they never close their other half."""
    async with serving(driver, Factory(KeepsOpen)) as place:
        callers: list[Caller] = await place.crowd(200)
        for caller in callers:
            await caller.send(b"half of a req")
        await place.settle()
        for caller in callers:
            if how == "vanish":
                caller.vanish()
            else:
                await caller.send_eof()
        await place.healthy.served(30)
        assert place.connections == 200
        await place.until(lambda: place.count("IdleTimeout") == 200)
        assert place.healthy.exchanges >= 50


async def test_what_is_written_to_hosts_that_have_died_harms_nobody(
    driver: str, autojump_clock: MockClock
) -> None:
    async with serving(driver, Factory(Echo)) as place:
        for caller in await place.crowd(200):
            await caller.send(b"anybody there?")
            caller.vanish()
        await place.healthy.served(10)
        for protocol in place.factory.connections:
            if protocol.transport.bytes_received == 14:
                protocol.transport.write(bytes(100_000))
        await place.healthy.served(10)
        await place.until(lambda: place.connections == 0)
