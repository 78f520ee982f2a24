"""The limit of TLS handshakes in progress."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import OverTLS, SocketPeer
from tests.behaviour.tls_peers import server_context
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
from tests.tls.over_wire import Speaker
from trioproto import Factory, Server, open_server
from trioproto.endpoints import ProxyServerEndpoint
from trioproto.layers.networks import parse_networks

LIMIT = 2


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[tuple[Factory[Any], Server[Any]]]:
    """Serve TLS at the first and second address, and plainly at the third."""
    factory = Factory(Greeter, **{"max_handshakes": LIMIT, "idle_timeout": None, **settings})
    tls = OverTLS(LOOPBACK)
    async with open_server(factory, tls, OverTLS(LOOPBACK), LOOPBACK, grace=0) as server:
        admission = admission_of(factory)
        yield factory, server
    check_at_rest(factory, admission)


async def begin(server: Server[Any], number: int = 0) -> Speaker:
    """Come in, and say nothing yet."""
    speaker = Speaker(dial(server.addresses[number]))
    await settle()
    return speaker


async def shake(speaker: Speaker) -> None:
    with trio.fail_after(5):
        await speaker.shake()
        assert await speaker.receive_exactly(5) == b"hello"


async def test_only_so_many_are_in_their_handshake(autojump_clock: MockClock) -> None:
    async with serving() as (factory, server):
        admission = admission_of(factory)
        speakers = [await begin(server, number % 2) for number in range(LIMIT + 2)]
        assert held(admission).handshakes == LIMIT
        assert factory.statistics().accepted == LIMIT
        for speaker in speakers:
            await speaker.tell()
            await shake(speaker)
        assert held(admission) == Held(places=LIMIT + 2)
        assert len(factory.connections) == LIMIT + 2


@pytest.mark.parametrize(("number", "limits"), [(1, {}), (2, {}), (3, {"max_handshakes": 1})])
async def test_up_to_the_limit_nobody_waits(
    autojump_clock: MockClock, number: int, limits: dict[str, int]
) -> None:
    async with serving() as (factory, server):
        for _ in range(number):
            await begin(server)
        assert held(admission_of(factory)).handshakes == min(number, LIMIT)
        assert dict(factory.statistics().limits) == limits


async def test_open_connections_and_plain_ones_are_none(autojump_clock: MockClock) -> None:
    async with serving() as (factory, server):
        for _ in range(3 * LIMIT):
            await shake(await begin(server))
        for _ in range(LIMIT):
            await begin(server)
        plain = [dial(server.addresses[2]) for _ in range(3)]
        assert all([await greeted(peer) for peer in plain])
        assert held(admission_of(factory)).handshakes == LIMIT


async def test_streams_given_to_handle_with_tls_count(autojump_clock: MockClock) -> None:
    async with (
        Factory(Greeter, max_handshakes=1, idle_timeout=None, drain_grace=0) as factory,
        trio.open_nursery() as nursery,
    ):
        speakers = []
        for _ in range(2):
            peer, stream = stream_pair()
            nursery.start_soon(_handle_over_tls, factory, stream)
            speakers.append(Speaker(peer))
            await settle()
        assert held(admission_of(factory)).handshakes == 1
        for speaker in speakers:
            await shake(speaker)
        for speaker in speakers:
            await speaker.peer.aclose()


async def _handle_over_tls(factory: Factory[Any], stream: trio.abc.Stream) -> None:
    await factory.handle(stream, tls=server_context())


# Who gives the place back


async def give_up(peer: SocketPeer) -> None:
    await peer.aclose()


async def reset(peer: SocketPeer) -> None:
    await peer.reset()


async def end(peer: SocketPeer) -> None:
    await peer.send_eof()


async def talk_rubbish(peer: SocketPeer) -> None:
    await peer.send(b"GET / HTTP/1.1\r\n\r\n")


async def say_nothing(peer: SocketPeer) -> None:
    await trio.sleep(10.1)


async def begin_and_give_up(peer: SocketPeer) -> None:
    await Speaker(peer).tell()
    await settle()
    await peer.reset()


async def stop_half_way(peer: SocketPeer) -> None:
    await Speaker(peer).tell()
    await trio.sleep(10.1)


@pytest.mark.parametrize(
    "way", [give_up, reset, end, talk_rubbish, say_nothing, begin_and_give_up, stop_half_way]
)
async def test_a_handshake_that_comes_to_nothing_gives_its_place_back(
    autojump_clock: MockClock, logged_errors: list[Any], way: Any
) -> None:
    async with serving() as (factory, server):
        failing = [dial(server.addresses[number]) for number in range(LIMIT)]
        await settle()
        assert held(admission_of(factory)).handshakes == LIMIT
        late = await begin(server)
        async with trio.open_nursery() as nursery:
            for peer in failing:
                nursery.start_soon(way, peer)
        await settle()
        await shake(late)
        assert held(admission_of(factory)) == Held(places=1)
        statistics = factory.statistics()
        assert (statistics.accepted, statistics.opening, statistics.open) == (LIMIT + 1, 0, 1)
    assert not any(record.exc_info for record in logged_errors)


# At the limit


async def test_one_too_many_can_be_refused(
    autojump_clock: MockClock, logged_errors: list[Any]
) -> None:
    async with serving(at_limit="refuse", refusal=REFUSAL) as (factory, server):
        for _ in range(LIMIT):
            await begin(server)
        for _ in range(3):
            refused = await begin(server)
            assert (await ends(refused.peer))[0] == b""
        assert dict(factory.statistics().refused) == {"max_handshakes": 3}
        plain = dial(server.addresses[2])
        assert await greeted(plain)


async def test_one_too_many_can_be_told_so_in_a_handshake_that_does_not_count(
    autojump_clock: MockClock,
) -> None:
    async with serving(at_limit="refuse", refusal=TriesLater) as (factory, server):
        waiting = [await begin(server) for _ in range(LIMIT)]
        refused = await begin(server)
        with trio.fail_after(5):
            await refused.shake()
            assert await refused.receive_all() == REFUSAL
        assert not refused.was_reset
        assert held(admission_of(factory)).handshakes == LIMIT
        for speaker in waiting:
            await shake(speaker)


async def test_one_too_many_can_wait_accepted(autojump_clock: MockClock) -> None:
    async with serving(refuse_after=3) as (factory, server):
        speakers = [await begin(server) for _ in range(LIMIT + 2)]
        assert held(admission_of(factory)) == Held(places=LIMIT, handshakes=LIMIT, waiting=2)
        await shake(speakers[0])
        await trio.sleep(3.1)
        await shake(speakers[LIMIT])
        assert (await ends(speakers[LIMIT + 1].peer))[0] == b""
        assert dict(factory.statistics().refused) == {"max_handshakes": 1}


async def test_handshakes_that_stand_still_keep_plain_peers_out_of_nothing(
    autojump_clock: MockClock,
) -> None:
    """500 that are abandoned half-way, and a healthy peer beside them."""
    async with serving(max_connections=50) as (factory, server):
        for _ in range(500):
            await Speaker(dial(server.addresses[0])).tell()
        await settle()
        assert held(admission_of(factory)) == Held(places=LIMIT, handshakes=LIMIT)
        plain = [dial(server.addresses[2]) for _ in range(40)]
        assert all([await greeted(peer) for peer in plain])


async def test_a_connection_that_is_refused_after_its_proxy_header_is_in_no_handshake(
    autojump_clock: MockClock,
) -> None:
    factory = Factory(Greeter, max_per_peer=1, max_handshakes=2, idle_timeout=None)
    async with open_server(factory, _proxied(), grace=0) as server:
        first = await begin_behind_proxy(server)
        await shake(first)
        for _ in range(5):
            refused = await begin_behind_proxy(server)
            assert (await ends(refused.peer))[0] == b""
        assert held(admission_of(factory)) == Held(1, 0, held(admission_of(factory)).peers)


async def begin_behind_proxy(server: Server[Any]) -> Speaker:
    speaker = await begin(server)
    await speaker.peer.send(b"PROXY TCP4 192.0.2.1 198.51.100.1 1111 2222\r\n")
    await settle()
    return speaker


def _proxied() -> Any:

    return ProxyServerEndpoint(OverTLS(LOOPBACK), parse_networks("127.0.0.0/8"))
