"""Peers that come in numbers, and go as they please."""

from __future__ import annotations

import random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.hostile.callers import BAD, Caller
from tests.hostile.places import DRIVERS, OVER_TLS, Echo, Place, serving
from tests.tls.over_wire import HELLO
from trioproto import Factory
from trioproto.testing.conformance.peer import PeerWasReset


class Greets(Echo):
    """Says hello to those who mean no good, so that they know that they were let in."""

    def connection_made(self) -> None:
        if getattr(self.transport.peer, "host", "gone") == BAD:
            self.transport.write(b"hello")


async def _first_word(caller: Caller) -> bytes:
    try:
        return await caller.receive_some()
    except PeerWasReset:
        return b""


async def test_a_flood_from_one_address_gets_what_one_address_gets(
    driver: str, autojump_clock: MockClock
) -> None:
    factory = Factory(Greets, max_per_peer=10)
    async with serving(driver, factory) as place:
        words = []
        for _ in range(10):
            before = place.healthy.exchanges
            words += [await _first_word(each) for each in await place.crowd(50)]
            await place.newcomer()
            await place.healthy.served(1)
            assert place.connections <= 10 + 1
            assert place.healthy.exchanges > before
        assert words.count(b"hello") == 10
        assert words.count(b"") == 490
        assert factory.statistics().refused == {"max_per_peer": 490}
        assert factory.statistics().limits == {"max_per_peer": 1}


async def test_a_flood_of_connects_is_let_in_at_the_rate_that_is_set(
    driver: str, autojump_clock: MockClock
) -> None:
    """Who is served is served on, and who comes later gets its turn."""
    factory = Factory(Greets, max_accept_rate=50)
    async with serving(driver, factory) as place:
        began_at = trio.current_time()
        callers = await place.crowd(500)
        assert trio.current_time() == began_at
        for seconds in (1, 2, 3, 4):
            await trio.sleep_until(began_at + seconds)
            assert place.connections <= 50 * (seconds + 1)
            assert place.healthy.exchanges >= seconds
        newcomer = await place.newcomer()
        assert newcomer.longest <= 10
        assert [await _first_word(each) for each in callers] == [b"hello"] * 500


class CountsSteps(trio.abc.Instrument):
    """Counts how often a task was run on."""

    def __init__(self) -> None:
        self.steps = 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1


@pytest.mark.parametrize("waits", [{}, {"refuse_after": 1000}], ids=["unlimited", "limited"])
async def test_who_waits_for_the_rate_costs_nothing_meanwhile(
    driver: str, autojump_clock: MockClock, waits: dict[str, Any]
) -> None:
    """Each that is let in wakes nobody but the next."""
    count = 200
    factory = Factory(Greets, max_accept_rate=10, **waits)
    async with serving(driver, factory) as place:
        await place.crowd(count)
        await place.settle()
        counting = CountsSteps()
        trio.lowlevel.add_instrument(counting)
        await place.until(lambda: place.connections == count)
        trio.lowlevel.remove_instrument(counting)
        assert counting.steps <= 20 * count


@pytest.mark.over(*DRIVERS)
async def test_a_storm_of_connects_and_resets_leaves_nothing(
    driver: str, autojump_clock: MockClock
) -> None:
    """Some say a little before, some wait for a moment."""
    walk = random.Random(7)
    async with serving(driver, Factory(Echo)) as place:
        place.healthy.hurry()
        for _ in range(10):
            for _ in range(50):
                caller = await place.dial()
                await caller.send(bytes(walk.choice((0, 0, 1, 100, 10_000))))
                for _ in range(walk.choice((0, 0, 1, 3))):
                    await trio.lowlevel.checkpoint()
                await (caller.reset if walk.random() < 0.8 else caller.aclose)()
            await place.healthy.served(5)
        assert place.healthy.exchanges >= 50
        place.healthy.take_it_easy()
        await place.until(lambda: place.connections == 0)


@pytest.mark.over(*OVER_TLS)
@pytest.mark.parametrize("size", [len(HELLO) // 2, len(HELLO)], ids=["half", "hello"])
async def test_five_hundred_abandoned_handshakes_are_few_at_a_time_and_over_in_their_time(
    driver: str, autojump_clock: MockClock, size: int
) -> None:
    factory = Factory(Echo, max_handshakes=100, handshake_timeout=10)
    async with serving(driver, factory) as place:
        for caller in await place.crowd(500):
            await caller.send(HELLO[:size])
        most = 0
        for _ in range(30):
            most = max(most, place.admission.handshakes.borrowed_tokens)
            await place.healthy.served(1)
        assert most == 100
        assert place.count("HandshakeTimeout") <= 400
        await place.newcomer()  # behind all of them
        await place.until(lambda: place.count("HandshakeTimeout") == 500)
        assert place.healthy.exchanges >= 50


@pytest.mark.over(*OVER_TLS)
async def test_handshakes_that_are_cut_off_give_their_places_back_at_once(
    driver: str, autojump_clock: MockClock
) -> None:
    factory = Factory(Echo, max_handshakes=10)
    async with serving(driver, factory) as place:
        began_at = trio.current_time()
        for _ in range(5):
            await _abandon(place, 100)
            await place.newcomer()
        assert trio.current_time() - began_at < 10
        await place.healthy.served(1)


async def _abandon(place: Place, count: int) -> None:
    callers: list[Any] = await place.crowd(count)
    for number, caller in enumerate(callers):
        await caller.send(HELLO[: number * 7])
        if number % 3:
            await trio.lowlevel.checkpoint()
        await (caller.reset if number % 2 else caller.aclose)()
