"""``wait_connections``: until their number compares so with another."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import OverTLS, SocketPeer
from tests.serving.conversations import LOOPBACK, Greeter, Holds, dial, outcome, settle
from tests.serving.test_listeners import offer
from tests.tls.over_wire import Speaker
from trioproto import Factory, Server, open_server
from trioproto.events import Event
from trioproto.testing import MemoryListener

COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}


class Waiter:
    """Waits in a task of its own, and tells when it has got there."""

    def __init__(self, server: Server[Any], comparison: Any, count: int) -> None:
        self.server = server
        self.comparison = comparison
        self.count = count
        self.outcome = ""

    async def run(self) -> None:
        try:
            await self.server.wait_connections(self.comparison, self.count)
        except trio.ClosedResourceError:
            self.outcome = "closed"
        except trio.Cancelled:
            self.outcome = "cancelled"
            raise
        else:
            self.outcome = "reached"


async def greeted(server: Server[Any], count: int) -> list[SocketPeer]:
    peers = [dial(server.addresses[0]) for _ in range(count)]
    for peer in peers:
        assert await peer.receive_exactly(5) == b"hello"
    return peers


def audience(server: Server[Any]) -> int:
    return len(server.factory._monitor.subscriptions)


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("there", [1, 2, 3])
async def test_what_is_so_already_is_not_waited_for(comparison: Any, there: int) -> None:
    """With one less than the number, as many, and one more."""
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        peers = await greeted(server, there)
        waiter = Waiter(server, comparison, 2)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(waiter.run)
                await settle()
                expected = COMPARISONS[comparison](there, 2)
                assert (waiter.outcome == "reached") == expected
                assert audience(server) == (0 if expected else 1)
                scope.cancel()
        assert audience(server) == 0
        for peer in peers:
            await peer.aclose()


@pytest.mark.parametrize("comparison", COMPARISONS)
async def test_it_ends_as_soon_as_it_is_so_and_not_before(comparison: Any) -> None:
    """On the way up to four connections, and down again to none, one at a time."""
    holds = COMPARISONS[comparison]
    async with open_server(Factory(Greeter), LOOPBACK) as server, trio.open_nursery() as nursery:
        peers: list[SocketPeer] = []
        for number in (1, 2, 3, 4, 3, 2, 1, 0):
            waiter = Waiter(server, comparison, 2)
            nursery.start_soon(waiter.run)
            await settle()
            assert (waiter.outcome == "reached") == holds(len(peers), 2)
            if number > len(peers):
                peers += await greeted(server, 1)
            else:
                await peers.pop().aclose()
            await settle()
            assert len(server.connections) == number
            if not waiter.outcome:
                assert not holds(number, 2)
        nursery.cancel_scope.cancel()
    assert audience(server) == 0


@pytest.mark.parametrize("bad", ["", "!=", "=", "=<", "le", "<= ", None, 3, operator.le])
async def test_another_comparison_is_told_what_there_is(bad: Any) -> None:
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        with pytest.raises(ValueError, match="<=") as caught:
            await server.wait_connections(bad, 1)
        assert repr(bad) in str(caught.value)
        assert audience(server) == 0


async def test_what_is_no_comparison_and_cannot_be_a_key_is_told_too() -> None:
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        bad: Any = ["<="]
        with pytest.raises((ValueError, TypeError)):
            await server.wait_connections(bad, 1)


async def test_it_checks_for_cancellation_though_it_is_so_already() -> None:
    """As everything async does."""
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        with trio.CancelScope() as scope:
            scope.cancel()
            await server.wait_connections("==", 0)
        assert scope.cancelled_caught
        assert audience(server) == 0


async def test_a_cancelled_wait_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        for _ in range(3):
            with trio.move_on_after(1) as scope:
                await server.wait_connections(">", 0)
            assert scope.cancelled_caught
            assert audience(server) == 0
            assert not server._waiting
        (peer,) = await greeted(server, 1)
        await peer.aclose()


async def test_many_wait_for_different_numbers() -> None:
    async with open_server(Factory(Greeter), LOOPBACK) as server, trio.open_nursery() as nursery:
        waiters = [Waiter(server, ">=", count) for count in range(1, 6)]
        for waiter in waiters:
            nursery.start_soon(waiter.run)
        await settle()
        peers = []
        for reached in range(1, 6):
            peers += await greeted(server, 1)
            await settle()
            done = [waiter.count for waiter in waiters if waiter.outcome == "reached"]
            assert done == list(range(1, reached + 1))
            assert audience(server) == 5 - reached
        for peer in peers:
            await peer.aclose()


# Moments


async def test_a_moment_is_enough() -> None:
    """Both are opened, and one is gone again, before the waiting task has a turn."""

    class Brief(Greeter):
        def connection_made(self) -> None:
            if len(self.factory.connections) == 2:
                self.transport.abort()

    async with open_server(Factory(Brief), LOOPBACK) as server, trio.open_nursery() as nursery:
        waiter = Waiter(server, "==", 2)
        nursery.start_soon(waiter.run)
        await settle()
        peers = [dial(server.addresses[0]) for _ in range(2)]
        await settle()
        assert len(server.connections) == 1
        assert waiter.outcome == "reached"
        for peer in peers:
            await peer.aclose()


async def test_a_moment_that_a_subscriber_makes_is_enough() -> None:
    """It hears before us, and ends what has just been opened."""
    async with open_server(Factory(Greeter), LOOPBACK) as server, trio.open_nursery() as nursery:

        def shut(event: Event) -> None:
            if event.name == "connection.opened":
                event.transport.abort()  # type: ignore[attr-defined]

        server.subscribe(shut)
        waiter = Waiter(server, "==", 1)
        nursery.start_soon(waiter.run)
        await settle()
        peer = dial(server.addresses[0])
        assert (await outcome(peer))[0] == b""
        await settle()
        assert waiter.outcome == "reached"
        peer.discard()


async def test_none_in_a_moment_between_two() -> None:
    async with open_server(Factory(Greeter, max_connections=1), LOOPBACK) as server:
        async with trio.open_nursery() as nursery:
            first, second = dial(server.addresses[0]), dial(server.addresses[0])
            assert await first.receive_exactly(5) == b"hello"
            waiter = Waiter(server, "==", 0)
            nursery.start_soon(waiter.run)
            await settle()
            assert waiter.outcome == ""
            await first.aclose()
            assert await second.receive_exactly(5) == b"hello"
            assert waiter.outcome == "reached"
        await second.aclose()


# What counts


async def test_a_handshake_counts_only_when_it_is_done() -> None:
    async with (
        open_server(Factory(Greeter), OverTLS(LOOPBACK)) as server,
        trio.open_nursery() as nursery,
    ):
        waiter = Waiter(server, ">=", 1)
        nursery.start_soon(waiter.run)
        speaker = Speaker(dial(server.addresses[0]))
        await speaker.tell()
        await speaker.hear()
        await settle()
        assert waiter.outcome == ""
        await speaker.shake()
        assert await speaker.receive_exactly(5) == b"hello"
        await settle()
        assert waiter.outcome == "reached"
        speaker.peer.discard()


async def test_exempt_and_handled_ones_count() -> None:
    class Exempt(Greeter):
        def connection_made(self) -> None:
            super().connection_made()
            self.transport.exempt()

    listener = MemoryListener()
    factory = Factory(Exempt)
    async with open_server(factory, LOOPBACK) as server, trio.open_nursery() as nursery:
        peers: list[Any] = [*await greeted(server, 1), await offer(listener)]
        nursery.start_soon(factory.handle, await listener.accept())
        with trio.fail_after(5):
            await server.wait_connections("==", 2)
        for peer in peers:
            await peer.aclose()
        with trio.fail_after(5):
            await server.wait_connections("==", 0)


async def test_the_refused_do_not_count(autojump_clock: MockClock) -> None:
    settings: dict[str, Any] = {"at_limit": "refuse", "max_connections": 1, "refusal": b"no"}
    async with open_server(Factory(Greeter, **settings), LOOPBACK) as server:
        (first,) = await greeted(server, 1)
        with trio.move_on_after(5) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.wait_connections, ">", 1)
                assert await outcome(dial(server.addresses[0])) == (b"no", "eof")
        assert scope.cancelled_caught
        await first.aclose()


# The end


@pytest.mark.parametrize(
    ("comparison", "count", "expected"),
    [
        ("<=", 0, "reached"),
        ("<", 1, "reached"),
        ("==", 0, "reached"),
        ("==", 5, "closed"),
        (">", 1, "closed"),
        (">=", 2, "closed"),
    ],
)
@pytest.mark.parametrize("how", ["drained", "cancelled"])
async def test_who_waits_when_the_server_ends_gets_the_answer_or_an_error(
    autojump_clock: MockClock, comparison: str, count: int, expected: str, how: str
) -> None:
    waiters: list[Waiter] = []
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with open_server(Factory(Holds), LOOPBACK, grace=1, force=1) as server:
                await greeted(server, 1)
                waiter = Waiter(server, comparison, count)
                waiters.append(waiter)
                nursery.start_soon(waiter.run)
                await settle()
                assert waiter.outcome == ""
                if how == "cancelled":
                    scope.cancel()
        await settle()
        assert waiters[0].outcome == expected
    server = waiters[0].server
    assert audience(server) == 0
    assert not server._waiting
    # And it is the same for who comes after that.
    late = Waiter(server, comparison, count)
    with trio.fail_after(5):
        await late.run()
    assert late.outcome == expected
    assert audience(server) == 0


async def test_negative_numbers_are_never_reached_but_by_what_is_above_them() -> None:
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        await server.wait_connections(">", -1)
        waiter = Waiter(server, "<", 0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiter.run)
            await settle()
            assert waiter.outcome == ""
            server.stop()
    assert waiter.outcome == "closed"


async def test_during_a_drain_it_waits_for_those_who_are_left(autojump_clock: MockClock) -> None:
    async with open_server(Factory(Holds), LOOPBACK, grace=10, force=1) as server:
        peers = await greeted(server, 3)
        server.stop()
        async with trio.open_nursery() as nursery:
            waiter = Waiter(server, "<=", 1)
            nursery.start_soon(waiter.run)
            for left in (2, 1):
                await trio.sleep(1)
                assert waiter.outcome == ""
                await peers.pop().reset()
                await settle()
                assert len(server.connections) == left
            assert waiter.outcome == "reached"
        peers.pop().discard()


async def test_a_task_that_waits_does_not_keep_the_server_up(autojump_clock: MockClock) -> None:
    """Not even one in the factory's own nursery."""
    log: list[str] = []

    class Watching(Factory[Any]):
        @asynccontextmanager
        async def lifespan(self) -> AsyncIterator[None]:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.watch)
                yield

        async def watch(self) -> None:
            await settle()
            waiter = Waiter(self.server, ">", 5)
            await waiter.run()
            log.append(waiter.outcome)

    async with open_server(Watching(Greeter), LOOPBACK) as server:
        await settle()
    assert log == ["closed"]
    assert audience(server) == 0
    assert trio.current_time() < 1
