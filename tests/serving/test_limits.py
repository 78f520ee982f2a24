"""The limit of connections: exact, over all listeners, and given back on every way out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import MORE_THAN_FITS, SocketPeer, small_listener
from tests.serving.conversations import LOOPBACK, Echo, Greeter, dial, outcome, settle
from tests.serving.test_listeners import offer
from trioproto import Factory, Protocol, open_server, serve
from trioproto.testing import MemoryListener

LIMIT = 3
REFUSAL = b"Too many connections, try later\r\n"


class Builds(Factory[Any]):
    """Counts what it builds."""

    def __init__(self, protocol: Callable[..., Protocol] = Greeter, **settings: Any) -> None:
        super().__init__(protocol, **settings)
        self.built = 0

    def build_protocol(self, peer: Any) -> Any:
        self.built += 1
        return super().build_protocol(peer)


async def served(peer: SocketPeer) -> bool:
    """Whether the server has said hello."""
    await settle()
    return peer.take() == b"hello"


async def test_up_to_the_limit_all_are_served() -> None:
    factory = Builds(max_connections=LIMIT)
    async with open_server(factory, LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(LIMIT)]
        assert [await served(peer) for peer in peers] == [True] * LIMIT
        for peer in peers:
            await peer.aclose()


async def test_the_one_too_many_waits_unbuilt_until_one_leaves() -> None:
    factory = Builds(max_connections=LIMIT)
    async with open_server(factory, LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(LIMIT)]
        await settle()
        late = dial(server.addresses[0])
        await late.send(b"echo")
        assert not await served(late)
        assert factory.built == LIMIT
        await peers[0].aclose()
        assert await late.receive_exactly(9) == b"helloecho"
        assert factory.built == LIMIT + 1
        for peer in (*peers[1:], late):
            await peer.aclose()


async def test_the_limit_is_exact_over_all_listeners() -> None:
    factory = Builds(max_connections=LIMIT)
    async with open_server(factory, LOOPBACK, LOOPBACK) as server:
        peers = [dial(server.addresses[number % 2]) for number in range(2 * LIMIT)]
        await settle()
        assert len(factory.connections) == factory.built == LIMIT
        while peers:
            served_now = [peer for peer in peers if peer.take()]
            assert served_now
            for peer in served_now:
                await peer.aclose()
                peers.remove(peer)
            await settle()
            assert len(factory.connections) <= LIMIT
        assert factory.built == 2 * LIMIT


async def test_no_slot_is_held_while_waiting_for_a_connection() -> None:
    """With one slot and two listeners, each of them serves when a peer comes to it."""
    async with open_server(Factory(Greeter, max_connections=1), LOOPBACK, LOOPBACK) as server:
        for number in (0, 1, 1, 0):
            peer = dial(server.addresses[number])
            assert await served(peer)
            await peer.aclose()
            await settle()


async def test_over_a_ready_made_listener_one_stream_waits_unread_and_unbuilt() -> None:
    listener = MemoryListener()
    factory = Builds(max_connections=1)
    async with open_server(factory, listener):
        first, second, third = await offer(listener), await offer(listener), await offer(listener)
        assert await first.receive_exactly(5) == b"hello"
        await second.send(b"unread")
        await settle()
        assert listener.backlog >= 1
        assert factory.built == 1
        assert second.ours.unread_by_peer == len(b"unread")
        for peer, after in ((first, second), (second, third)):
            await peer.aclose()
            await after.receive_exactly(5)
        await third.aclose()


async def test_no_slot_is_held_while_a_ready_made_listener_waits() -> None:
    listener = MemoryListener()
    async with open_server(Factory(Greeter, max_connections=1), LOOPBACK, listener) as server:
        await settle()
        peer = dial(server.addresses[0])
        assert await served(peer)
        await peer.aclose()
        await settle()
        other = await offer(listener)
        assert await other.receive_exactly(5) == b"hello"
        await other.aclose()


async def test_a_peer_that_waited_and_left_keeps_nobody_out() -> None:
    factory = Builds(max_connections=1)
    async with open_server(factory, LOOPBACK, LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await served(first)
        impatient = [dial(address) for address in server.addresses]
        await settle()
        for peer in impatient:
            await peer.reset()
        await first.aclose()
        await settle()
        for address in (*server.addresses, *server.addresses):
            peer = dial(address)
            assert await peer.receive_exactly(5) == b"hello"
            await peer.aclose()
            await settle()


async def test_without_a_limit_all_are_served() -> None:
    async with open_server(Factory(Greeter, max_connections=None), LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(50)]
        assert [await served(peer) for peer in peers] == [True] * 50
        for peer in peers:
            await peer.aclose()


# Every way out gives the slot back


class BoomError(Exception):
    """What the callbacks of these tests raise."""


class Raises(Greeter):
    def connection_made(self) -> None:
        raise BoomError


class RaisesLater(Greeter):
    def data_received(self, data: bytes) -> None:
        raise BoomError


class RaisesAtTheEnd(Greeter):
    def connection_lost(self, reason: object) -> None:
        raise BoomError


class Closes(Greeter):
    def connection_made(self) -> None:
        self.transport.close()


class Aborts(Greeter):
    def connection_made(self) -> None:
        self.transport.abort()


class CleansUp(Greeter):
    async def connection_lost(self, reason: object) -> None:
        await trio.lowlevel.checkpoint()


class OneWayOut(Factory[Any]):
    """Gives each connection but the last the way out under test."""

    max_connections = 1

    def __init__(self, way: Callable[[], Protocol | None], times: int) -> None:
        super().__init__()
        self.ways: list[Callable[[], Protocol | None]] = [way] * times

    def build_protocol(self, peer: object) -> Any:
        return self.ways.pop()() if self.ways else Greeter()


def raise_boom() -> Protocol:
    raise BoomError


@pytest.mark.parametrize(
    ("way", "errors"),
    [
        (Greeter, 0),
        (CleansUp, 0),
        (Closes, 0),
        (Aborts, 0),
        (Raises, 3),
        (RaisesLater, 3),
        (RaisesAtTheEnd, 3),
        (raise_boom, 3),
        (lambda: None, 0),
        (lambda: "no protocol", 3),
    ],
)
@pytest.mark.parametrize("leaving", ["aclose", "reset", "send_eof"])
async def test_a_slot_is_given_back_on_every_way_out(
    autojump_clock: MockClock,
    logged_errors: list[Any],
    way: Callable[[], Protocol | None],
    errors: int,
    leaving: str,
) -> None:
    times = 3
    factory = OneWayOut(way, times)
    async with open_server(factory, LOOPBACK) as server:
        leavers = []
        for _ in range(times):
            peer = dial(server.addresses[0])
            await settle()
            if way is RaisesLater:
                await peer.send(b"go")
                await settle()
            with suppress(OSError):  # it may be gone already
                await getattr(peer, leaving)()
            await settle()
            leavers.append(peer)
        last = dial(server.addresses[0])
        with trio.fail_after(60):
            assert await last.receive_exactly(5) == b"hello"
        await last.aclose()
        for peer in leavers:
            await peer.aclose()
    assert len(logged_errors) == errors


async def test_a_slot_is_given_back_by_an_async_callback_that_fails(
    logged_errors: list[Any],
) -> None:
    class Fails(Greeter):
        async def connection_made(self) -> None:
            await trio.lowlevel.checkpoint()
            raise BoomError

    factory = OneWayOut(Fails, 1)
    async with open_server(factory, LOOPBACK) as server:
        peer = dial(server.addresses[0])
        assert await outcome(peer) == (b"", "reset")
        last = dial(server.addresses[0])
        assert await last.receive_exactly(5) == b"hello"
        await last.aclose()
        await peer.aclose()
    assert len(logged_errors) == 1


async def test_a_slot_lasts_until_connection_lost_has_finished() -> None:
    release = trio.Event()

    class Slow(Greeter):
        async def connection_lost(self, reason: object) -> None:
            await release.wait()

    factory = Builds(Slow, max_connections=1)
    async with open_server(factory, LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await served(first)
        await first.reset()
        second = dial(server.addresses[0])
        assert not await served(second)
        release.set()
        assert await second.receive_exactly(5) == b"hello"
        await second.aclose()


# Refusing


async def test_the_one_too_many_is_told_so_whole_and_closed() -> None:
    factory = Builds(max_connections=LIMIT, at_limit="refuse", refusal=REFUSAL)
    async with open_server(factory, LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(LIMIT)]
        assert [await served(peer) for peer in peers] == [True] * LIMIT
        for _ in range(5):
            refused = dial(server.addresses[0])
            assert await outcome(refused) == (REFUSAL, "eof")
            await refused.aclose()
        assert factory.built == LIMIT
        await peers[0].aclose()
        await settle()
        welcome = dial(server.addresses[0])
        assert await served(welcome)
        for peer in (*peers[1:], welcome):
            await peer.aclose()


async def test_a_refusal_is_not_destroyed_by_what_the_peer_sent() -> None:
    factory = Builds(max_connections=1, at_limit="refuse", refusal=REFUSAL)
    async with open_server(factory, LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await served(first)
        refused = dial(server.addresses[0])
        await refused.send(b"GET / HTTP/1.1\r\n" * 1000)
        await settle()
        assert await outcome(refused) == (REFUSAL, "eof")
        await refused.aclose()
        await first.aclose()


async def test_a_refusal_without_a_message_just_ends() -> None:
    factory = Builds(max_connections=1, at_limit="refuse")
    async with open_server(factory, LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await served(first)
        refused = dial(server.addresses[0])
        data, _ = await outcome(refused)
        assert data == b""
        await refused.aclose()
        await first.aclose()


async def test_over_a_ready_made_listener_the_one_too_many_is_refused_too() -> None:
    listener = MemoryListener()
    factory = Builds(max_connections=1, at_limit="refuse", refusal=REFUSAL)
    async with open_server(factory, listener):
        first = await offer(listener)
        assert await first.receive_exactly(5) == b"hello"
        refused = await offer(listener)
        assert await refused.receive_all() == (REFUSAL, "eof")
        await refused.aclose()
        await first.aclose()


async def test_a_refused_peer_that_does_nothing_is_dropped_after_a_second(
    autojump_clock: MockClock,
) -> None:
    factory = Builds(max_connections=1, at_limit="refuse", refusal=REFUSAL)
    async with open_server(factory, LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await served(first)
        refused = dial(server.addresses[0])
        await trio.sleep(1.5)
        await refused.send(b"anyone?")  # the socket is gone: this is answered by a reset
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await refused.send(b"anyone?")
        await refused.aclose()
        await first.aclose()


async def test_at_most_64_refusals_linger_and_the_others_are_reset(
    autojump_clock: MockClock,
) -> None:
    factory = Builds(max_connections=1, at_limit="refuse", refusal=REFUSAL)
    async with open_server(factory, LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await served(first)
        refused = [dial(server.addresses[0]) for _ in range(100)]
        await settle()
        outcomes = [await outcome(peer) for peer in refused]
        assert outcomes.count((REFUSAL, "eof")) == 64
        assert outcomes.count((b"", "reset")) == 36
        for peer in (first, *refused):
            await peer.aclose()


async def test_a_refused_peer_that_does_not_read_holds_nobody(autojump_clock: MockClock) -> None:
    factory = Builds(max_connections=1, at_limit="refuse", refusal=bytes(MORE_THAN_FITS))
    async with open_server(factory, small_listener()) as server:
        first = dial(server.addresses[0])
        assert await served(first)
        deaf = dial(server.addresses[0])
        await trio.sleep(2)
        await first.aclose()
        await settle()
        other = dial(server.addresses[0])
        assert await served(other)
        await other.aclose()
        await deaf.aclose()


async def test_a_refusal_does_not_hold_a_drain(autojump_clock: MockClock) -> None:
    factory = Builds(max_connections=1, at_limit="refuse", refusal=REFUSAL)
    async with open_server(factory, LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await served(first)
        refused = dial(server.addresses[0])
        await settle()
        await first.aclose()
    assert autojump_clock.current_time() < 3
    await refused.aclose()


async def test_waiting_peers_do_not_hold_a_stop_nor_a_cancellation() -> None:
    for way in ("stop", "cancel"):
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve, Factory(Echo, max_connections=1), LOOPBACK)
            peers = [dial(server.addresses[0]) for _ in range(3)]
            await settle()
            await peers[0].aclose()
            if way == "stop":
                server.stop()
            else:
                nursery.cancel_scope.cancel()
            for peer in peers[1:]:
                await peer.aclose()
