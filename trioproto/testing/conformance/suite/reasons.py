"""Each end has its reason.

The rule: docs/reasons.md, Why a connection ended.
"""

from __future__ import annotations

import errno

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from trioproto.framing import LineReceiver
from trioproto.sansio import errors
from trioproto.sansio.errors import (
    CloseTimeout,
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    FrameTooLong,
    IdleTimeout,
    MalformedFrame,
    OutboundOverflow,
    ServerCancelled,
    ServerDraining,
    WriteTimeout,
)
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting


async def test_the_peers_eof(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        await peer.say_eof()
        assert type(protocol.reason) is ConnectionDone


async def test_our_own_clean_close(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.close()
        await peer.receive_all()
        await peer.say_eof()
        assert type(protocol.reason) is ConnectionDone


async def test_a_broken_connection(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        await peer.crash()
        assert type(protocol.reason) is ConnectionLost
        assert isinstance(protocol.reason.__cause__, OSError | trio.BrokenResourceError)


async def test_our_own_abort(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.abort()
        await peer.settle()
        assert type(protocol.reason) is ConnectionAborted


async def test_a_silent_peer(connect: Connecting, autojump_clock: MockClock) -> None:
    protocol = Recorder()
    async with connect(protocol, idle_timeout=10, linger=1) as peer:
        await peer.pass_time(12)
        assert type(protocol.reason) is IdleTimeout
        assert protocol.reason.seconds == 10


async def test_a_peer_that_does_not_read(connect: Connecting, autojump_clock: MockClock) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, write_timeout=10) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.pass_time(11)
        assert type(protocol.reason) is WriteTimeout
        assert protocol.reason.seconds == 10


async def test_a_peer_that_does_not_read_what_is_flushed(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, write_timeout=None, close_timeout=1) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        protocol.transport.close()
        await peer.pass_time(2 + MORE_THAN_FITS / (64 << 10))
        assert type(protocol.reason) is CloseTimeout


async def test_too_much_output(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, max_buffered=1 << 16) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        protocol.transport.write(b"more")
        await peer.settle()
        assert type(protocol.reason) is OutboundOverflow


async def test_a_frame_that_is_too_long(connect: Connecting) -> None:
    reasons: list[ConnectionClosed] = []

    class Lines(LineReceiver):
        def connection_lost(self, reason: ConnectionClosed) -> None:
            reasons.append(reason)

    async with connect(Lines()) as peer:
        await peer.send(b"x" * 20_000)
        assert await peer.receive_all() == (b"", "eof")
        await peer.say_eof()
    (reason,) = reasons
    assert isinstance(reason, FrameTooLong)
    assert reason.limit == 16384


@needs(Feature.DRAINS)
async def test_a_drain(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        await peer.service.start_drain()
        assert await peer.receive_all() == (b"", "eof")
        await peer.say_eof()
        assert type(protocol.reason) is ServerDraining


async def test_a_cancellation(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        peer.service.cancel()
        await peer.settle()
        assert type(protocol.reason) is ServerCancelled


@needs(Feature.ASYNC_CODE)
async def test_a_callback_that_takes_too_long(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    async def wait(_: Recorder) -> None:
        await trio.sleep_forever()

    protocol = Recorder(data_received=wait)
    async with connect(protocol, callback_timeout=5) as peer:
        await peer.send(b"go")
        await peer.pass_time(4)
        assert not protocol.lost
        await peer.pass_time(2)
        assert type(protocol.reason) is errors.CallbackTimeout


@pytest.mark.parametrize("ending", ["close", "abort"])
async def test_a_reason_of_ones_own(connect: Connecting, ending: str) -> None:
    class NotWelcome(ConnectionClosed):
        pass

    for mine in (NotWelcome("you"), MalformedFrame("no digits", 0)):
        protocol = Recorder()
        async with connect(protocol) as peer:
            getattr(protocol.transport, ending)(mine)
            await peer.receive_all()
            await peer.leave()
            assert protocol.reason is mine


async def test_a_second_close_does_not_change_the_reason(connect: Connecting) -> None:
    mine = ConnectionClosed("mine")
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.close(mine)
        protocol.transport.close(ConnectionClosed("later"))
        await peer.receive_all()
        await peer.say_eof()
        assert protocol.reason is mine


# A loss keeps its cause


async def test_a_reset_is_reported_as_a_loss_with_its_cause(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        await peer.say(b"half a mess")
        await peer.crash()
        assert protocol.received == b"half a mess"
        assert type(protocol.reason) is ConnectionLost
        assert protocol.reason.__cause__ is not None
    assert "eof_received" not in protocol.heard


@needs(Feature.ERROR_NUMBERS)
async def test_a_loss_keeps_its_errno(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        await peer.crash()
        assert error_number(protocol.reason) == errno.ECONNRESET


def error_number(error: BaseException | None) -> int | None:
    """The errno of the first OSError in a chain of causes."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error.errno if error else None


async def test_a_reset_while_output_waits_is_a_loss(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        await peer.crash()
        assert type(protocol.reason) is ConnectionLost


# Those who wait for it


@needs(Feature.ASYNC_CODE)
async def test_wait_closed_gives_the_reason_to_a_task_elsewhere(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        await peer.reset()
        reason = await protocol.transport.wait_closed()
        await peer.settle()
        assert reason is protocol.reason
        assert await protocol.transport.wait_closed() is reason


@needs(Feature.ASYNC_CODE)
async def test_wait_closed_in_a_task_elsewhere_sees_each_end(connect: Connecting) -> None:
    for ending, expected in (("close", ConnectionDone), ("abort", ConnectionAborted)):
        protocol = Recorder()
        seen: list[ConnectionClosed] = []

        async def wait(protocol: Recorder, seen: list[ConnectionClosed]) -> None:
            seen.append(await protocol.transport.wait_closed())

        async with connect(protocol) as peer, trio.open_nursery() as nursery:
            nursery.start_soon(wait, protocol, seen)
            await peer.settle()
            getattr(protocol.transport, ending)()
            await peer.receive_all()
            await peer.leave()
            assert seen == [protocol.reason]
            assert type(protocol.reason) is expected
