"""The task that keeps the deadlines of many connections."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.runtime.standins import Standin, Steps
from trioproto.runtime.deadlines import Deadlines


@asynccontextmanager
async def running() -> AsyncIterator[Deadlines]:
    deadlines = Deadlines()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        await wait_all_tasks_blocked()
        yield deadlines
        nursery.cancel_scope.cancel()


def live(deadlines: Deadlines) -> list[tuple[float, Standin]]:
    """The entries that are alive, earliest first."""
    return [
        (entry.when, entry.driver)
        for entry in sorted(deadlines._heap)
        if isinstance(entry.driver, Standin)
    ]


def test_an_earlier_deadline_replaces_the_entry_and_a_later_one_does_not() -> None:
    deadlines, driver = Deadlines(), Standin()
    deadlines.arm(driver, 10)
    assert live(deadlines) == [(10, driver)]
    deadlines.arm(driver, 20)
    assert live(deadlines) == [(10, driver)]
    deadlines.arm(driver, 5)
    assert live(deadlines) == [(5, driver)]
    deadlines.arm(driver, inf)
    assert live(deadlines) == [(5, driver)]


def test_no_deadline_makes_no_entry() -> None:
    deadlines, driver = Deadlines(), Standin()
    deadlines.arm(driver, inf)
    assert (live(deadlines), driver.deadline_entry) == ([], None)


def test_disarming_empties_the_entry_and_may_be_repeated() -> None:
    deadlines, driver = Deadlines(), Standin()
    deadlines.arm(driver, 10)
    deadlines.disarm(driver)
    deadlines.disarm(driver)
    assert (live(deadlines), driver.deadline_entry) == ([], None)


def test_the_dead_are_never_much_more_than_the_living() -> None:
    deadlines, lasting = Deadlines(), Standin()
    deadlines.arm(lasting, 1)
    for _ in range(10_000):
        driver = Standin()
        deadlines.arm(driver, 1000)
        deadlines.disarm(driver)
    assert len(deadlines._heap) < 200
    assert live(deadlines) == [(1, lasting)]


def test_a_connection_whose_deadline_moves_to_and_fro_keeps_one_live_entry() -> None:
    deadlines, driver = Deadlines(), Standin()
    for when in range(10_000, 0, -1):
        deadlines.arm(driver, when)
        deadlines.arm(driver, when + 1000)
    assert live(deadlines) == [(1, driver)]
    assert len(deadlines._heap) < 200


@pytest.mark.parametrize("seed", range(10))
def test_after_any_calls_each_has_its_earliest_deadline_and_one_entry(seed: int) -> None:
    chance = random.Random(seed)
    deadlines = Deadlines()
    drivers = [Standin(str(number)) for number in range(100)]
    expected: dict[Standin, float] = {}
    for _ in range(3000):
        driver = chance.choice(drivers)
        if chance.random() < 0.4:
            deadlines.disarm(driver)
            expected.pop(driver, None)
        else:
            when = chance.randrange(1000)
            deadlines.arm(driver, when)
            expected[driver] = min(when, expected.get(driver, inf))
    assert {driver: when for when, driver in live(deadlines)} == expected
    assert len(live(deadlines)) == len(expected)
    assert len(deadlines._heap) <= 2 * len(expected) + 128


async def test_each_fires_once_in_order_and_at_its_time(autojump_clock: MockClock) -> None:
    order: list[tuple[str, float]] = []
    start = trio.current_time()

    def note(driver: Standin) -> None:
        order.append((driver.name, round(trio.current_time() - start, 6)))

    async with running() as deadlines:
        for name, seconds in [("c", 3.0), ("a", 1.0), ("d", 3.0), ("b", 2.0)]:
            deadlines.arm(Standin(name, note), start + seconds)
        await trio.sleep(100)
    assert order == [("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 3.0)]


async def test_an_earlier_deadline_wakes_the_sleeper(autojump_clock: MockClock) -> None:
    late, early = Standin(), Standin()
    async with running() as deadlines:
        start = trio.current_time()
        deadlines.arm(late, start + 100)
        await trio.sleep(1)
        deadlines.arm(early, start + 2)
        await trio.sleep(2)
        assert (len(early.fired), len(late.fired)) == (1, 0)
        await trio.sleep(100)
        assert (len(early.fired), len(late.fired)) == (1, 1)


async def test_a_deadline_that_has_passed_already_fires_at_once(autojump_clock: MockClock) -> None:
    driver = Standin()
    async with running() as deadlines:
        deadlines.arm(driver, trio.current_time() - 5)
        await wait_all_tasks_blocked()
        assert len(driver.fired) == 1


async def test_an_entry_that_was_disarmed_never_fires(autojump_clock: MockClock) -> None:
    driver, other = Standin(), Standin()
    async with running() as deadlines:
        deadlines.arm(driver, trio.current_time() + 5)
        deadlines.arm(other, trio.current_time() + 6)
        deadlines.disarm(driver)
        await trio.sleep(100)
        assert (driver.fired, len(other.fired)) == ([], 1)


async def test_one_that_fires_may_arm_itself_again(autojump_clock: MockClock) -> None:
    async with running() as deadlines:
        start = trio.current_time()

        def again(driver: Standin) -> None:
            assert driver.deadline_entry is None
            deadlines.arm(driver, trio.current_time() + 10)
            assert driver.deadline_entry is not None

        driver = Standin("again", again)
        deadlines.arm(driver, start + 10)
        await trio.sleep(55)
        assert [round(now - start, 6) for now in driver.fired] == [10, 20, 30, 40, 50]
        assert len(deadlines._heap) == 1


async def test_one_that_fires_may_disarm_another_that_is_due(autojump_clock: MockClock) -> None:
    async with running() as deadlines:
        victim = Standin("victim")
        killer = Standin("killer", lambda _: deadlines.disarm(victim))
        now = trio.current_time()
        deadlines.arm(killer, now + 1)
        deadlines.arm(victim, now + 1)
        await trio.sleep(10)
        assert (len(killer.fired), victim.fired) == (1, [])


async def test_one_that_fires_may_end_thousands_of_others(autojump_clock: MockClock) -> None:
    """The heap is compacted in the middle of its own loop."""
    async with running() as deadlines:
        now = trio.current_time()
        others = [Standin() for _ in range(1000)]
        last = Standin("last")

        def end_all(_: Standin) -> None:
            for other in others:
                deadlines.disarm(other)

        deadlines.arm(Standin("killer", end_all), now + 1)
        for other in others:
            deadlines.arm(other, now + 1)
        deadlines.arm(last, now + 1)
        await trio.sleep(10)
        assert len(last.fired) == 1
        assert not any(other.fired for other in others)
        assert live(deadlines) == []


async def test_between_deadlines_nothing_runs(autojump_clock: MockClock) -> None:
    async with running() as deadlines:
        for seconds in range(100, 200):
            deadlines.arm(Standin(), trio.current_time() + seconds)
        await wait_all_tasks_blocked()
        with Steps() as steps:
            await trio.sleep(99)
        assert steps.taken == []
