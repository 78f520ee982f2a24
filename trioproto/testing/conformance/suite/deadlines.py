"""Whatever the library waits for has its time.

The rule: docs/flow-control.md, Deadlines.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import ConnectionDone, IdleTimeout, WriteTimeout
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.peer import Peer
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting, Serving, in_turn


async def times_out_in(seconds: float, peer: Peer, protocol: Recorder) -> None:
    """See that the protocol is told of a timeout then, to the second, and not before."""
    await peer.pass_time(seconds - 1)
    assert "timed_out" not in protocol.heard
    await peer.pass_time(2)
    assert "timed_out" in protocol.heard


@needs(Feature.HALF_CLOSE)
async def test_a_peer_that_says_nothing_is_closed_after_a_minute(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        await peer.pass_time(59)
        assert not protocol.transport.closing
        await peer.pass_time(2)
        assert protocol.heard == ["connection_made", "timed_out"]
        assert await peer.receive_all() == (b"", "eof")
        await peer.pass_time(3)
        assert type(protocol.reason) is IdleTimeout


async def test_what_the_peer_sends_starts_the_time_again(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, idle_timeout=10) as peer:
        for _ in range(5):
            await peer.pass_time(9)
            await peer.send(b"x")
        await times_out_in(10, peer, protocol)


async def test_no_idle_timeout_when_it_is_off(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, idle_timeout=None) as peer:
        await peer.pass_time(10_000)
        assert protocol.heard == ["connection_made"]


async def test_set_timeout_changes_the_time_of_one_connection(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(connection_made=lambda self: self.transport.set_timeout(5))
    async with connect(protocol) as peer:
        await times_out_in(5, peer, protocol)


async def test_set_timeout_switches_it_off_and_on(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, idle_timeout=10) as peer:
        protocol.transport.set_timeout(None)
        await peer.pass_time(1000)
        assert "timed_out" not in protocol.heard
        protocol.transport.set_timeout(10)
        await times_out_in(10, peer, protocol)


async def test_a_longer_timeout_set_later_counts(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, idle_timeout=10) as peer:
        protocol.transport.set_timeout(100)
        await times_out_in(100, peer, protocol)


async def test_a_shorter_timeout_set_later_counts(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, idle_timeout=1000) as peer:
        await peer.pass_time(10)
        protocol.transport.set_timeout(5)
        await peer.pass_time(6)
        assert "timed_out" in protocol.heard


async def test_timed_out_may_decide_to_go_on_and_is_asked_again(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(timed_out=lambda self: self.transport.write(b"ping"))
    async with connect(protocol, idle_timeout=10) as peer:
        await peer.pass_time(35)
        assert protocol.heard == ["connection_made"] + ["timed_out"] * 3
        assert await peer.receive_exactly(12) == b"ping" * 3
        await peer.say(b"pong")
        assert protocol.received == b"pong"


async def test_the_idle_clock_stands_still_while_output_waits(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, idle_timeout=10, write_timeout=None) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.pass_time(100)
        assert "timed_out" not in protocol.heard
        await peer.receive_exactly(MORE_THAN_FITS)
        await times_out_in(10, peer, protocol)


async def test_output_that_never_waits_does_not_move_the_idle_clock(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, idle_timeout=10) as peer:
        await peer.pass_time(6)
        protocol.transport.write(b"tick")
        await peer.settle()
        await times_out_in(4, peer, protocol)


async def test_the_idle_clock_stands_still_while_the_protocol_pauses_reading(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, idle_timeout=10) as peer:
        protocol.transport.pause_reading()
        await peer.pass_time(100)
        assert "timed_out" not in protocol.heard
        protocol.transport.resume_reading()
        await times_out_in(10, peer, protocol)


@needs(Feature.ASYNC_CODE)
@pytest.mark.parametrize("later", [None, "callback_timeout", "max_age"])
async def test_the_idle_clock_stands_still_while_a_callback_runs(
    later: str | None, connect: Connecting, autojump_clock: MockClock
) -> None:
    release = trio.Event()

    async def wait(_: Recorder) -> None:
        await release.wait()

    protocol = Recorder(data_received=wait)
    others: dict[str, Any] = {} if later is None else {later: 1000}
    async with connect(protocol, idle_timeout=10, **others) as peer:
        await peer.send(b"go")
        await peer.pass_time(100)
        assert "timed_out" not in protocol.heard
        release.set()
        await times_out_in(10, peer, protocol)


@needs(Feature.ASYNC_CODE)  # the harness' peer takes all at once
async def test_a_peer_that_takes_a_little_now_and_then_is_no_write_timeout(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    factory = Factory(lambda: protocol, write_timeout=10)
    async with serving(factory, small_buffers=True) as service:
        peer = await service.connect()
        protocol.transport.write(bytes(MORE_THAN_FITS))
        received = 0
        for turn in range(1, 6):
            await peer.pass_time(8)
            while received < turn * MORE_THAN_FITS // 8:  # enough to be seen as progress
                received += len(await peer.receive_some())
        assert not protocol.lost


async def test_the_write_timeout_starts_with_the_output(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, write_timeout=10, idle_timeout=None) as peer:
        await peer.pass_time(100)
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.pass_time(9)
        assert not protocol.lost
        await peer.pass_time(2)
        assert type(protocol.reason) is WriteTimeout


async def test_no_write_timeout_when_it_is_off(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, write_timeout=None) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.pass_time(1000)
        assert not protocol.lost


async def test_a_deadline_of_a_connection_that_ended_does_nothing(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols = [Recorder(), Recorder()]
    async with serving(in_turn(protocols, idle_timeout=10)) as service:
        first = await service.connect()
        await first.pass_time(5)
        second = await service.connect()
        await first.say_eof()
        assert type(protocols[0].reason) is ConnectionDone
        await second.pass_time(9)
        assert "timed_out" not in protocols[0].heard
        assert "timed_out" not in protocols[1].heard
        await second.pass_time(2)
        assert "timed_out" in protocols[1].heard


async def test_each_connection_has_its_own_time(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols = [Recorder() for _ in range(3)]
    async with serving(in_turn(protocols, idle_timeout=None)) as service:
        for _ in protocols:
            await service.connect()
        for protocol, seconds in zip(protocols, (30, 10, 20), strict=True):
            protocol.transport.set_timeout(seconds)
        for passed in (10, 20, 30):
            await service.pass_time(10 if passed > 10 else 10.5)
            timed_out = [protocol for protocol in protocols if "timed_out" in protocol.heard]
            assert len(timed_out) == passed // 10
        assert "timed_out" in protocols[0].heard


@needs(Feature.HALF_CLOSE)
async def test_a_peer_that_says_nothing_after_our_eof_is_closed_in_time_too(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, idle_timeout=10) as peer:
        protocol.transport.write_eof()
        await peer.pass_time(9)
        assert not protocol.lost
        await peer.pass_time(5)
        assert type(protocol.reason) is IdleTimeout


@needs(Feature.ASYNC_CODE)
async def test_a_callback_that_waits_for_its_own_end_is_ended(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    async def wait(self: Recorder) -> None:
        self.transport.close()
        await self.transport.wait_closed()

    protocol = Recorder(data_received=wait)
    async with connect(protocol, close_timeout=5) as peer:
        await peer.send(b"go")
        await peer.pass_time(10)
        assert protocol.lost
