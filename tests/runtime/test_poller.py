"""One epoll for many sockets: batches, their order, and who else gets to run."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from select import EPOLLHUP, EPOLLIN, EPOLLRDHUP

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.runtime.standins import PollStandin, Steps, work
from trioproto.runtime.flusher import LONGEST_PASS, Flusher
from trioproto.runtime.poller import BATCH, Poller

READING = EPOLLIN | EPOLLRDHUP


class Sockets:
    """Pairs of sockets, of which one end is watched."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack

    def pair(self) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair()
        self.stack.enter_context(ours)
        self.stack.enter_context(theirs)
        ours.setblocking(False)
        return ours, theirs

    def readable(self) -> socket.socket:
        ours, theirs = self.pair()
        theirs.send(b"unread")
        return ours


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    with ExitStack() as stack:
        yield Sockets(stack)


@asynccontextmanager
async def running(poller: Poller) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poller.run)
        yield
        nursery.cancel_scope.cancel()


@pytest.fixture
def poller() -> Iterator[Poller]:
    made = Poller(Flusher())
    yield made
    made.close()


async def ticks(count: int) -> None:
    for _ in range(count):
        await trio.lowlevel.checkpoint()


async def test_an_event_goes_to_its_own_driver(poller: Poller, sockets: Sockets) -> None:
    def take(driver: PollStandin) -> None:
        poller.modify(mine.fileno(), 0)

    driver, other = PollStandin(take), PollStandin()
    mine, peer = sockets.pair()
    poller.register(mine.fileno(), driver, READING)
    poller.register(sockets.pair()[0].fileno(), other, READING)
    async with running(poller):
        await wait_all_tasks_blocked()
        assert driver.events == []
        peer.send(b"x")
        await wait_all_tasks_blocked()
        assert (driver.events, other.events) == ([EPOLLIN], [])


async def test_a_batch_has_at_most_64_events_and_all_take_their_turns(
    poller: Poller, sockets: Sockets
) -> None:
    per_step: Counter[int] = Counter()
    drivers = [PollStandin(lambda _: per_step.update([len(steps.taken)])) for _ in range(200)]
    for driver in drivers:
        poller.register(sockets.readable().fileno(), driver, READING)
    with Steps() as steps:
        async with running(poller):
            await ticks(50)
    assert 0 < max(per_step.values()) <= BATCH == 64
    counts = [len(driver.events) for driver in drivers]
    assert min(counts) >= max(counts) - 1 > 1


async def test_another_task_runs_between_any_two_batches(poller: Poller, sockets: Sockets) -> None:
    for _ in range(200):
        poller.register(sockets.readable().fileno(), PollStandin(), READING)
    with Steps() as steps:
        async with running(poller):
            await ticks(100)
    assert steps.taken.count(next(name for name in steps.taken if "Poller" in name)) <= 102


async def test_a_batch_that_takes_too_long_is_broken_off_and_its_rest_goes_first(
    poller: Poller, sockets: Sockets
) -> None:
    order: list[PollStandin] = []
    per_step: Counter[int] = Counter()

    def slow(driver: PollStandin) -> None:
        order.append(driver)
        per_step[len(steps.taken)] += 1
        work(0.6 * LONGEST_PASS)

    drivers = [PollStandin(slow) for _ in range(7)]
    for driver in drivers:
        poller.register(sockets.readable().fileno(), driver, READING)
    with Steps() as steps:
        async with running(poller):
            while len(order) < 14:
                await trio.lowlevel.checkpoint()
    assert max(per_step.values()) <= 2
    assert set(order[:7]) == set(drivers)
    assert set(order[7:14]) == set(drivers)


async def test_who_was_unregistered_earlier_in_the_batch_hears_nothing(
    poller: Poller, sockets: Sockets
) -> None:
    def end_others(driver: PollStandin) -> None:
        for fd, other in watched.items():
            if other is not driver and fd in poller._watchers:
                poller.unregister(fd)

    watched = {sockets.readable().fileno(): PollStandin(end_others) for _ in range(20)}
    for fd, driver in watched.items():
        poller.register(fd, driver, READING)
    async with running(poller):
        await ticks(5)
    assert sum(bool(driver.events) for driver in watched.values()) == 1
    assert len(poller._watchers) == 1


async def test_who_was_unregistered_between_batches_hears_nothing_of_the_rest(
    poller: Poller, sockets: Sockets
) -> None:
    def slow(driver: PollStandin) -> None:
        work(1.5 * LONGEST_PASS)

    watched = {sockets.readable().fileno(): PollStandin(slow) for _ in range(3)}
    for fd, driver in watched.items():
        poller.register(fd, driver, READING)
    async with running(poller):
        while not any(driver.events for driver in watched.values()):
            await trio.lowlevel.checkpoint()
        heard = {fd: len(driver.events) for fd, driver in watched.items()}
        for fd in watched:
            poller.unregister(fd)
        await ticks(5)
        assert {fd: len(driver.events) for fd, driver in watched.items()} == heard


async def test_a_descriptor_used_again_gets_no_event_of_its_forerunner(
    poller: Poller, sockets: Sockets
) -> None:
    """Events that were left over are of a time when somebody else had the number."""

    def slow(driver: PollStandin) -> None:
        work(1.5 * LONGEST_PASS)

    watched = {sockets.readable().fileno(): PollStandin(slow) for _ in range(3)}
    for fd, driver in watched.items():
        poller.register(fd, driver, READING)
    async with running(poller):
        while not any(driver.events for driver in watched.values()):
            await trio.lowlevel.checkpoint()
        successors = []
        for fd in watched:
            poller.unregister(fd)
            # The kernel gives the number out again, to a socket where nothing has happened.
            os.dup2(sockets.pair()[0].fileno(), fd)
            successors.append(PollStandin())
            poller.register(fd, successors[-1], READING)
        await ticks(5)
        assert [driver.events for driver in successors] == [[], [], []]


async def test_a_hang_up_is_reported_even_to_who_asked_for_nothing(
    poller: Poller, sockets: Sockets
) -> None:
    """Why drivers unregister: it would be reported for ever."""
    driver = PollStandin(lambda _: poller.unregister(ours.fileno()))
    ours, theirs = sockets.pair()
    poller.register(ours.fileno(), driver, 0)
    async with running(poller):
        await wait_all_tasks_blocked()
        theirs.close()
        await wait_all_tasks_blocked()
        assert len(driver.events) == 1
        assert driver.events[0] & EPOLLHUP


async def test_without_events_the_poller_sleeps(poller: Poller, sockets: Sockets) -> None:
    poller.register(sockets.pair()[0].fileno(), PollStandin(), READING)
    async with running(poller):
        await wait_all_tasks_blocked()
        with Steps() as steps:
            await wait_all_tasks_blocked()
        assert steps.taken == []


async def test_writes_made_in_a_batch_are_flushed_at_its_end(sockets: Sockets) -> None:
    flusher = Flusher()
    made = Poller(flusher)
    order: list[str] = []

    class Marks(PollStandin):
        def event(self, mask: int, now: float) -> None:
            order.append("event")
            flusher.mark(self)
            made.unregister(next(fd for fd, each in watched.items() if each is self))

        def take_turn(self) -> None:
            order.append("turn")

    watched = {sockets.readable().fileno(): Marks() for _ in range(3)}
    for fd, driver in watched.items():
        made.register(fd, driver, READING)
    async with running(made):
        await wait_all_tasks_blocked()
    made.close()
    assert order == ["event"] * 3 + ["turn"] * 3
