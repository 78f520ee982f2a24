"""How code ends: DESIGN.md section 3, rule 2.

Three kinds of code (a running async callback, a task, an async
``connection_lost``) by seven endings, a test a cell.
"""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import MockClock

from trioproto.sansio.errors import (
    CloseTimeout,
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    IdleTimeout,
    ServerCancelled,
    ServerDraining,
    WriteTimeout,
)
from trioproto.testing.conformance.features import Feature, each, needs
from trioproto.testing.conformance.peer import Peer, check_same
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting

NEEDS = {Feature.ASYNC_CODE}

REASONS: dict[str, type[ConnectionClosed]] = {
    "eof": ConnectionDone,
    "close": ConnectionDone,
    "reset": ConnectionLost,
    "abort": ConnectionAborted,
    "timeout": IdleTimeout,
    "drain": ServerDraining,
    "cancel": ServerCancelled,
}
ENDINGS = {end: {Feature.SERVER} if end == "drain" else set() for end in REASONS}


class Works(Recorder):
    """Notes how the code that it runs comes to its end."""

    def __init__(self, **acts: Any) -> None:
        super().__init__(**acts)
        self.log: list[str] = []
        self.release = trio.Event()

    async def work(self) -> None:
        self.log.append("begun")
        try:
            await self.release.wait()
            self.log.append("finished")
        except trio.Cancelled:
            self.log.append("cancelled")
            raise

    def connection_lost(self, reason: ConnectionClosed) -> Any:
        self.log.append("lost")
        return super().connection_lost(reason)


class WorksInCallback(Works):
    async def data_received(self, data: bytes) -> None:
        super().data_received(data)
        await self.work()


class WorksInTask(Works):
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.start_soon(self.work)


class WorksAtTheEnd(Works):
    async def connection_lost(self, reason: ConnectionClosed) -> None:
        super().connection_lost(reason)
        await self.work()


async def end(ending: str, peer: Peer, protocol: Works) -> None:
    """End an open connection that has nothing to do."""
    if ending == "eof":
        await peer.send_eof()
    elif ending == "reset":
        await peer.reset()
    elif ending == "timeout":
        protocol.transport.set_timeout(5)
        await peer.pass_time(6)
    elif ending == "drain":
        await peer.service.start_drain(grace=3, force=3)
    elif ending == "cancel":
        peer.service.cancel()
    else:
        getattr(protocol.transport, ending)()
    await peer.settle()


# A running async callback


async def test_eof_does_not_disturb_a_callback_and_is_delivered_after_it(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = WorksInCallback()
    async with connect(protocol) as peer:
        await peer.send(b"go")
        await peer.settle()
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
        await peer.send(b"go")
        await peer.settle()
        await end("close", peer, protocol)
        await peer.pass_time(14)
        assert protocol.log == ["begun"]
        protocol.release.set()
        assert await peer.receive_all() == (b"", "eof")
        await peer.send_eof()
        await peer.settle()
        assert protocol.log == ["begun", "finished", "lost"]
        assert type(protocol.reason) is ConnectionDone


async def test_the_flush_of_a_close_does_not_wait_for_a_callback(connect: Connecting) -> None:
    protocol = WorksInCallback()
    async with connect(protocol, small_buffers=True) as peer:
        await peer.send(b"go")
        await peer.settle()
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
        await peer.send(b"go")
        await peer.settle()
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
        await peer.send(b"go")
        await peer.settle()
        await end("reset", peer, protocol)
        assert protocol.log == ["begun", "cancelled", "lost"]
        assert type(protocol.reason) is ConnectionLost


async def test_a_reset_cancels_a_callback_when_it_writes(connect: Connecting) -> None:
    protocol = WorksInCallback()
    async with connect(protocol) as peer:
        await peer.send(b"go")
        await peer.settle()
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
        await peer.send(b"go")
        await peer.settle()
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
        await peer.send(b"go")
        await peer.settle()
        assert protocol.log == ["begun", "cancelled", "lost"]
        assert type(protocol.reason) is ConnectionAborted


async def test_a_timeout_cancels_a_callback(connect: Connecting, autojump_clock: MockClock) -> None:
    protocol = WorksInCallback()
    async with connect(protocol, small_buffers=True, write_timeout=5) as peer:
        await peer.send(b"go")
        await peer.settle()
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
        await peer.send(b"go")
        await peer.settle()
        await end("abort", peer, protocol)
        assert protocol.log == ["begun", "cancelled", "lost"]


# A task


@each("ending", ENDINGS)
async def test_every_ending_cancels_a_task_before_connection_lost(
    connect: Connecting, autojump_clock: MockClock, ending: str
) -> None:
    protocol = WorksInTask()
    async with connect(protocol) as peer:
        await peer.send(b"go")
        await peer.settle()
        assert protocol.log == ["begun"]
        await end(ending, peer, protocol)
        assert protocol.log[:2] == ["begun", "cancelled"]
        await peer.aclose()
        await peer.settle()
        assert protocol.log == ["begun", "cancelled", "lost"]
        assert type(protocol.reason) is REASONS[ending]


async def test_close_cancels_a_task_although_output_waits(connect: Connecting) -> None:
    protocol = WorksInTask()
    async with connect(protocol, small_buffers=True) as peer:
        await peer.send(b"go")
        await peer.settle()
        protocol.transport.write(bytes(MORE_THAN_FITS))
        protocol.transport.close()
        await peer.settle()
        assert protocol.log == ["begun", "cancelled"]
        data, ending = await peer.receive_all()
        assert (len(data), ending) == (MORE_THAN_FITS, "eof")


async def test_an_eof_that_is_kept_open_does_not_disturb_a_task(connect: Connecting) -> None:
    protocol = WorksInTask(eof_received=lambda _: True)
    async with connect(protocol) as peer:
        await peer.send(b"go")
        await peer.send_eof()
        await peer.settle()
        assert protocol.log == ["begun"]
        protocol.release.set()
        await peer.settle()
        assert protocol.log == ["begun", "finished"]
        protocol.transport.close()
        assert await peer.receive_all() == (b"", "eof")


async def test_a_task_is_not_disturbed_by_a_callback_that_returns(connect: Connecting) -> None:
    protocol = WorksInTask()
    async with connect(protocol) as peer:
        await peer.send(b"go")
        await peer.settle()
        await peer.send(b"go")
        await peer.settle()
        protocol.release.set()
        await peer.settle()
        assert protocol.log == ["begun", "begun", "finished", "finished"]
        assert not protocol.lost


async def test_start_soon_on_a_closing_connection_starts_nothing(connect: Connecting) -> None:
    def close_and_start(self: Recorder) -> None:
        assert isinstance(self, Works)
        self.transport.close()
        self.transport.start_soon(self.work)

    protocol = Works(data_received=close_and_start)
    async with connect(protocol) as peer:
        await peer.send(b"go")
        await peer.settle()
        protocol.transport.start_soon(protocol.work)
        await peer.aclose()
        await peer.settle()
        protocol.transport.start_soon(protocol.work)
        await peer.settle()
    assert protocol.log == ["lost"]


async def test_start_soon_in_connection_lost_starts_nothing(connect: Connecting) -> None:
    protocol = Works(connection_lost=lambda self: self.transport.start_soon(self.work))
    async with connect(protocol) as peer:
        await peer.reset()
        await peer.settle()
    assert protocol.log == ["lost"]


async def test_a_task_may_close_its_own_connection(connect: Connecting) -> None:
    class Says(Recorder):
        def connection_made(self) -> None:
            super().connection_made()
            self.transport.start_soon(self.say, b"bye")

        async def say(self, word: bytes) -> None:
            await trio.lowlevel.checkpoint()
            self.transport.write(word)
            self.transport.close()

    protocol = Says()
    async with connect(protocol) as peer:
        assert await peer.receive_all() == (b"bye", "eof")
        await peer.send_eof()
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone


# An async connection_lost


@needs(Feature.HALF_CLOSE)
@each("ending", ENDINGS)
async def test_an_async_connection_lost_finishes_after_every_ending(
    connect: Connecting, autojump_clock: MockClock, ending: str
) -> None:
    protocol = WorksAtTheEnd()
    async with connect(protocol, cleanup_timeout=2, linger=1) as peer:
        await end(ending, peer, protocol)
        if ending in ("close", "timeout", "drain"):
            await peer.aclose()  # these linger for the peer's EOF
            await peer.settle()
        assert protocol.log == ["lost", "begun"]
        assert type(protocol.reason) is REASONS[ending]
        await peer.pass_time(1)
        assert protocol.log == ["lost", "begun"]
        protocol.release.set()
        await peer.settle()
        assert protocol.log == ["lost", "begun", "finished"]


@each("ending", ENDINGS)
async def test_an_async_connection_lost_has_its_time_after_every_ending(
    connect: Connecting, autojump_clock: MockClock, ending: str
) -> None:
    protocol = WorksAtTheEnd()
    async with connect(protocol, cleanup_timeout=2, linger=1) as peer:
        await end(ending, peer, protocol)
        if ending in ("close", "timeout", "drain"):
            await peer.aclose()
            await peer.settle()
        assert protocol.log == ["lost", "begun"]
        await peer.pass_time(2.5)
        assert protocol.log == ["lost", "begun", "cancelled"]
        assert type(protocol.reason) is REASONS[ending]


async def test_cancellation_during_an_async_connection_lost_lets_it_finish(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = WorksAtTheEnd()
    async with connect(protocol) as peer:
        await end("reset", peer, protocol)
        assert protocol.log == ["lost", "begun"]
        peer.service.cancel()
        await peer.pass_time(1)
        assert protocol.log == ["lost", "begun"]
        protocol.release.set()
        await peer.settle()
        assert protocol.log == ["lost", "begun", "finished"]


async def test_a_hard_cancel_neither_flushes_nor_lingers(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        peer.service.cancel()
        await peer.settle()
        assert type(protocol.reason) is ServerCancelled
        data, ending = await peer.receive_all()
        assert len(data) < MORE_THAN_FITS
        assert ending == "reset"
    assert autojump_clock.current_time() < 1


@needs(Feature.HALF_CLOSE)
async def test_a_cancel_ends_a_flush_and_a_linger_at_once(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    for waiting in (MORE_THAN_FITS, 3):
        protocol = Recorder()
        async with connect(protocol, small_buffers=True) as peer:
            protocol.transport.write(bytes(waiting))
            protocol.transport.close()
            await peer.settle()
            assert not protocol.lost
            peer.service.cancel()
            await peer.settle()
            assert protocol.lost
    assert autojump_clock.current_time() < 1
