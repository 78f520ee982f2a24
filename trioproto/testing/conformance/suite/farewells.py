"""How an async ``connection_lost`` ends, and a hard cancel.

The rule: docs/endings.md, How code ends.
"""

from __future__ import annotations

from trio.testing import MockClock

from trioproto.sansio.errors import ServerCancelled
from trioproto.testing.conformance.features import Feature, each, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting
from trioproto.testing.conformance.working import (
    ENDINGS,
    REASONS,
    WorksAtTheEnd,
    end,
    end_wholly,
)

NEEDS = {Feature.ASYNC_CODE}


@needs(Feature.HALF_CLOSE)
@each("ending", ENDINGS)
async def test_an_async_connection_lost_finishes_after_every_ending(
    connect: Connecting, autojump_clock: MockClock, ending: str
) -> None:
    protocol = WorksAtTheEnd()
    async with connect(protocol, cleanup_timeout=2, linger=1) as peer:
        await end_wholly(ending, peer, protocol)
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
        await end_wholly(ending, peer, protocol)
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
