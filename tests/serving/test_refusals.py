"""Telling a peer that it is refused: whole, in time, and in nobody's way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import MORE_THAN_FITS, OverTLS, SocketPeer, small_listener
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
from trioproto import Factory, Protocol, Server, open_server
from trioproto.events import Accepted, Closed, Event, Opened, Refused
from trioproto.runtime.admission import Admission
from trioproto.testing import MemoryListener

MANY = 64


@asynccontextmanager
async def full(
    refusal: Any, endpoint: Any = LOOPBACK, **settings: Any
) -> AsyncIterator[tuple[Builds, Server[Any]]]:
    """Serve one connection, and refuse all others."""
    factory = Builds(
        Greeter,
        max_connections=1,
        at_limit="refuse",
        refusal=refusal,
        idle_timeout=None,
        **settings,
    )
    async with open_server(factory, endpoint, LOOPBACK, grace=0) as server:
        admission = admission_of(factory)
        first = dial(server.addresses[1])
        assert await greeted(first)
        yield factory, server
        assert factory.built == 1
        assert len(factory.connections) == 1
        await first.aclose()
        await trio.sleep(60)
        check_at_rest(factory, admission)


class Silent(Protocol):
    """Never says that it is done."""


class Sleeps(Protocol):
    async def connection_made(self) -> None:
        await trio.sleep_forever()


class KeepsOpen(Protocol):
    def eof_received(self) -> bool:
        return True

    def quiesce(self) -> None:
        """Not yet."""


class Babbles(Protocol):
    async def connection_made(self) -> None:
        while True:
            await self.transport.send(bytes(1 << 16))


# Delivered whole, over everything


@pytest.mark.parametrize("refusal", [REFUSAL, TriesLater])
async def test_over_streams_it_is_delivered_whole(autojump_clock: MockClock, refusal: Any) -> None:
    listener = MemoryListener()
    async with full(refusal, listener) as (factory, _):
        refused = await offer(listener)
        await refused.send(b"unread" * 1000)
        assert await ends(refused) == (REFUSAL, "eof")
        async with trio.open_nursery() as nursery:
            peer, stream = stream_pair()
            nursery.start_soon(factory.handle, stream)
            await peer.send(b"unread" * 1000)
            assert await ends(peer) == (REFUSAL, "eof")
            await peer.aclose()
        await refused.aclose()


async def test_a_large_message_is_delivered_whole_to_who_reads_it(
    autojump_clock: MockClock,
) -> None:
    message = bytes(range(256)) * (MORE_THAN_FITS // 256)
    async with full(message, small_listener()) as (_, server):
        refused = dial(server.addresses[0])
        await refused.send(b"unread" * 1000)
        with trio.fail_after(60):
            assert await refused.receive_all() == (message, "eof")
        await refused.aclose()


async def test_over_tls_a_message_alone_is_not_worth_a_handshake(autojump_clock: MockClock) -> None:
    async with full(REFUSAL, OverTLS(LOOPBACK)) as (factory, server):
        refused = Speaker(dial(server.addresses[0]))
        await refused.tell()
        assert (await ends(refused.peer))[0] == b""
        assert dict(factory.statistics().refused) == {"max_connections": 1}


async def test_over_tls_a_protocol_speaks_after_the_handshake(autojump_clock: MockClock) -> None:
    async with full(TriesLater, OverTLS(LOOPBACK)) as (_, server):
        refused = Speaker(dial(server.addresses[0]))
        with trio.fail_after(5):
            await refused.shake()
            assert await refused.receive_all() == REFUSAL
        assert refused.client.ended
        assert not refused.was_reset
        await refused.peer.aclose()


@pytest.mark.parametrize("said", [b"", b"rubbish" * 100, None])
async def test_a_handshake_of_the_refused_has_little_time(
    autojump_clock: MockClock, logged_errors: list[Any], said: bytes | None
) -> None:
    async with full(TriesLater, OverTLS(LOOPBACK)) as (factory, server):
        refused = Speaker(dial(server.addresses[0]))
        if said is None:
            await refused.tell()
        else:
            await refused.peer.send(said)
        await trio.sleep(1.1)
        assert held(admission_of(factory)).refusals == 0
    assert not any(record.exc_info for record in logged_errors)


async def test_each_step_has_the_time_to_itself(autojump_clock: MockClock) -> None:
    """The handshake, the telling and the peer's end take 0.8 s each, of 1 s."""

    class Slow(Protocol):
        async def connection_made(self) -> None:
            await trio.sleep(0.8)
            self.transport.write(REFUSAL)
            self.transport.close()

    async with full(Slow, OverTLS(LOOPBACK)) as (_, server):
        refused = Speaker(dial(server.addresses[0]))
        await trio.sleep(0.8)
        with trio.fail_after(5):
            await refused.shake()
            assert await refused.receive_all() == REFUSAL
        assert refused.client.ended
        assert not refused.was_reset


async def test_who_is_refused_behind_a_proxy_is_told_so_too(autojump_clock: MockClock) -> None:
    async with full(REFUSAL, f"haproxy:trusted=127.0.0.0/8:{LOOPBACK}") as (factory, server):
        refused = dial(server.addresses[0])
        await refused.send(b"PROXY TCP4 192.0.2.1 198.51.100.1 1111 2222\r\nhello")
        assert await ends(refused) == (REFUSAL, "eof")
        await refused.aclose()
        silent = dial(server.addresses[0])
        await trio.sleep(1.1)
        assert held(admission_of(factory)) == Held(places=1)
        assert (await ends(silent))[0] == b""


# How many at a time


@pytest.mark.parametrize("number", [MANY - 1, MANY, MANY + 1, MANY + 10])
@pytest.mark.parametrize("refusal", [REFUSAL, Silent])
async def test_so_many_are_told_at_a_time_and_the_others_reset(
    autojump_clock: MockClock, number: int, refusal: Any
) -> None:
    async with full(refusal) as (factory, server):
        refused = [dial(server.addresses[0]) for _ in range(number)]
        await settle()
        assert held(admission_of(factory)).refusals == min(number, MANY)
        assert dict(factory.statistics().refused) == {"max_connections": number}
        endings = [(await ends(peer))[1] for peer in refused]
        too_many = max(0, number - MANY)
        assert endings[MANY:] == ["reset"] * too_many
        for peer in refused:
            await peer.aclose()


async def test_refused_peers_that_were_told_make_room_for_others_to_be_told(
    autojump_clock: MockClock,
) -> None:
    async with full(REFUSAL) as (_, server):
        for _ in range(3):
            refused = [dial(server.addresses[0]) for _ in range(MANY)]
            await settle()
            for peer in refused:
                assert await ends(peer) == (REFUSAL, "eof")
                await peer.aclose()
            await settle()


# Events and counts, endings


async def test_the_refused_are_news_once_and_in_no_other_count(autojump_clock: MockClock) -> None:
    events: list[Event] = []
    async with full(TriesLater) as (factory, server):
        before = factory.statistics()
        factory.subscribe(events.append)
        refused = dial(server.addresses[0])
        assert await ends(refused) == (REFUSAL, "eof")
        await refused.aclose()
        await settle()
        after = factory.statistics()
        (news,) = [each for each in events if isinstance(each, Refused)]
        assert news.why == "max_connections"
        assert not [each for each in events if isinstance(each, Accepted | Opened | Closed)]
        assert after.accepted == before.accepted
        assert after.opened == before.opened
        assert dict(after.closed) == dict(before.closed)
        assert after.opening == 0


async def test_a_cancelled_server_ends_its_refusals(autojump_clock: MockClock) -> None:
    factory = Builds(Greeter, max_connections=1, at_limit="refuse", refusal=Sleeps)
    admissions: list[Admission] = []
    peers: list[SocketPeer] = []
    with trio.CancelScope() as scope:
        async with open_server(factory, LOOPBACK) as server:
            admissions.append(admission_of(factory))
            peers += [dial(server.addresses[0]) for _ in range(4)]
            await settle()
            assert held(admissions[0]).refusals == 3
            scope.cancel()
            await trio.sleep_forever()
    assert autojump_clock.current_time() == 0
    assert [(await ends(peer))[1] for peer in peers] == ["reset"] * 4
    check_at_rest(factory, *admissions)


@pytest.mark.parametrize("kind", [Silent, Sleeps, KeepsOpen, Babbles])
async def test_a_drain_is_not_held_by_refusals(
    autojump_clock: MockClock, kind: type[Protocol]
) -> None:
    factory = Factory(Greeter, max_connections=1, at_limit="refuse", refusal=kind)
    async with open_server(factory, LOOPBACK) as server:
        admission = admission_of(factory)
        first = dial(server.addresses[0])
        assert await greeted(first)
        refused = dial(server.addresses[0])
        await settle()
        await first.aclose()
        await settle()
        report = await server.drain()
    assert autojump_clock.current_time() < 4
    assert (report.finished, report.cancelled, report.aborted) == (0, 0, 0)
    await refused.aclose()
    check_at_rest(factory, admission)
