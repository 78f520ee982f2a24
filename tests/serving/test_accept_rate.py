"""The limit of connections let in a second: a token bucket that holds one second's worth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import floor
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.behaviour.drivers import SocketPeer
from tests.serving.conversations import LOOPBACK, Greeter, dial, settle
from tests.serving.limited import REFUSAL, admission_of, check_at_rest, ends
from tests.serving.test_listeners import offer
from trioproto import Factory, Server, open_server
from trioproto.runtime.admission import Admission
from trioproto.testing import MemoryListener


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[tuple[Factory[Any], Server[Any]]]:
    factory = Factory(Greeter, idle_timeout=None, **settings)
    async with open_server(factory, LOOPBACK, LOOPBACK, grace=0) as server:
        yield factory, server


def flood(server: Server[Any], count: int) -> list[SocketPeer]:
    return [dial(server.addresses[number % 2]) for number in range(count)]


async def later(seconds: float) -> None:
    await trio.sleep(seconds)
    await settle()


async def test_as_many_as_a_second_may_bring_come_at_once_and_the_rest_one_by_one(
    autojump_clock: MockClock,
) -> None:
    async with serving(max_accept_rate=4) as (factory, server):
        flood(server, 12)
        await settle()
        served = [len(factory.connections)]
        for _ in range(8):
            await later(0.24)
            served.append(len(factory.connections))
            await later(0.01)
            served.append(len(factory.connections))
        assert served == [4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12]


@pytest.mark.parametrize(("number", "waits"), [(3, 0), (4, 0), (5, 1)])
async def test_up_to_the_limit_nobody_waits(
    autojump_clock: MockClock, number: int, waits: int
) -> None:
    async with serving(max_accept_rate=4) as (factory, server):
        flood(server, number)
        await settle()
        assert len(factory.connections) == number - waits
        assert dict(factory.statistics().limits) == ({"max_accept_rate": 1} if waits else {})


async def test_a_quiet_second_makes_good_for_one_second_and_no_more(
    autojump_clock: MockClock,
) -> None:
    async with serving(max_accept_rate=3) as (factory, server):
        flood(server, 3)
        await later(100)
        flood(server, 10)
        await settle()
        assert len(factory.connections) == 6


async def test_time_that_has_passed_counts_at_the_rate_that_there_was(
    autojump_clock: MockClock,
) -> None:
    async with serving(max_accept_rate=2) as (factory, server):
        flood(server, 2)
        await later(0.5)
        factory.configure(max_accept_rate=10)
        flood(server, 8)
        await settle()
        assert len(factory.connections) == 3
        await later(0.101)
        assert len(factory.connections) == 4


async def test_less_than_one_a_second(autojump_clock: MockClock) -> None:
    async with serving(max_accept_rate=0.25) as (factory, server):
        flood(server, 4)
        counts = []
        for _ in range(4):
            await settle()
            counts.append(len(factory.connections))
            await later(4.001)
        assert counts == [1, 2, 3, 4]


async def test_who_is_too_early_can_be_refused(autojump_clock: MockClock) -> None:
    async with serving(max_accept_rate=2, at_limit="refuse", refusal=REFUSAL) as (factory, server):
        peers = flood(server, 5)
        await settle()
        assert len(factory.connections) == 2
        answers = [peer.take() for peer in peers]
        assert sorted(answers) == [REFUSAL] * 3 + [b"hello"] * 2
        assert dict(factory.statistics().refused) == {"max_accept_rate": 3}
        await later(0.51)
        assert await dial(server.addresses[0]).receive_exactly(5) == b"hello"
        assert await ends(dial(server.addresses[0])) == (REFUSAL, "eof")


async def test_ready_made_listeners_and_handle_share_the_rate(autojump_clock: MockClock) -> None:
    listener = MemoryListener()
    factory = Factory(Greeter, max_accept_rate=2)
    async with open_server(factory, LOOPBACK, listener, grace=0) as server:
        for _ in range(3):
            dial(server.addresses[0])
            await offer(listener)
        await settle()
        counts = [len(factory.connections)]
        for _ in range(4):
            await later(0.501)
            counts.append(len(factory.connections))
        assert counts == [2, 3, 4, 5, 6]


async def test_the_rate_and_the_number_are_both_kept(autojump_clock: MockClock) -> None:
    async with serving(max_accept_rate=2, max_connections=3) as (factory, server):
        peers = flood(server, 8)
        most = 0
        for _ in range(100):
            await later(0.1)
            most = max(most, len(factory.connections))
            for peer in list(peers):
                if peer.take():
                    await peer.aclose()
                    peers.remove(peer)
        assert most <= 3
        assert factory.statistics().opened == 8
        await settle()
        check_at_rest(factory, admission_of(factory))


# The bucket itself


@pytest.mark.parametrize("start", [0, 0.1, 1 / 3, 12345.678, 4e6 + 0.7])
@pytest.mark.parametrize("rate", [1, 2, 3, 5, 6, 7, 10, 13, 30, 49, 100, 997, 1000, 2.5, 99.9])
async def test_rounding_costs_nobody_a_place(
    mock_clock: MockClock, rate: float, start: float
) -> None:
    """After a quiet second as many come in at once as the rate says, not one less."""
    mock_clock.jump(start)
    admission = Admission(Factory(max_accept_rate=rate, max_connections=None))
    for _ in range(2):
        assert come_in(admission, 2 * floor(rate) + 2) == floor(rate)
        mock_clock.jump(1 + 1 / rate)


@pytest.mark.parametrize("start", [0, 0.1, 1 / 3, 12345.678, 4e6 + 0.7])
@pytest.mark.parametrize("rate", [0.3, 1, 3, 7, 10, 13, 49, 997])
async def test_who_comes_at_the_moment_when_it_is_his_turn_comes_in(
    mock_clock: MockClock, rate: float, start: float
) -> None:
    mock_clock.jump(start)
    admission = Admission(Factory(max_accept_rate=rate, max_connections=None))
    come_in(admission, 1000)
    for _ in range(100):
        mock_clock.jump(0.9 / rate)
        assert come_in(admission, 2) == 0
        mock_clock.jump(0.1 / rate)
        assert come_in(admission, 2) == 1


def come_in(admission: Admission, tries: int) -> int:
    """Let so many try to come in at once; return how many do."""
    number = 0
    for _ in range(tries):
        slot = admission.try_slot()
        if slot is not None:
            slot.used(None)
            number += 1
    return number


@given(
    rate=st.floats(0.5, 50),
    arrivals=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30)), max_size=20),
)
def test_in_no_time_do_more_come_in_than_a_bucket_lets_through(
    rate: float, arrivals: list[tuple[float, int]]
) -> None:
    moments: list[tuple[float, int]] = []
    clock = MockClock()

    async def main() -> None:
        admission = Admission(Factory(max_accept_rate=rate, max_connections=None))
        for pause, tries in arrivals:
            clock.jump(pause)
            moments.append((trio.current_time(), come_in(admission, tries)))

    trio.run(main, clock=clock)
    for first in range(len(moments)):
        for last in range(first, len(moments)):
            span = moments[last][0] - moments[first][0]
            number = sum(count for _, count in moments[first : last + 1])
            assert number <= max(1, rate) + span * rate + 2e-3  # what may be owed


async def test_those_who_wait_come_in_in_their_order(autojump_clock: MockClock) -> None:
    admission = Admission(Factory(max_accept_rate=1, max_connections=None))
    admitted: list[tuple[int, float]] = []

    async def come(number: int) -> None:
        slot = await admission.wait_slot()
        assert slot is not None
        slot.used(None)
        admitted.append((number, trio.current_time()))

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(come, number)
            await settle()
    assert [number for number, _ in admitted] == list(range(10))
    assert [when for _, when in admitted] == pytest.approx(range(10), abs=1e-3)
