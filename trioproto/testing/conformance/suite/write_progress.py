"""Peers that take little of what waits for them: ``write_timeout``.

The rule: docs/flow-control.md, Output.
"""

from __future__ import annotations

from contextlib import suppress

import trio
from trio.testing import MockClock

from trioproto.sansio.errors import WriteTimeout
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting


@needs(Feature.EXACT_WINDOW)  # the others' kernels and pieces take more than a byte at once
async def test_a_peer_that_takes_a_byte_just_in_time_is_kept_and_one_that_stops_is_not(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, write_timeout=10) as peer:
        peer.allow(0)
        protocol.transport.write(b"x" * 100)
        for _ in range(20):
            await peer.pass_time(9)
            peer.allow(1)
            await peer.settle()
        assert protocol.transport.buffered == 80
        await peer.pass_time(9)
        assert not protocol.lost
        await peer.pass_time(1)
        assert type(protocol.reason) is WriteTimeout
        assert protocol.reason.seconds == 10


async def test_more_output_is_no_progress(connect: Connecting, autojump_clock: MockClock) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, write_timeout=10) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        for _ in range(10):  # a kernel takes a little more at first, whatever the peer does
            await peer.pass_time(3)
            peer.service.do(lambda: protocol.transport.write(b"more"))
        await peer.settle()
        assert type(protocol.reason) is WriteTimeout


async def test_what_the_peer_sends_is_no_progress_of_output(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    protocol.auto_pause = False
    async with connect(protocol, small_buffers=True, write_timeout=10) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        with suppress(OSError, trio.BrokenResourceError):
            for _ in range(10):
                await peer.pass_time(3)
                await peer.send(b"hello")
        await peer.settle()
        assert type(protocol.reason) is WriteTimeout


async def test_no_progress_ends_a_flush_too(connect: Connecting, autojump_clock: MockClock) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, write_timeout=10, close_timeout=100) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        peer.service.do(protocol.transport.close)
        await peer.pass_time(9)
        assert not protocol.lost
        await peer.pass_time(2)
        assert type(protocol.reason) is WriteTimeout
