"""Who lets output wait is not read from meanwhile.

The rule: docs/flow-control.md, Output.
"""

from __future__ import annotations

import trio
from trio.testing import MockClock

from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting, Serving, in_turn


def echo(self: Recorder) -> None:
    self.transport.write(self.chunks[-1])


async def test_reading_stops_while_much_output_waits_and_goes_on_after(
    connect: Connecting,
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        await peer.say(b"more")
        assert protocol.received == b""
        await peer.receive_exactly(MORE_THAN_FITS)
        await peer.settle()
        assert protocol.received == b"more"


async def test_without_auto_pause_reading_goes_on(connect: Connecting) -> None:
    protocol = Recorder()
    protocol.auto_pause = False
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        await peer.say(b"more")
        assert protocol.received == b"more"
        assert "pause_writing" in protocol.heard
        await peer.receive_exactly(MORE_THAN_FITS)


async def test_pause_and_resume_writing_alternate(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True) as peer:
        for turn in range(1, 4):
            protocol.transport.write(bytes(MORE_THAN_FITS))
            protocol.transport.write(b"x")
            await peer.settle()
            assert protocol.heard[1:] == ["pause_writing", "resume_writing"] * (turn - 1) + [
                "pause_writing"
            ]
            await peer.receive_exactly(MORE_THAN_FITS + 1)
            await peer.settle()
            assert protocol.heard[1:] == ["pause_writing", "resume_writing"] * turn


@needs(Feature.EXACT_WINDOW)
async def test_the_water_marks_are_exact(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol, high_water=1000, low_water=100) as peer:
        peer.allow(0)
        protocol.transport.write(bytes(1000))
        await peer.say(b"read ")
        assert protocol.transport.buffered == 1000
        assert protocol.heard == ["connection_made", "data_received"]
        protocol.transport.write(b"x")
        await peer.say(b"later")
        assert protocol.heard[2:] == ["pause_writing"]
        peer.allow(900)
        await peer.settle()
        assert protocol.transport.buffered == 101
        assert protocol.heard[2:] == ["pause_writing"]
        assert protocol.received == b"read "
        peer.allow(1)
        await peer.settle()
        assert protocol.heard[2:] == ["pause_writing", "resume_writing", "data_received"]
        assert protocol.received == b"read later"


async def test_our_own_pause_outlives_the_librarys(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.pause_reading()
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        await peer.send(b"more")
        await peer.receive_exactly(MORE_THAN_FITS)
        await peer.settle()
        assert "resume_writing" in protocol.heard
        assert protocol.received == b""
        protocol.transport.resume_reading()
        await peer.settle()
        assert protocol.received == b"more"


async def test_the_librarys_pause_outlives_our_own(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.pause_reading()
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        await peer.send(b"more")
        protocol.transport.resume_reading()
        await peer.settle()
        assert protocol.received == b""
        await peer.receive_exactly(MORE_THAN_FITS)
        await peer.settle()
        assert protocol.received == b"more"


@needs(Feature.HALF_CLOSE)
async def test_reading_can_be_paused_after_our_own_eof_too(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.write_eof()
        protocol.transport.pause_reading()
        await peer.say(b"data")
        assert protocol.received == b""
        protocol.transport.resume_reading()
        await peer.settle()
        assert protocol.received == b"data"


async def test_pausing_is_a_flag_and_not_a_count(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.pause_reading()
        protocol.transport.pause_reading()
        await peer.say(b"data")
        assert protocol.received == b""
        protocol.transport.resume_reading()
        await peer.settle()
        assert protocol.received == b"data"
        protocol.transport.resume_reading()
        protocol.transport.pause_reading()
        await peer.say(b"more")
        assert protocol.received == b"data"
        protocol.transport.close()  # paused, a stream would not notice the peer's end


@needs(Feature.ASYNC_CODE)
async def test_a_running_callback_holds_reading_whatever_the_user_resumes(
    connect: Connecting,
) -> None:
    release = trio.Event()

    async def wait(self: Recorder) -> None:
        self.transport.pause_reading()
        self.transport.resume_reading()
        await release.wait()

    protocol = Recorder(data_received=wait)
    async with connect(protocol) as peer:
        await peer.say(b"one")
        protocol.transport.resume_reading()
        await peer.say(b"two")
        assert protocol.chunks == [b"one"]
        release.set()
        await peer.settle()
        assert protocol.chunks == [b"one", b"two"]


@needs(Feature.ASYNC_CODE)
async def test_a_paused_protocol_takes_a_bounded_amount_from_a_peer_that_goes_on_sending(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, idle_timeout=None) as peer:
        protocol.transport.pause_reading()
        with trio.move_on_after(10) as scope:
            await peer.send(bytes(32 << 20))
        assert scope.cancelled_caught
        assert protocol.received == b""
        protocol.transport.abort()  # paused, a stream would not notice the peer's end


@needs(Feature.ASYNC_CODE)
async def test_an_echo_to_a_peer_that_never_reads_waits_with_bounded_memory(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols = [Recorder(data_received=echo), Recorder(data_received=echo)]
    factory = in_turn(protocols, write_timeout=None, idle_timeout=None)
    async with serving(factory, small_buffers=True) as service:
        deaf = await service.connect()
        with trio.move_on_after(10) as scope:
            await deaf.send(bytes(32 << 20))
        assert scope.cancelled_caught
        assert protocols[0].transport.buffered <= 128 << 10
        other = await service.connect()
        await other.send(b"unaffected")
        assert await other.receive_exactly(10) == b"unaffected"
