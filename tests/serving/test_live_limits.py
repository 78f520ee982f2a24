"""Limits that change while the factory is served count at once; and the soft limit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import OverTLS, SocketPeer
from tests.serving.conversations import LOOPBACK, Greeter, dial, settle
from tests.serving.limited import (
    REFUSAL,
    Held,
    admission_of,
    check_at_rest,
    ends,
    greeted,
    held,
)
from trioproto import Factory, Server, open_server
from trioproto.events import Event, LimitNeared, LimitReached


class Watched(Factory[Any]):
    """Keeps the calls of its soft limit."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(Greeter, idle_timeout=None, **settings)
        self.calls: list[int] = []

    def soft_limit_reached(self, connections: int) -> None:
        self.calls.append(connections)


@asynccontextmanager
async def serving(
    endpoint: Any = LOOPBACK, **settings: Any
) -> AsyncIterator[tuple[Watched, Server[Any]]]:
    factory = Watched(**settings)
    async with open_server(factory, endpoint, grace=0) as server:
        admission = admission_of(factory)
        yield factory, server
    check_at_rest(factory, admission)


def come(server: Server[Any], count: int, source: str | None = None) -> list[SocketPeer]:
    return [dial(server.addresses[0], source) for _ in range(count)]


# max_connections


@pytest.mark.parametrize("raised", [5, None])
async def test_a_raised_limit_lets_in_who_waits(
    autojump_clock: MockClock, raised: int | None
) -> None:
    async with serving(max_connections=2) as (factory, server):
        come(server, 8)
        await settle()
        assert len(factory.connections) == 2
        factory.configure(max_connections=raised)
        await settle()
        assert len(factory.connections) == (raised or 8)


@pytest.mark.parametrize("before", [5, None])
async def test_a_lowered_limit_lets_nobody_in_until_enough_have_left(
    autojump_clock: MockClock, before: int | None
) -> None:
    async with serving(max_connections=before) as (factory, server):
        peers = come(server, 5)
        await settle()
        factory.configure(max_connections=3)
        come(server, 2)
        await settle()
        assert len(factory.connections) == 5, "who is over it already stays"
        for left in (4, 3, 3):
            await peers.pop().aclose()
            await settle()
            assert len(factory.connections) == left
        assert factory.statistics().accepted == 6


# max_per_peer


async def test_a_limit_per_peer_that_is_switched_on_counts_who_is_there(
    autojump_clock: MockClock,
) -> None:
    async with serving() as (factory, server):
        peers = come(server, 3)
        await settle()
        assert held(admission_of(factory)).peers == {}
        factory.configure(max_per_peer=3)
        assert list(held(admission_of(factory)).peers.values()) == [3]
        assert (await ends(dial(server.addresses[0])))[0] == b""
        other = dial(server.addresses[0], "127.0.0.2")
        assert await greeted(other)
        await peers[0].aclose()
        await settle()
        assert await greeted(dial(server.addresses[0]))


async def test_a_limit_per_peer_can_be_raised_lowered_and_switched_off(
    autojump_clock: MockClock,
) -> None:
    async with serving(max_per_peer=2) as (factory, server):
        come(server, 4)
        await settle()
        assert len(factory.connections) == 2
        factory.configure(max_per_peer=3)
        come(server, 4)
        await settle()
        assert len(factory.connections) == 3
        factory.configure(max_per_peer=1)
        come(server, 4)
        await settle()
        assert len(factory.connections) == 3
        factory.configure(max_per_peer=None)
        assert held(admission_of(factory)) == Held(places=3)
        come(server, 4)
        await settle()
        assert len(factory.connections) == 7


async def test_another_prefix_counts_who_is_there_anew(autojump_clock: MockClock) -> None:
    async with serving(max_per_peer=2) as (factory, server):
        for host in ("127.0.0.1", "127.0.0.2", "127.0.9.1", "127.0.9.2", "127.0.9.3"):
            assert await greeted(come(server, 1, host)[0])
        exempt = come(server, 1, "127.0.0.2")[0]
        assert await greeted(exempt)
        next(
            each for each in factory.connections if port(each) == port_of(exempt)
        ).transport.exempt()
        factory.configure(ipv4_prefix=24)
        assert sorted(held(admission_of(factory)).peers.values()) == [2, 3]
        assert not await greeted(come(server, 1, "127.0.0.77")[0])
        assert await greeted(come(server, 1, "127.0.8.77")[0])
        factory.configure(ipv4_prefix=32)
        assert sorted(held(admission_of(factory)).peers.values()) == [1] * 6
        assert await greeted(come(server, 1, "127.0.0.77")[0])


def port(protocol: Any) -> int:
    return int(protocol.transport.peer.port)


def port_of(peer: SocketPeer) -> int:
    return int(peer.raw.getsockname()[1])


# max_handshakes


@pytest.mark.parametrize("raised", [4, None])
async def test_a_limit_of_handshakes_can_be_raised_and_lowered(
    autojump_clock: MockClock, raised: int | None
) -> None:
    async with serving(OverTLS(LOOPBACK), max_handshakes=2) as (factory, server):
        peers = come(server, 5)
        await settle()
        assert held(admission_of(factory)).handshakes == 2
        factory.configure(max_handshakes=raised)
        await settle()
        assert held(admission_of(factory)).handshakes == (raised or 5)
        factory.configure(max_handshakes=1)
        for peer in peers[:4]:
            await peer.reset()
        late = come(server, 2)
        await settle()
        assert held(admission_of(factory)).handshakes == 1
        for peer in late:
            await peer.reset()


# max_accept_rate


@pytest.mark.parametrize(("rate", "counts"), [(None, [9]), (1, [1, 2, 3]), (1000, [9])])
async def test_another_rate_counts_at_once(
    autojump_clock: MockClock, rate: float | None, counts: list[int]
) -> None:
    async with serving(max_accept_rate=0.001) as (factory, server):
        come(server, 9)
        await settle()
        assert len(factory.connections) == 1
        factory.configure(max_accept_rate=rate)
        seen = []
        for _ in counts:
            await trio.sleep(0.99)
            await settle()
            seen.append(len(factory.connections))
        assert seen == counts


async def test_a_rate_that_is_switched_on_counts_from_then_on(autojump_clock: MockClock) -> None:
    async with serving() as (factory, server):
        come(server, 5)
        await settle()
        factory.configure(max_accept_rate=2)
        come(server, 5)
        await settle()
        assert len(factory.connections) == 7
        await trio.sleep(0.501)
        await settle()
        assert len(factory.connections) == 8


async def test_another_rate_counts_for_who_waits_accepted(autojump_clock: MockClock) -> None:
    async with serving(max_accept_rate=0.001, refuse_after=100) as (factory, server):
        come(server, 5)
        await settle()
        assert held(admission_of(factory)).waiting == 4
        factory.configure(max_accept_rate=None)
        await settle()
        assert len(factory.connections) == 5


# What is done at the limit


@pytest.mark.parametrize("change", [{"at_limit": "refuse"}, {"refuse_after": 3}])
async def test_who_waits_in_the_kernel_is_refused_once_that_is_wanted(
    autojump_clock: MockClock, change: dict[str, Any]
) -> None:
    async with serving(max_connections=1, refusal=REFUSAL) as (factory, server):
        assert await greeted(come(server, 1)[0])
        late = come(server, 3)
        await settle()
        factory.configure(**change)
        for peer in late:
            assert await ends(peer) == (REFUSAL, "eof")
        assert dict(factory.statistics().refused) == {"max_connections": 3}


async def test_they_wait_again_once_that_is_wanted(autojump_clock: MockClock) -> None:
    async with serving(max_connections=1, at_limit="refuse") as (factory, server):
        (first,) = come(server, 1)
        assert await greeted(first)
        factory.configure(at_limit="wait")
        (late,) = come(server, 1)
        await trio.sleep(100)
        assert not await greeted(late)
        await first.aclose()
        assert await greeted(late)


async def test_another_message_is_told_from_then_on(autojump_clock: MockClock) -> None:
    async with serving(max_connections=1, at_limit="refuse", refusal=b"one") as (factory, server):
        come(server, 1)
        await settle()
        assert (await ends(come(server, 1)[0]))[0] == b"one"
        factory.configure(refusal=b"two")
        assert (await ends(come(server, 1)[0]))[0] == b"two"


async def test_a_change_that_is_no_limit_disturbs_nobody(autojump_clock: MockClock) -> None:
    async with serving(max_connections=1) as (factory, server):
        (first,) = come(server, 1)
        assert await greeted(first)
        late = come(server, 3)
        await settle()
        for _ in range(3):
            factory.configure(idle_timeout=100)
            await settle()
        assert held(admission_of(factory)) == Held(places=1)
        await first.aclose()
        assert await greeted(late[0])


# The soft limit, and the news


async def test_the_soft_limit_calls_from_the_number_on_and_not_again_for_a_while(
    autojump_clock: MockClock,
) -> None:
    async with serving(soft_limit=3, alarm_interval=60) as (factory, server):
        calls = []
        for _ in range(5):
            come(server, 1)
            await settle()
            calls.append(list(factory.calls))
        assert calls == [[], [], [3], [3], [3]]
        await trio.sleep(59.9)
        come(server, 1)
        await settle()
        assert factory.calls == [3]
        await trio.sleep(0.2)
        await settle()
        assert factory.calls == [3], "only when somebody comes in"
        come(server, 1)
        await settle()
        assert factory.calls == [3, 7]


async def test_without_an_interval_the_soft_limit_calls_each_time(
    autojump_clock: MockClock,
) -> None:
    async with serving(soft_limit=2, alarm_interval=0) as (factory, server):
        come(server, 4)
        await settle()
        assert factory.calls == [2, 3, 4]
        factory.configure(soft_limit=None)
        come(server, 1)
        await settle()
        factory.configure(soft_limit=6)
        come(server, 1)
        await settle()
        assert factory.calls == [2, 3, 4, 6]


async def test_the_soft_limit_can_raise_the_hard_one(autojump_clock: MockClock) -> None:
    class Grows(Watched):
        def soft_limit_reached(self, connections: int) -> None:
            super().soft_limit_reached(connections)
            self.configure(max_connections=connections + 1, soft_limit=connections + 1)

    factory = Grows(max_connections=1, soft_limit=1, alarm_interval=0)
    async with open_server(factory, LOOPBACK, grace=0) as server:
        come(server, 6)
        await settle()
        assert factory.calls == [1, 2, 3, 4, 5, 6]


async def test_errors_of_the_soft_limit_are_logged_and_keep_nobody_out(
    autojump_clock: MockClock, logged_errors: list[Any]
) -> None:
    class Fails(Watched):
        def soft_limit_reached(self, connections: int) -> None:
            raise ValueError

    factory = Fails(soft_limit=1, alarm_interval=0)
    async with open_server(factory, LOOPBACK, grace=0) as server:
        peers = come(server, 3)
        assert all([await greeted(peer) for peer in peers])
        assert dict(factory.statistics().errors) == {"ValueError": 3}
    assert len(logged_errors) == 3


async def test_a_limit_that_is_met_is_news_and_one_that_is_only_full_is_none(
    autojump_clock: MockClock,
) -> None:
    events: list[Event] = []
    async with serving(max_connections=2, soft_limit=2, alarm_interval=60) as (factory, server):
        factory.subscribe(events.append)
        news: list[LimitReached | LimitNeared] = []
        for number in range(1, 6):
            come(server, 1)
            await settle()
            news = [each for each in events if isinstance(each, LimitReached | LimitNeared)]
            assert len(news) == max(0, min(2, number - 1))
        assert isinstance(news[0], LimitNeared)
        assert (news[0].limit, news[0].count, news[0].threshold) == ("soft_limit", 2, 2)
        assert isinstance(news[1], LimitReached)
        assert (news[1].limit, news[1].maximum) == ("max_connections", 2)
        assert dict(factory.statistics().limits) == {"max_connections": 1}
