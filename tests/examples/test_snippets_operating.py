"""The code that the pages on limits and drains show does what they say."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from examples.echo import Echo
from tests.behaviour.drivers import SocketPeer
from tests.examples.snippets_operating import (
    Follower,
    Thrifty,
    Upload,
    empty_slowly,
    public_server,
)
from tests.serving.conversations import LOOPBACK, dial, outcome, settle
from trioproto import Factory, open_server
from trioproto.errors import IdleTimeout, PeerTooSlow
from trioproto.testing import Harness


def test_an_upload_has_to_go_on() -> None:
    """Who announces nothing may take its time; who uploads may not be silent, nor dribble."""
    silent, slow = Harness(Upload()), Harness(Upload())
    for harness in (silent, slow):
        harness.connect()
        harness.advance(50)
        harness.feed(b"1000000\r\n")
    silent.advance(6)
    assert type(silent.reason) is IdleTimeout
    for _ in range(30):
        slow.feed(b"x")
        slow.advance(1)
    assert type(slow.reason) is PeerTooSlow


async def echoes(peer: SocketPeer) -> bool:
    await peer.send(b"x")
    return await peer.receive_exactly(1) == b"x"


async def test_a_public_server_tells_the_one_too_many_how_many_are_there() -> None:
    async with open_server(public_server(), LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(20)]
        assert all([await echoes(peer) for peer in peers])
        refused = dial(server.addresses[0])
        assert await outcome(refused) == (b"421 20 are here, try later\r\n", "eof")
        for peer in (*peers, refused):
            await peer.aclose()


async def test_a_crowded_server_gives_up_on_silent_peers_sooner(
    autojump_clock: MockClock,
) -> None:
    factory = Thrifty(soft_limit=3)
    async with open_server(factory, LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(3)]
        await settle()
        assert factory.settings.idle_timeout == 5
        assert await outcome(peers[0]) == (b"", "eof")
        assert 5 <= trio.current_time() < 6
        for peer in peers:
            await peer.aclose()


async def test_a_follower_takes_nobodys_place(autojump_clock: MockClock) -> None:
    factory = Factory(Follower, max_connections=1)
    async with open_server(factory, LOOPBACK) as server:
        follower = dial(server.addresses[0])
        await follower.send(b"follow\r\n")
        await settle()
        other = dial(server.addresses[0])
        await settle()
        await trio.sleep(1000)
        assert len(factory.connections) == 1  # the other was silent for a minute
        for peer in (follower, other):
            await peer.aclose()


async def test_a_server_is_emptied_slowly(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with trio.open_nursery() as nursery, open_server(Factory(Echo), LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(4)]
        assert all([await echoes(peer) for peer in peers])
        nursery.start_soon(empty_slowly, server)
        await settle()
        late = dial(server.addresses[0])
        await settle()
        assert len(server.connections) == 4
        for peer in peers[:2]:
            await peer.aclose()
        await server.wait_closed()
        for peer in (*peers[2:], late):
            await peer.aclose()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3  # with the one that was queued
    assert all(line.endswith(" finished ServerDraining()") for line in lines)
