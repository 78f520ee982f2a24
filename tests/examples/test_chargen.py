"""Chargen over sockets, where the kernel's buffers stand between the two ends.

How it is over streams in memory is shown in docs/examples.
"""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

import trioproto
from examples.chargen import ChargenFactory
from tests.behaviour.drivers import connecting, serving
from trioproto.errors import ConnectionDone, ConnectionLost
from trioproto.testing import connected
from trioproto.testing.conformance.peer import Peer


def pattern(count: int) -> bytes:
    """The first bytes of RFC 864's pattern: on line N, characters N to N + 71 of the ring."""
    ring = bytes(range(ord(" "), ord("~") + 1)) * 2
    lines = (ring[number % 95 :][:72] + b"\r\n" for number in range(count // 74 + 1))
    return b"".join(lines)[:count]


def test_pattern_is_the_rfcs() -> None:
    """What the tests compare with begins as the pattern is known to."""
    first, second = pattern(148).splitlines()
    assert first == b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg"
    assert second == first[1:] + b"h"


class Waiting(trio.abc.Instrument):
    """Looks after each step of any task how much waits to be sent."""

    def __init__(self, protocol: trioproto.Protocol) -> None:
        self.protocol = protocol
        self.most = 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.most = max(self.most, self.protocol.transport.buffered)


async def receive(peer: Peer, at_least: int) -> bytes:
    received = b""
    while len(received) < at_least:
        more = await peer.receive_some()
        assert more
        received += more
    return received


@pytest.mark.parametrize("driver", ["stream", "poll"])
async def test_it_waits_for_a_peer_that_does_not_read(driver: str) -> None:
    """It holds at most high_water, serves another meanwhile, and goes on when it is read."""
    factory = ChargenFactory()
    async with serving(driver, factory, small_buffers=True) as service:
        slow = await service.connect()
        (stuck,) = factory.connections
        waiting = Waiting(stuck)
        trio.lowlevel.add_instrument(waiting)
        other = await service.connect()
        received = await receive(other, 200_000)
        assert received == pattern(len(received))
        received = await receive(slow, 200_000)
        assert received == pattern(len(received))
        await slow.settle()
        trio.lowlevel.remove_instrument(waiting)
        assert 0 < stuck.transport.buffered <= waiting.most <= factory.settings.high_water


@pytest.mark.parametrize("driver", ["stream", "poll", "tls"])
async def test_it_throws_away_what_comes_also_while_it_waits(driver: str) -> None:
    """More than any buffer holds is taken from a peer that reads nothing."""
    async with connecting(driver, ChargenFactory(), small_buffers=True) as peer:
        await peer.send(bytes(10_000_000))
        received = await receive(peer, 200_000)
        assert received == pattern(len(received))


async def test_it_hears_a_peer_that_has_stopped_to_read(autojump_clock: MockClock) -> None:
    """Over a stream too, whoever of its tasks was sending when the peer stopped."""
    for _ in range(10):
        async with connected(ChargenFactory(), capacity=1000) as stream:
            for _ in range(300):
                await stream.send_all(b"talk")
                await stream.receive_some()
            await stream.send_all(bytes(100_000))
            stream.reset()


@pytest.mark.parametrize("ending", ["send_eof", "aclose", "reset"])
async def test_it_ends_when_its_peer_does(ending: str) -> None:
    """Carefully or rudely, in mid-stream: it is no error, and nothing of it stays."""
    factory = ChargenFactory()
    async with serving("poll", factory, small_buffers=True) as service:
        peer = await service.connect()
        (protocol,) = factory.connections
        await receive(peer, 1000)
        await getattr(peer, ending)()
        if ending == "send_eof":
            await peer.receive_all()
            await peer.aclose()
        reason = await protocol.transport.wait_closed()
        if ending == "reset":
            assert type(reason) is ConnectionLost
        elif ending == "send_eof":
            assert type(reason) is ConnectionDone
        else:  # with bytes unread, that is a reset on a socket
            assert isinstance(reason, ConnectionDone | ConnectionLost)
        assert len(factory.connections) == 0


async def test_it_ends_in_a_drain_though_its_peer_does_not_read(
    autojump_clock: MockClock,
) -> None:
    """One who reads gets a whole beginning and EOF; one who does not cannot hold the drain."""
    factory = ChargenFactory()
    async with serving("poll", factory, small_buffers=True) as service:
        stuck, reader = await service.connect(), await service.connect()
        begin = await receive(reader, 1000)
        await service.start_drain()
        rest, ending = await reader.receive_all()
        assert (begin + rest, ending) == (pattern(len(begin + rest)), "eof")
        await reader.aclose()
        await stuck.pass_time(21)
        assert len(factory.connections) == 0
