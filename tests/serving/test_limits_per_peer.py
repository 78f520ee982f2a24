"""The limit of one peer's connections: who is one peer, and who is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import SocketPeer
from tests.endpoints.sockets import dial_unix
from tests.serving.conversations import LOOPBACK, Greeter, dial, settle
from tests.serving.limited import (
    REFUSAL,
    Held,
    admission_of,
    check_at_rest,
    ends,
    greeted,
    held,
    stream_pair,
)
from tests.serving.test_listeners import offer
from trioproto import Factory, Server, open_server
from trioproto.events import Event, LimitReached, Refused
from trioproto.testing import MemoryListener
from trioproto.testing.conformance.peer import Peer

LIMIT = 2
PROXIED = f"haproxy:trusted=127.0.0.0/8:{LOOPBACK}"


async def leave(*peers: Peer) -> None:
    for peer in peers:
        await peer.aclose()
    await settle()


async def test_a_peer_may_have_as_many_as_the_limit_and_not_one_more() -> None:
    factory = Factory(Greeter, max_per_peer=LIMIT)
    async with open_server(factory, LOOPBACK) as server:
        admission = admission_of(factory)
        peers = []
        for _ in range(LIMIT):
            peers.append(dial(server.addresses[0]))
            assert await greeted(peers[-1])
        for _ in range(3):
            assert (await ends(dial(server.addresses[0])))[0] == b""
        assert list(held(admission).peers.values()) == [LIMIT]
        assert held(admission).places == LIMIT
        other = dial(server.addresses[0], "127.0.0.2")
        assert await greeted(other)
        await leave(peers[0])
        again = dial(server.addresses[0])
        assert await greeted(again)
        await leave(again, other, *peers[1:])
        check_at_rest(factory, admission)


async def test_the_limit_is_exact_over_all_listeners() -> None:
    factory = Factory(Greeter, max_per_peer=LIMIT)
    async with open_server(factory, LOOPBACK, LOOPBACK) as server:
        peers = [dial(server.addresses[number % 2]) for number in range(3 * LIMIT)]
        await settle()
        assert len(factory.connections) == LIMIT
        assert [peer.take() for peer in peers].count(b"hello") == LIMIT
        await leave(*peers)
        check_at_rest(factory, admission_of(factory))


@pytest.mark.parametrize(
    ("prefix", "same", "others"),
    [
        (32, "127.0.0.1", ["127.0.0.2", "127.0.0.255", "127.1.0.1"]),
        (31, "127.0.0.3", ["127.0.0.1", "127.0.0.4"]),
        (24, "127.0.0.254", ["127.0.1.1", "127.1.0.1"]),
        (8, "127.255.255.254", []),
        (0, "127.77.0.1", []),
    ],
)
async def test_a_prefix_makes_one_peer_of_a_network(
    prefix: int, same: str, others: list[str]
) -> None:
    one = "127.0.0.2" if prefix == 31 else "127.0.0.1"
    factory = Factory(Greeter, max_per_peer=1, ipv4_prefix=prefix)
    async with open_server(factory, LOOPBACK) as server:
        first = dial(server.addresses[0], one)
        assert await greeted(first)
        assert not await greeted(dial(server.addresses[0], same))
        peers = [dial(server.addresses[0], other) for other in others]
        assert all([await greeted(peer) for peer in peers])
        await leave(first, *peers)
        check_at_rest(factory, admission_of(factory))


# Behind a proxy


async def via_proxy(server: Server[Any], header: bytes) -> SocketPeer:
    peer = dial(server.addresses[0])
    await peer.send(header)
    await settle()
    return peer


def tcp4(host: str) -> bytes:
    return f"PROXY TCP4 {host} 198.51.100.1 1111 2222\r\n".encode()


def tcp6(host: str) -> bytes:
    return f"PROXY TCP6 {host} 2001:db8::1 1111 2222\r\n".encode()


async def test_peers_behind_one_proxy_are_told_apart() -> None:
    factory = Factory(Greeter, max_per_peer=1)
    async with open_server(factory, PROXIED) as server:
        peers = [await via_proxy(server, tcp4(f"192.0.2.{number}")) for number in range(5)]
        assert all([await greeted(peer) for peer in peers])
        too_many = await via_proxy(server, tcp4("192.0.2.3"))
        assert (await ends(too_many))[0] == b""
        assert len(factory.connections) == 5
        await leave(*peers)
        check_at_rest(factory, admission_of(factory))


@pytest.mark.parametrize(
    ("settings", "one", "same", "other"),
    [
        ({}, tcp6("2001:db8:1:1::1"), tcp6("2001:db8:1:1:f::2"), tcp6("2001:db8:1:2::1")),
        (
            {"ipv6_prefix": 48},
            tcp6("2001:db8:1:1::1"),
            tcp6("2001:db8:1:ffff::1"),
            tcp6("2001:db8:2:1::1"),
        ),
        ({"ipv6_prefix": 128}, tcp6("2001:db8::1"), tcp6("2001:db8:0::1"), tcp6("2001:db8::2")),
        ({}, tcp4("192.0.2.1"), tcp6("::ffff:192.0.2.1"), tcp6("::ffff:192.0.2.2")),
        ({"ipv4_prefix": 24}, tcp6("::ffff:c000:201"), tcp4("192.0.2.9"), tcp4("192.0.3.1")),
        ({"ipv4_prefix": 0, "ipv6_prefix": 0}, tcp4("1.2.3.4"), tcp4("9.8.7.6"), tcp6("::1")),
    ],
)
async def test_the_addresses_of_proxy_headers_are_grouped_as_any(
    settings: dict[str, Any], one: bytes, same: bytes, other: bytes
) -> None:
    factory = Factory(Greeter, max_per_peer=1, **settings)
    async with open_server(factory, PROXIED) as server:
        first = await via_proxy(server, one)
        assert await greeted(first)
        assert not await greeted(await via_proxy(server, same))
        third = await via_proxy(server, other)
        assert await greeted(third)
        await leave(first, third)
        check_at_rest(factory, admission_of(factory))


async def test_a_proxy_that_does_not_say_who_comes_is_the_peer_itself() -> None:
    factory = Factory(Greeter, max_per_peer=1)
    async with open_server(factory, PROXIED) as server:
        first = await via_proxy(server, b"PROXY UNKNOWN\r\n")
        assert await greeted(first)
        assert not await greeted(await via_proxy(server, tcp4("127.0.0.1")))
        second = dial(server.addresses[0], "127.0.0.2")
        await second.send(b"PROXY UNKNOWN\r\n")
        assert await greeted(second)
        await leave(first, second)


async def test_whose_header_has_not_come_is_nobody_yet(autojump_clock: object) -> None:
    factory = Factory(Greeter, max_per_peer=1)
    async with open_server(factory, PROXIED) as server:
        admission = admission_of(factory)
        silent = [dial(server.addresses[0]) for _ in range(5)]
        await settle()
        assert held(admission) == Held(places=5)
        await trio.sleep(11)
        check_at_rest(factory, admission)
        await leave(*silent)


# Not over the internet


async def test_unix_peers_are_told_apart_by_their_user(tmp_path: Path) -> None:
    path = tmp_path / "x"
    factory = Factory(Greeter, max_per_peer=1)
    async with open_server(factory, f"unix:{path}", LOOPBACK) as server:
        first = dial_unix(path)
        assert await greeted(first)
        second = dial_unix(path)
        assert (await ends(second))[0] == b""
        over_tcp = dial(server.addresses[1])
        assert await greeted(over_tcp)
        await leave(first, second, over_tcp)
        check_at_rest(factory, admission_of(factory))


async def test_peers_of_whom_nothing_is_known_are_not_counted() -> None:
    listener = MemoryListener()
    factory = Factory(Greeter, max_per_peer=1)
    async with open_server(factory, listener):
        peers = [await offer(listener) for _ in range(5)]
        for peer in peers:
            assert await peer.receive_exactly(5) == b"hello"
        assert held(admission_of(factory)) == Held(places=5)
        await leave(*peers)


async def test_streams_given_to_handle_are_counted_too() -> None:
    factory = Factory(Greeter, max_per_peer=1)
    async with factory, trio.open_nursery() as nursery:
        peers = []
        for _ in range(2):
            peer, stream = stream_pair()
            nursery.start_soon(factory.handle, stream)
            peers.append(peer)
            await settle()
        assert await greeted(peers[0])
        assert (await ends(peers[1]))[0] == b""
        await leave(*peers)
        check_at_rest(factory, admission_of(factory))


# What is said and counted


async def test_who_is_refused_is_told_and_counted() -> None:
    events: list[Event] = []
    factory = Factory(Greeter, max_per_peer=1, refusal=REFUSAL)
    factory.subscribe(events.append)
    async with open_server(factory, LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await greeted(first)
        refused = [dial(server.addresses[0]) for _ in range(3)]
        await settle()
        assert held(admission_of(factory)) == Held(1, 0, {(4, 0x7F000001): 1}, refusals=3)
        assert [await ends(peer) for peer in refused] == [(REFUSAL, "eof")] * 3
        await leave(first, *refused)
        check_at_rest(factory, admission_of(factory))
    statistics = factory.statistics()
    assert statistics.accepted == statistics.opened == 1
    assert dict(statistics.refused) == {"max_per_peer": 3}
    assert dict(statistics.closed) == {"ConnectionDone": 1}
    assert [each.why for each in events if isinstance(each, Refused)] == ["max_per_peer"] * 3
    (reached,) = [each for each in events if isinstance(each, LimitReached)]
    assert (reached.limit, reached.maximum) == ("max_per_peer", 1)


@pytest.mark.parametrize("at_limit", ["wait", "refuse"])
@pytest.mark.parametrize("refuse_after", [None, 5])
async def test_one_peer_too_many_is_refused_at_once_whatever_the_others_do(
    at_limit: str, refuse_after: float | None
) -> None:
    factory = Factory(
        Greeter, max_per_peer=1, max_connections=2, at_limit=at_limit, refuse_after=refuse_after
    )
    async with open_server(factory, LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await greeted(first)
        for _ in range(5):
            assert (await ends(dial(server.addresses[0])))[0] == b""
        other = dial(server.addresses[0], "127.0.0.2")
        assert await greeted(other)
        await leave(first, other)


async def test_a_flood_from_one_address_keeps_nobody_else_out() -> None:
    factory = Factory(Greeter, max_per_peer=2, max_connections=3)
    async with open_server(factory, LOOPBACK) as server:
        flood = [dial(server.addresses[0], "127.0.0.66") for _ in range(200)]
        healthy = dial(server.addresses[0])
        with trio.fail_after(5):
            assert await healthy.receive_exactly(5) == b"hello"
        await settle()
        assert len(factory.connections) == 3
        await leave(*flood, healthy)
        check_at_rest(factory, admission_of(factory))


@pytest.mark.parametrize(
    "limit",
    [
        {"max_connections": 5},
        {"max_per_peer": 1},
        {"max_handshakes": 1},
        {"max_accept_rate": 1},
        {"soft_limit": 1},
    ],
)
async def test_outside_of_a_scope_no_limit_can_be_kept(limit: dict[str, int]) -> None:
    _, stream = stream_pair()
    with trio.fail_after(5), pytest.raises(RuntimeError, match="limits"):
        await Factory(Greeter, **limit).handle(stream)


async def test_without_a_limit_no_scope_is_needed() -> None:
    peer, stream = stream_pair()
    await peer.aclose()
    with trio.fail_after(5):
        await Factory(Greeter, max_connections=None).handle(stream)


async def test_who_is_refused_uses_up_no_rate(autojump_clock: MockClock) -> None:
    """A flood from one address keeps nobody else waiting."""
    factory = Factory(Greeter, max_per_peer=1, max_accept_rate=1)
    async with open_server(factory, LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await greeted(first)
        await trio.sleep(1)
        for _ in range(20):
            await ends(dial(server.addresses[0]))
        other = dial(server.addresses[0], "127.0.0.2")
        assert await greeted(other)
        assert trio.current_time() < 3
        await leave(first, other)


async def test_who_comes_first_is_let_in(autojump_clock: MockClock) -> None:
    """In the order of accepting, not in that in which tasks happen to begin."""
    factory = Factory(Greeter, max_per_peer=10)
    async with open_server(factory, LOOPBACK) as server:
        server.suspend()
        peers = [dial(server.addresses[0]) for _ in range(20)]
        await settle()
        server.resume()
        await settle()
        assert [peer.take() for peer in peers] == [b"hello"] * 10 + [b""] * 10
        await leave(*peers)


async def test_a_peer_counts_while_it_waits_for_a_place(autojump_clock: MockClock) -> None:
    """So one peer cannot fill the waiting room."""
    factory = Factory(Greeter, max_connections=1, max_per_peer=2, refuse_after=5, idle_timeout=None)
    async with open_server(factory, LOOPBACK) as server:
        admission = admission_of(factory)
        peers = [dial(server.addresses[0]) for _ in range(4)]
        await settle()
        assert held(admission) == Held(1, 0, {(4, 0x7F000001): 2}, waiting=1)
        factory.configure(ipv4_prefix=8)
        assert held(admission) == Held(1, 0, {(4, 0x7F): 2}, waiting=1)
        for peer in peers[2:]:
            assert (await ends(peer))[0] == b""
        await leave(peers[0])
        assert await greeted(peers[1])
        await leave(*peers[1:])
        check_at_rest(factory, admission)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_connections": 1}, "max_connections: the limit of 1 is reached, newcomers wait"),
        (
            {"max_connections": 1, "at_limit": "refuse"},
            "max_connections: the limit of 1 is reached, newcomers are refused",
        ),
        (
            {"max_per_peer": 1},
            "max_per_peer: the limit of 1 is reached by {late}, newcomers are refused",
        ),
    ],
)
async def test_the_log_says_who_has_met_which_limit_and_what_becomes_of_newcomers(
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, Any],
    said: str,
) -> None:
    async with open_server(Factory(Greeter, **settings), LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await greeted(first)
        late = dial(server.addresses[0])
        await settle()
        assert caplog.messages == [said.format(late=late.address)]
        await leave(first, late)
