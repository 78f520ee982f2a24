"""Turns for connections that were changed from outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.behaviour.drivers import Serving
from tests.runtime.standins import Standin, Steps, work
from trioproto import Factory
from trioproto.runtime.driver import PATIENCE
from trioproto.runtime.flusher import LONGEST_PASS, Flusher
from trioproto.testing.conformance.recorder import Recorder


@asynccontextmanager
async def running() -> AsyncIterator[Flusher]:
    flusher = Flusher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.run)
        await wait_all_tasks_blocked()
        yield flusher
        nursery.cancel_scope.cancel()


async def test_each_marked_one_gets_one_turn_in_order() -> None:
    order: list[str] = []
    async with running() as flusher:
        for name in "abc":
            flusher.mark(Standin(name, lambda driver: order.append(driver.name)))
        assert order == []
        await wait_all_tasks_blocked()
        assert order == ["a", "b", "c"]


async def test_what_is_marked_before_it_runs_is_not_forgotten() -> None:
    flusher, driver = Flusher(), Standin()
    flusher.mark(driver)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.run)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert driver.turns == 1


async def test_there_is_one_round_a_tick() -> None:
    """Two connections that answer each other for ever stop nobody else."""
    async with running() as flusher:

        def answer(driver: Standin) -> None:
            flusher.mark(pong if driver is ping else ping)

        ping, pong = Standin("ping", answer), Standin("pong", answer)
        flusher.mark(ping)
        for tick in range(1, 50):
            await trio.lowlevel.checkpoint()
            assert ping.turns + pong.turns <= tick + 1
        assert ping.turns + pong.turns > 40


async def test_without_marks_nothing_runs() -> None:
    async with running() as flusher:
        flusher.mark(Standin())
        await wait_all_tasks_blocked()
        with Steps() as steps:
            await wait_all_tasks_blocked()
        assert steps.taken == []


async def test_a_batch_ends_with_one_round() -> None:
    async with running() as flusher:
        driver = Standin("again", flusher.mark)
        flusher.begin_batch()
        flusher.mark(driver)
        assert driver.turns == 0
        flusher.end_batch()
        assert driver.turns == 1
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        assert 2 <= driver.turns <= 3


async def test_a_batch_without_marks_gives_no_turns_and_wakes_nobody() -> None:
    async with running() as flusher:
        with Steps() as steps:
            flusher.begin_batch()
            flusher.end_batch()
            await wait_all_tasks_blocked()
        assert steps.taken == []


async def test_a_round_that_takes_too_long_is_broken_off_and_goes_on_in_order() -> None:
    order: list[str] = []
    passes: Counter[int] = Counter()

    def slow(driver: Standin) -> None:
        work(0.6 * LONGEST_PASS)
        order.append(driver.name)
        passes[len(steps.taken)] += 1

    async with running() as flusher:
        with Steps() as steps:
            for name in "abcdef":
                flusher.mark(Standin(name, slow))
            await wait_all_tasks_blocked()
    assert order == list("abcdef")
    assert max(passes.values()) <= 2


async def test_those_left_over_come_before_those_marked_meanwhile() -> None:
    order: list[str] = []

    def slow(driver: Standin) -> None:
        order.append(driver.name)
        if driver is first:
            flusher.mark(late)
            work(1.5 * LONGEST_PASS)

    async with running() as flusher:
        first, second, late = (Standin(name, slow) for name in ("first", "second", "late"))
        flusher.mark(first)
        flusher.mark(second)
        await wait_all_tasks_blocked()
    assert order == ["first", "second", "late"]


async def test_a_busy_one_waits_until_it_pauses_in_its_writing() -> None:
    async with running() as flusher:
        busy, other = Standin("busy"), Standin("other")
        busy.busy_for = 10
        flusher.mark_busy(busy)
        flusher.mark(other)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        assert (busy.turns, other.turns) == (0, 1)
        await wait_all_tasks_blocked()
        assert busy.turns == 1


async def test_the_flusher_can_be_cancelled_while_it_has_marks() -> None:
    flusher = Flusher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.run)
        await wait_all_tasks_blocked()
        flusher.mark(Standin())
        nursery.cancel_scope.cancel()
    flusher.mark(Standin())  # wakes nobody, and is no error


@pytest.mark.parametrize("driver", ["memory", "stream", "poll"])
async def test_output_of_a_callback_that_never_stops_writing_leaves_in_time(
    serving: Serving,
) -> None:
    """Patience ends: a line a tick for ever is no reason to send nothing."""
    ticks: list[int] = []

    async def write_on(self: Recorder) -> None:
        while True:
            self.transport.write(b"x")
            ticks.append(1)
            await trio.lowlevel.checkpoint()

    factory: Factory[Any] = Factory(lambda: Recorder(connection_made=write_on))
    async with serving(factory) as service:
        with trio.move_on_after(0):
            await service.connect()  # it will never be settled
        (peer,) = service.peers or [await service.new_peer()]
        service.peers[:] = [peer]
        while not ticks:
            await trio.lowlevel.checkpoint()
        while not peer.take():
            assert len(ticks) < 3 * PATIENCE
            await trio.lowlevel.checkpoint()
        for protocol in factory.connections:
            protocol.transport.abort()


@pytest.mark.parametrize("driver", ["memory", "stream", "poll"])
async def test_the_output_of_a_callback_that_pauses_leaves_while_it_waits(
    serving: Serving,
) -> None:
    async def write_and_wait(self: Recorder) -> None:
        for _ in range(3):
            self.transport.write(b"line\n")
            await trio.lowlevel.checkpoint()
        await release.wait()

    release = trio.Event()
    async with serving(Recorder(data_received=write_and_wait)) as service:
        peer = await service.connect()
        await peer.send(b"go")
        assert await peer.received_so_far() == b"line\n" * 3
        release.set()
