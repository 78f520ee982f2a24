"""Waiting at most a time: who waits is accepted, unread and unbuilt, and then served or refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import OverTLS, SocketPeer
from tests.endpoints.sockets import dial_unix
from tests.serving.conversations import LOOPBACK, Greeter, dial, settle
from tests.serving.limited import (
    REFUSAL,
    Held,
    TriesLater,
    admission_of,
    check_at_rest,
    ends,
    greeted,
    held,
    stream_pair,
)
from tests.serving.test_limits import Builds
from tests.serving.test_listeners import offer
from tests.tls.over_wire import Speaker
from trioproto import Factory, Server, open_server
from trioproto.runtime.admission import Admission
from trioproto.testing import MemoryListener
from trioproto.testing.conformance.peer import Peer
from trioproto.testing.conformance.recorder import Recorder

PATIENCE = 3


@asynccontextmanager
async def full(**settings: Any) -> AsyncIterator[tuple[Builds, Server[Any], SocketPeer]]:
    """Serve one connection, and there is no room for another."""
    options = {"max_connections": 1, "refuse_after": PATIENCE, "refusal": REFUSAL, **settings}
    factory = Builds(Greeter, idle_timeout=None, **options)
    async with open_server(factory, LOOPBACK, grace=0) as server:
        admission = admission_of(factory)
        first = dial(server.addresses[0])
        assert await greeted(first)
        yield factory, server, first
        await first.aclose()
        await settle()
        await trio.sleep(60)
        check_at_rest(factory, admission)


async def test_who_waits_is_refused_when_the_time_is_over(autojump_clock: MockClock) -> None:
    async with full() as (factory, server, _):
        late = dial(server.addresses[0])
        await settle()
        assert held(admission_of(factory)) == Held(places=1, waiting=1)
        await trio.sleep(PATIENCE - 0.001)
        assert late.take() == b""
        await trio.sleep(0.002)
        assert await ends(late) == (REFUSAL, "eof")
        assert factory.built == 1
        assert dict(factory.statistics().refused) == {"max_connections": 1}
        await late.aclose()


async def test_who_waits_is_served_when_there_is_room_in_time(autojump_clock: MockClock) -> None:
    async with full() as (factory, server, first):
        late = dial(server.addresses[0])
        await late.send(b" and this was sent meanwhile")
        await trio.sleep(PATIENCE - 0.001)
        assert factory.built == 1
        await first.aclose()
        assert await late.receive_exactly(33) == b"hello and this was sent meanwhile"
        assert dict(factory.statistics().refused) == {}
        await late.aclose()


async def test_who_came_first_is_served_first(autojump_clock: MockClock) -> None:
    async with full() as (_, server, first):
        waiting = []
        for _ in range(5):
            waiting.append(dial(server.addresses[0]))
            await trio.sleep(0.1)
        leaving = first
        for peer in waiting:
            await leaving.aclose()
            await settle()
            assert peer.take() == b"hello"
            leaving = peer
        await leaving.aclose()


@pytest.mark.parametrize(("number", "refused"), [(2, 0), (3, 0), (4, 1), (6, 3)])
async def test_no_more_wait_than_the_backlog_says(
    autojump_clock: MockClock, number: int, refused: int
) -> None:
    async with full(backlog=3) as (factory, server, _):
        late = []
        for _ in range(number):
            late.append(dial(server.addresses[0]))
            await settle()  # the kernel keeps no more than that, either
        assert held(admission_of(factory)).waiting == number - refused
        assert [peer.take() for peer in late].count(REFUSAL) == refused
        for peer in late:
            await peer.aclose()


async def test_who_leaves_while_waiting_keeps_nobody_out(autojump_clock: MockClock) -> None:
    async with full() as (_, server, first):
        impatient = [dial(server.addresses[0]) for _ in range(4)]
        await settle()
        for peer in impatient[:2]:
            await peer.reset()
        for peer in impatient[2:]:
            await peer.aclose()
        last = dial(server.addresses[0])
        await first.aclose()
        assert await last.receive_exactly(5) == b"hello"
        await last.aclose()


async def test_over_tls_who_waits_hears_nothing_before(autojump_clock: MockClock) -> None:
    options = {"max_connections": 1, "refuse_after": PATIENCE, "refusal": TriesLater}
    factory = Builds(Greeter, idle_timeout=None, **options)
    async with open_server(factory, OverTLS(LOOPBACK), grace=0) as server:
        first = Speaker(dial(server.addresses[0]))
        await first.shake()
        assert await first.receive_exactly(5) == b"hello"
        late = Speaker(dial(server.addresses[0]))
        await late.tell()
        await trio.sleep(PATIENCE - 0.1)
        assert late.peer.take() == b""
        with trio.fail_after(1):
            await late.shake()
            assert await late.receive_all() == REFUSAL
        assert not late.was_reset
        assert factory.built == 1


async def test_who_waits_for_a_place_is_not_in_a_handshake(autojump_clock: MockClock) -> None:
    """With TLS: as many wait as may, and a plain peer is in nobody's way."""
    factory = Builds(
        Greeter, max_connections=1, max_handshakes=1, refuse_after=PATIENCE, idle_timeout=None
    )
    async with open_server(factory, LOOPBACK, OverTLS(LOOPBACK), grace=0) as server:
        first = dial(server.addresses[0])
        assert await greeted(first)
        late = [dial(server.addresses[1]) for _ in range(3)]
        await settle()
        await trio.sleep(PATIENCE + 0.001)
        for peer in late:
            assert (await ends(peer))[0] == b""
        assert dict(factory.statistics().refused) == {"max_connections": 3}
        assert set(factory.statistics().limits) == {"max_connections"}
        await first.aclose()


async def test_streams_wait_as_sockets_do(autojump_clock: MockClock) -> None:
    listener = MemoryListener()
    options = {"max_connections": 1, "refuse_after": PATIENCE, "refusal": REFUSAL}
    factory = Builds(Greeter, idle_timeout=None, **options)
    async with open_server(factory, listener, grace=0):
        first, second, third = await offer(listener), await offer(listener), await offer(listener)
        assert await first.receive_exactly(5) == b"hello"
        await settle()
        assert held(admission_of(factory)).waiting == 2
        await first.aclose()
        assert await second.receive_exactly(5) == b"hello"
        assert await ends(third) == (REFUSAL, "eof")
        await second.aclose()
        await third.aclose()
        await settle()
        check_at_rest(factory, admission_of(factory))


async def test_streams_given_to_handle_wait_too(autojump_clock: MockClock) -> None:
    options = {"max_connections": 1, "refuse_after": PATIENCE, "refusal": REFUSAL}
    factory = Builds(Greeter, idle_timeout=None, **options)
    async with factory, trio.open_nursery() as nursery:
        peers = []
        for _ in range(3):
            peer, stream = stream_pair()
            nursery.start_soon(factory.handle, stream)
            peers.append(peer)
            await settle()
        assert await greeted(peers[0])
        await peers[0].aclose()
        assert await peers[1].receive_exactly(5) == b"hello"
        assert await ends(peers[2]) == (REFUSAL, "eof")
        for peer in peers[1:]:
            await peer.aclose()
        await settle()
        check_at_rest(factory, admission_of(factory))


# The rate


async def test_the_rate_lets_those_who_wait_in_one_by_one(autojump_clock: MockClock) -> None:
    """Who waits has not come in: only that counts for the rate."""
    factory = Factory(Greeter, max_accept_rate=1, refuse_after=3.5, refusal=REFUSAL)
    async with open_server(factory, LOOPBACK, grace=0) as server:
        peers = [dial(server.addresses[0]) for _ in range(8)]
        counts = []
        for _ in range(4):
            await settle()
            counts.append(len(factory.connections))
            await trio.sleep(1.001)
        assert counts == [1, 2, 3, 4]
        assert [peer.take() for peer in peers] == [b"hello"] * 4 + [REFUSAL] * 4
        assert dict(factory.statistics().refused) == {"max_accept_rate": 4}


async def test_time_over_at_the_moment_of_ones_turn_names_the_right_limit(
    autojump_clock: MockClock,
) -> None:
    factory = Factory(Greeter, max_accept_rate=1, max_connections=None, refuse_after=1)
    async with open_server(factory, LOOPBACK, grace=0) as server:
        peers = [dial(server.addresses[0]) for _ in range(3)]
        await trio.sleep(1.5)
        await settle()
        assert set(factory.statistics().refused) == {"max_accept_rate"}
        for peer in peers:
            await peer.aclose()


async def test_the_soft_limit_counts_who_comes_in_and_not_who_waits(
    autojump_clock: MockClock,
) -> None:
    calls: list[int] = []

    class Watched(Builds):
        def soft_limit_reached(self, connections: int) -> None:
            calls.append(connections)

    factory = Watched(
        Greeter, soft_limit=2, max_connections=2, max_accept_rate=1, refuse_after=PATIENCE
    )
    async with open_server(factory, LOOPBACK, grace=0) as server:
        peers = [dial(server.addresses[0]) for _ in range(2)]
        await settle()
        assert calls == []
        await trio.sleep(1.01)
        assert calls == [2]
        for peer in peers:
            await peer.aclose()


# Endings


async def test_a_cancelled_server_resets_who_waits(autojump_clock: MockClock) -> None:
    listener = MemoryListener()
    factory = Builds(Greeter, max_connections=1, refuse_after=PATIENCE, refusal=REFUSAL)
    admissions: list[Admission] = []
    late: list[Peer] = []
    with trio.CancelScope() as scope:
        async with open_server(factory, LOOPBACK, listener) as server:
            admissions.append(admission_of(factory))
            first = dial(server.addresses[0])
            assert await greeted(first)
            late += [dial(server.addresses[0]), await offer(listener)]
            await settle()
            assert held(admissions[0]).waiting == 2
            scope.cancel()
            await trio.sleep_forever()
    assert autojump_clock.current_time() == 0
    assert [await ends(peer) for peer in late] == [(b"", "reset")] * 2
    check_at_rest(factory, *admissions)


async def test_a_cancelled_handle_gives_its_place_in_the_queue_up(
    autojump_clock: MockClock,
) -> None:
    factory = Builds(Greeter, max_connections=1, refuse_after=PATIENCE)
    async with factory, trio.open_nursery() as nursery:
        peers, scopes = [], []

        async def handle(stream: trio.abc.Stream) -> None:
            with trio.CancelScope() as scope:
                scopes.append(scope)
                await factory.handle(stream)

        for _ in range(3):
            peer, stream = stream_pair()
            nursery.start_soon(handle, stream)
            peers.append(peer)
            await settle()
        scopes[1].cancel()
        await settle()
        assert (await ends(peers[1]))[0] == b""
        assert held(admission_of(factory)) == Held(places=1, waiting=1)
        await peers[0].aclose()
        assert await peers[2].receive_exactly(5) == b"hello"
        await peers[2].aclose()


@pytest.mark.parametrize("limit", [{"max_connections": 1}, {"max_accept_rate": 0.001}])
async def test_a_drain_does_not_wait_for_those_who_wait(
    autojump_clock: MockClock, limit: dict[str, Any]
) -> None:
    """Whoever waits in a drain hears of it at once, and not when the grace is over."""
    factory = Builds(Greeter, refuse_after=600, refusal=REFUSAL, drain_grace=100, **limit)
    async with open_server(factory, LOOPBACK) as server:
        admission = admission_of(factory)
        first = dial(server.addresses[0])
        assert await greeted(first)
        late = dial(server.addresses[0])
        await settle()
        assert held(admission).waiting == 1
        await server.drain()
    assert autojump_clock.current_time() < 10
    data, _ = await ends(late)
    assert data in (b"", b"hello", REFUSAL)
    check_at_rest(factory, admission)


@pytest.mark.parametrize("limit", [{"max_connections": 1}, {"max_accept_rate": 0.001}])
async def test_a_scope_that_was_entered_by_hand_ends_with_those_who_wait(
    autojump_clock: MockClock, limit: dict[str, Any]
) -> None:
    factory = Builds(Greeter, refuse_after=600, drain_grace=1, **limit)
    async with trio.open_nursery() as nursery:
        async with factory:
            admission = admission_of(factory)
            peers = []
            for _ in range(2):
                peer, stream = stream_pair()
                nursery.start_soon(factory.handle, stream)
                peers.append(peer)
                await settle()
        assert autojump_clock.current_time() < 10
        for peer in peers:
            await ends(peer)
            await peer.aclose()
    check_at_rest(factory, admission)


@pytest.mark.parametrize("limit", [{"max_connections": 1}, {"max_accept_rate": 0.001}])
async def test_handle_lets_nobody_in_or_wait_once_its_scope_has_ended(
    autojump_clock: MockClock, limit: dict[str, Any]
) -> None:
    factory = Builds(Greeter, drain_grace=1, **limit)
    async with trio.open_nursery() as nursery:
        async with factory:
            admission = admission_of(factory)
            peers = []
            for _ in range(2):
                peer, stream = stream_pair()
                nursery.start_soon(factory.handle, stream)
                peers.append(peer)
                await settle()
        with trio.fail_after(10):
            assert (await ends(peers[1]))[0] == b""
    assert factory.built == 1
    check_at_rest(factory, admission)


async def say_nothing(peer: SocketPeer) -> None:
    """Reset at once."""


async def speak(peer: SocketPeer) -> None:
    await peer.send(b"a request")


async def end(peer: SocketPeer) -> None:
    await peer.send_eof()


@pytest.mark.parametrize("before", [say_nothing, speak, end])
async def test_who_is_gone_keeps_nobody_out_of_the_room(
    autojump_clock: MockClock, before: Any
) -> None:
    """A storm of connects and resets does not fill it, whatever they have said."""
    async with full(backlog=3) as (factory, server, first):
        for _ in range(3):
            gone = dial(server.addresses[0])
            await settle()
            await before(gone)
            await settle()
            await gone.reset()
            await settle()
        assert held(admission_of(factory)) == Held(places=1)
        late = dial(server.addresses[0])
        await settle()
        assert held(admission_of(factory)) == Held(places=1, waiting=1)
        await first.aclose()
        assert await greeted(late)
        assert factory.built == 2
        await late.aclose()


async def test_who_waits_and_has_ended_its_side_is_served(autojump_clock: MockClock) -> None:
    """It may only want to read, as `nc` does without input."""
    async with full() as (_, server, first):
        late = dial(server.addresses[0])
        await late.send_eof()
        await settle()
        await first.aclose()
        assert await ends(late) == (b"hello", "eof")


async def test_who_waits_and_has_spoken_is_heard(autojump_clock: MockClock) -> None:
    async with full() as (factory, server, first):
        late = dial(server.addresses[0])
        await late.send(b"a request")
        await settle()
        assert held(admission_of(factory)) == Held(places=1, waiting=1)
        await first.aclose()
        assert await late.receive_exactly(14) == b"helloa request"
        await late.aclose()


async def test_who_has_said_all_over_a_unix_socket_and_gone_is_heard(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """As who writes a line to a log does: its hang-up is no reset."""
    made: list[Recorder] = []

    def build() -> Recorder:
        made.append(Recorder())
        return made[-1]

    factory = Factory(build, max_connections=1, refuse_after=PATIENCE)
    async with open_server(factory, f"unix:{tmp_path / 'x'}") as server:
        first = dial_unix(tmp_path / "x")
        await settle()
        late = dial_unix(tmp_path / "x")
        await late.send(b"a line")
        await late.aclose()
        await settle()
        assert held(admission_of(factory)).waiting == 1
        await first.aclose()
        await settle()
        assert [each.received for each in made] == [b"", b"a line"]
        await server.drain()


async def test_so_many_handles_wait_as_the_backlog_says(autojump_clock: MockClock) -> None:
    """Others have accepted them, so each is a task and a descriptor: there is an end to that."""
    factory = Factory(Greeter, max_connections=1, backlog=2, idle_timeout=None)
    async with factory, trio.open_nursery() as nursery:
        peers = []
        for _ in range(5):
            peer, stream = stream_pair()
            nursery.start_soon(factory.handle, stream)
            await settle()
            peers.append(peer)
        assert await greeted(peers[0])
        for peer in peers[3:]:
            assert await ends(peer) == (b"", "eof")
        for before, after in ((0, 1), (1, 2)):
            await peers[before].aclose()
            assert await greeted(peers[after])
        await peers[2].aclose()


async def test_a_newcomer_in_the_moment_when_places_come_free_is_not_forgotten(
    autojump_clock: MockClock,
) -> None:
    """Two leave at once, and one comes: it gets a place, or waits its time, as any other."""
    for _ in range(10):
        factory = Factory(
            Greeter, max_connections=2, refuse_after=PATIENCE, refusal=REFUSAL, idle_timeout=None
        )
        async with open_server(factory, LOOPBACK, grace=0, force=0) as server:
            first = [dial(server.addresses[0]) for _ in range(2)]
            await settle()
            waiting = [dial(server.addresses[0]) for _ in range(5)]
            await settle()
            for member in server.connections:
                member.transport.abort()
            late = dial(server.addresses[0])
            await settle()
            assert not admission_of(factory)._in_kernel
            await trio.sleep(PATIENCE + 2)
            assert late.take() in (b"hello", REFUSAL)
            for peer in (*first, *waiting, late):
                peer.discard()


async def test_who_waits_for_the_rate_only_comes_in_at_a_drain(autojump_clock: MockClock) -> None:
    """As those do who are still in the kernel's queue."""
    factory = Factory(Greeter, max_accept_rate=1, refuse_after=60, refusal=REFUSAL)
    async with open_server(factory, LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(3)]
        await settle()
        assert held(admission_of(factory)).waiting == 2
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.drain)
            for peer in peers:
                assert await ends(peer) == (b"hello", "eof")
                await peer.aclose()


async def test_a_cancellation_while_a_handle_waits_comes_as_itself() -> None:
    factory = Factory(Greeter, max_connections=1, refuse_after=60)
    async with factory, trio.open_nursery() as nursery:
        peer, stream = stream_pair()
        nursery.start_soon(factory.handle, stream)
        assert await greeted(peer)
        raised: list[BaseException] = []

        async def wait() -> None:
            _, stream = stream_pair()
            try:
                await factory.handle(stream)
            except BaseException as exc:
                raised.append(exc)
                raise

        async with trio.open_nursery() as inner:
            inner.start_soon(wait)
            await settle()
            inner.cancel_scope.cancel()
        assert [type(exc) for exc in raised] == [trio.Cancelled]
        nursery.cancel_scope.cancel()
