"""Peers that ask for much and take nothing, or say what never ends."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.hostile.callers import Caller
from tests.hostile.places import DRIVERS, Lines, Place, serving
from trioproto import Factory
from trioproto.framing import LineReceiver

REPLY = bytes(range(256)) * (32 << 10)
"""More than all that the kernel keeps for one connection."""
MUCH = b"much\r\n"


class Generous(Lines):
    """Has a large reply for who asks for much."""

    def line_received(self, line: bytes) -> Any:
        if line == b"much":
            self.transport.write(REPLY)
        else:
            super().line_received(line)


class Streams(Lines):
    """Sends the same as fast as it is read."""

    async def line_received(self, line: bytes) -> Any:
        if line != b"much":
            self.send_line(line)
            return
        for begin in range(0, len(REPLY), 1 << 16):
            await self.transport.send(REPLY[begin : begin + (1 << 16)])


@pytest.mark.over(*DRIVERS)
@pytest.mark.parametrize("protocol", [Generous, Streams])
async def test_who_asks_for_much_and_reads_nothing_is_reset_in_its_time(
    driver: str, autojump_clock: MockClock, protocol: type[LineReceiver]
) -> None:
    async with serving(driver, Factory(protocol)) as place:
        for _ in range(10):
            await (await place.connect()).send(MUCH)
        await place.healthy.served(20)
        assert place.connections == 10
        await place.until(lambda: place.count("WriteTimeout") == 10)
        assert place.factory.statistics().buffered == 0


@pytest.mark.parametrize("protocol", [Generous, Streams])
async def test_who_reads_a_large_reply_slowly_gets_it_whole(
    driver: str, autojump_clock: MockClock, protocol: type[LineReceiver]
) -> None:
    """It takes longer than any deadline, but there is always some progress."""
    async with serving(driver, Factory(protocol)) as place:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(_read_slowly, await place.dial(), 1 << 17)
        assert place.healthy.exchanges >= len(REPLY) >> 17
        await place.until(lambda: place.connections == 0)
        assert place.count("ConnectionDone") >= 4


async def _read_slowly(caller: Caller, at_once: int) -> None:
    """Read so many bytes a second."""
    await caller.send(MUCH)
    received = bytearray()
    while len(received) < len(REPLY):
        await trio.sleep(1)
        received += caller.read_so_far(at_once)
    assert received == REPLY
    await caller.aclose()


@pytest.mark.over(*DRIVERS)
async def test_who_floods_requests_and_never_reads_is_heard_no_further(
    driver: str, autojump_clock: MockClock
) -> None:
    async with serving(driver, Factory(Lines)) as place:
        place.healthy.hurry()
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(_flood, place)
            await place.healthy.served(100)
            place.healthy.take_it_easy()
            await place.healthy.served(20)
            most = max(each.transport.buffered for each in place.factory.connections)
            assert most <= 1 << 18  # the high-water mark, and what one read asks for
            assert place.connections == 5
            await place.until(lambda: place.count("WriteTimeout") == 5)


async def _flood(place: Place) -> None:
    """Ask until nothing goes any more; read not one answer."""
    peer: Any = await place.connect()
    question = b"why? " * 20 + b"\r\n"
    try:
        while True:
            await peer.send(question * 100)
            await trio.lowlevel.checkpoint()
    except OSError:
        return  # the server has had enough


class Patient(Lines):
    """Skips lines that are too long."""

    on_too_long = "discard"


@pytest.mark.over(*DRIVERS)
async def test_an_endless_line_ends_its_connection(driver: str, autojump_clock: MockClock) -> None:
    async with serving(driver, Factory(Lines)) as place:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(_never_end, place, 1 << 14, 0.5)
        assert place.healthy.exchanges >= 2
        assert place.count("FrameTooLong") == 20


async def test_an_endless_line_that_is_skipped_is_no_activity(
    driver: str, autojump_clock: MockClock
) -> None:
    """So it ends after the idle time, however much is sent."""
    async with serving(driver, Factory(Patient)) as place, trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(_never_end, place, 1 << 14, 1)
        await place.healthy.served(50)
        assert place.connections == 20
        assert all(each.codec.pending <= each.max_length for each in place.factory.connections)
        await place.until(lambda: place.count("IdleTimeout") == 20)


async def _never_end(place: Place, size: int, pause: float) -> None:
    """Send what has no delimiter, until the server has had enough."""
    peer: Any = await place.connect()
    try:
        while True:
            await peer.send(b"a" * size)
            await trio.sleep(pause)
    except OSError:
        return
