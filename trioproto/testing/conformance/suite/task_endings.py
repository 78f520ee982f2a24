"""How a task ends.

The rule: docs/endings.md, How code ends.
"""

from __future__ import annotations

import trio
from trio.testing import MockClock

from trioproto.sansio.errors import ConnectionDone
from trioproto.testing.conformance.features import Feature, each
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting
from trioproto.testing.conformance.working import ENDINGS, REASONS, Works, WorksInTask, end

NEEDS = {Feature.ASYNC_CODE}


@each("ending", ENDINGS)
async def test_every_ending_cancels_a_task_before_connection_lost(
    connect: Connecting, autojump_clock: MockClock, ending: str
) -> None:
    protocol = WorksInTask()
    async with connect(protocol) as peer:
        await peer.say(b"go")
        assert protocol.log == ["begun"]
        await end(ending, peer, protocol)
        assert protocol.log[:2] == ["begun", "cancelled"]
        await peer.leave()
        assert protocol.log == ["begun", "cancelled", "lost"]
        assert type(protocol.reason) is REASONS[ending]


async def test_close_cancels_a_task_although_output_waits(connect: Connecting) -> None:
    protocol = WorksInTask()
    async with connect(protocol, small_buffers=True) as peer:
        await peer.say(b"go")
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
        await peer.say_eof()
        assert protocol.log == ["begun"]
        protocol.release.set()
        await peer.settle()
        assert protocol.log == ["begun", "finished"]
        protocol.transport.close()
        assert await peer.receive_all() == (b"", "eof")


async def test_a_task_is_not_disturbed_by_a_callback_that_returns(connect: Connecting) -> None:
    protocol = WorksInTask()
    async with connect(protocol) as peer:
        await peer.say(b"go")
        await peer.say(b"go")
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
        await peer.say(b"go")
        protocol.transport.start_soon(protocol.work)
        await peer.leave()
        protocol.transport.start_soon(protocol.work)
        await peer.settle()
    assert protocol.log == ["lost"]


async def test_start_soon_in_connection_lost_starts_nothing(connect: Connecting) -> None:
    protocol = Works(connection_lost=lambda self: self.transport.start_soon(self.work))
    async with connect(protocol) as peer:
        await peer.crash()
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
        await peer.say_eof()
        assert type(protocol.reason) is ConnectionDone
