"""How a running async callback ends.

The rule: docs/endings.md, How code ends.
"""

from __future__ import annotations

import trio
from trio.testing import MockClock

from trioproto.sansio.errors import (
    CloseTimeout,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    WriteTimeout,
)
from trioproto.testing.conformance.features import Feature, each, needs
from trioproto.testing.conformance.peer import check_same
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting
from trioproto.testing.conformance.working import ENDINGS, REASONS, Works, WorksInCallback, end

NEEDS = {Feature.ASYNC_CODE}

# A running async callback


async def test_eof_does_not_disturb_a_callback_and_is_delivered_after_it(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = WorksInCallback()
    async with connect(protocol) as peer:
        await peer.say(b"go")
        await end("eof", peer, protocol)
        await peer.pass_time(100)
        assert protocol.log == ["begun"]
        assert protocol.heard == ["connection_made", "data_received"]
        protocol.release.set()
        await peer.settle()
        assert protocol.log == ["begun", "finished", "lost"]
        assert protocol.heard[2:] == ["eof_received", "connection_lost"]
        assert type(protocol.reason) is ConnectionDone


async def test_close_does_not_disturb_a_callback(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = WorksInCallback()
    async with connect(protocol, close_timeout=15) as peer:
        await peer.say(b"go")
        await end("close", peer, protocol)
        await peer.pass_time(14)
        assert protocol.log == ["begun"]
        protocol.release.set()
        assert await peer.receive_all() == (b"", "eof")
        await peer.say_eof()
        assert protocol.log == ["begun", "finished", "lost"]
        assert type(protocol.reason) is ConnectionDone


async def test_the_flush_of_a_close_does_not_wait_for_a_callback(connect: Connecting) -> None:
    protocol = WorksInCallback()
    async with connect(protocol, small_buffers=True) as peer:
        await peer.say(b"go")
        data = bytes(MORE_THAN_FITS)
        protocol.transport.write(data)
        protocol.transport.close()
        check_same(await peer.receive_exactly(MORE_THAN_FITS), data)
        assert protocol.log == ["begun"]
        protocol.release.set()
        assert await peer.receive_all() == (b"", "eof")


async def test_a_callback_that_closes_its_connection_flushes_before_it_returns(
    connect: Connecting,
) -> None:
    class Closes(Works):
        async def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.write(b"bye")
            self.transport.close()
            await self.work()

    protocol = Closes()
    async with connect(protocol) as peer:
        await peer.send(b"go")
        assert await peer.receive_exactly(3) == b"bye"
        assert protocol.log == ["begun"]
        protocol.release.set()
        assert await peer.receive_all() == (b"", "eof")


async def test_a_callback_is_cancelled_when_close_has_taken_too_long(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = WorksInCallback()
    async with connect(protocol, close_timeout=5, linger=2) as peer:
        await peer.say(b"go")
        await end("close", peer, protocol)
        await peer.pass_time(4.5)
        assert protocol.log == ["begun"]
        await peer.pass_time(1)
        assert protocol.log[:2] == ["begun", "cancelled"]
        await peer.pass_time(3)
        assert protocol.log == ["begun", "cancelled", "lost"]
        assert type(protocol.reason) in (CloseTimeout, ConnectionDone)


@needs(Feature.SEES_RESETS)  # others notice it at the next read or write, below
async def test_a_reset_cancels_a_callback_at_once(connect: Connecting) -> None:
    protocol = WorksInCallback()
    async with connect(protocol) as peer:
        await peer.say(b"go")
        await end("reset", peer, protocol)
        assert protocol.log == ["begun", "cancelled", "lost"]
        assert type(protocol.reason) is ConnectionLost


async def test_a_reset_cancels_a_callback_when_it_writes(connect: Connecting) -> None:
    protocol = WorksInCallback()
    async with connect(protocol) as peer:
        await peer.say(b"go")
        await end("reset", peer, protocol)
        protocol.transport.write(b"anyone?")
        await peer.settle()
        assert protocol.log == ["begun", "cancelled", "lost"]
        assert type(protocol.reason) is ConnectionLost


@each("ending", {end: ENDINGS[end] for end in ("abort", "drain", "cancel")})
async def test_a_hard_end_cancels_a_callback(
    connect: Connecting, autojump_clock: MockClock, ending: str
) -> None:
    protocol = WorksInCallback()
    async with connect(protocol) as peer:
        await peer.say(b"go")
        await end(ending, peer, protocol)
        if ending == "drain":
            await peer.pass_time(2)
            assert protocol.log == ["begun"]
            await peer.pass_time(2)
        assert protocol.log == ["begun", "cancelled", "lost"]
        assert type(protocol.reason) is REASONS[ending]


async def test_an_abort_by_the_callback_itself_cancels_it(connect: Connecting) -> None:
    class Aborts(WorksInCallback):
        async def data_received(self, data: bytes) -> None:
            self.transport.abort()
            await super().data_received(data)

    protocol = Aborts()
    async with connect(protocol) as peer:
        await peer.say(b"go")
        assert protocol.log == ["begun", "cancelled", "lost"]
        assert type(protocol.reason) is ConnectionAborted


async def test_a_timeout_cancels_a_callback(connect: Connecting, autojump_clock: MockClock) -> None:
    protocol = WorksInCallback()
    async with connect(protocol, small_buffers=True, write_timeout=5) as peer:
        await peer.say(b"go")
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.pass_time(4)
        assert protocol.log == ["begun"]
        await peer.pass_time(2)
        assert protocol.log == ["begun", "cancelled", "lost"]
        assert type(protocol.reason) is WriteTimeout


async def test_a_callback_that_catches_its_cancellation_cannot_swallow_it(
    connect: Connecting,
) -> None:
    class Stubborn(WorksInCallback):
        async def work(self) -> None:
            try:
                await super().work()
            finally:
                with trio.move_on_after(1):
                    await trio.lowlevel.checkpoint()
                    self.log.append("awaited")

    protocol = Stubborn()
    async with connect(protocol) as peer:
        await peer.say(b"go")
        await end("abort", peer, protocol)
        assert protocol.log == ["begun", "cancelled", "lost"]
