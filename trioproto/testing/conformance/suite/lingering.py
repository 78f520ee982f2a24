"""A close waits for the peer to have all of it, but not for long.

The rule: docs/callbacks.md, Closing without loss.
"""

from __future__ import annotations

from trio.testing import MockClock

from trioproto.sansio.errors import ConnectionDone
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting


@needs(Feature.HALF_CLOSE)
async def test_input_during_the_linger_does_not_destroy_the_reply(connect: Connecting) -> None:
    def reply_and_close(self: Recorder) -> None:
        self.transport.write(b"reply")
        self.transport.close()

    protocol = Recorder(data_received=reply_and_close)
    async with connect(protocol) as peer:
        await peer.say(b"go")
        await peer.say(bytes(10_000))
        await peer.say(bytes(10_000))
        assert await peer.receive_all() == (b"reply", "eof")
        assert not protocol.lost


@needs(Feature.HALF_CLOSE)
async def test_it_lingers_for_the_peers_eof_and_no_longer(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, linger=2) as peer:
        protocol.transport.close()
        assert await peer.receive_all() == (b"", "eof")
        await peer.pass_time(1.9)
        assert not protocol.lost
        await peer.pass_time(0.2)
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.HALF_CLOSE)
async def test_the_peers_eof_ends_the_linger(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, linger=1000) as peer:
        protocol.transport.close()
        await peer.pass_time(1)
        assert not protocol.lost
        await peer.say_eof()
        assert type(protocol.reason) is ConnectionDone


async def test_a_reset_during_the_linger_ends_a_close_that_is_clean(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.write(b"reply")
        protocol.transport.close()
        assert await peer.receive_all() == (b"reply", "eof")
        await peer.crash()
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.HALF_CLOSE)
async def test_input_does_not_prolong_the_linger(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, linger=2) as peer:
        protocol.transport.close()
        await peer.settle()
        for _ in range(3):
            await peer.send(b"and another thing")
            await peer.pass_time(0.6)
            assert not protocol.lost
        await peer.send(b"and another thing")
        await peer.pass_time(0.6)
        assert protocol.lost


@needs(Feature.HALF_CLOSE)
async def test_the_linger_is_counted_from_the_shutdown(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, linger=2, write_timeout=None) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        protocol.transport.close()
        await peer.pass_time(5)
        data, ending = await peer.receive_all()
        assert (len(data), ending) == (MORE_THAN_FITS, "eof")
        await peer.pass_time(1.5)
        assert not protocol.lost
        await peer.pass_time(1)
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.HALF_CLOSE_IS_OPTIONAL)
async def test_close_does_not_linger_where_eof_cannot_be_sent_alone(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, half_close=False) as peer:
        protocol.transport.write(b"bye")
        protocol.transport.close()
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone
        assert await peer.receive_all() == (b"bye", "eof")
