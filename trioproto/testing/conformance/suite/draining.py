"""A drained connection answers what it has accepted, and closes.

The rule: docs/serving.md, Draining.
"""

from __future__ import annotations

import pytest
import trio

from trioproto.framing import LineReceiver
from trioproto.sansio.errors import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ServerDraining,
)
from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting

NEEDS = {Feature.DRAINS}


async def test_an_idle_connection_is_told_and_closed(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        assert not protocol.transport.draining
        await peer.service.start_drain()
        assert protocol.transport.draining
        assert await peer.receive_all() == (b"", "eof")
        await peer.say_eof()
        assert protocol.heard == ["connection_made", "quiesce", "connection_lost"]
        assert type(protocol.reason) is ServerDraining


async def test_quiesce_may_say_good_bye(connect: Connecting) -> None:
    def good_bye(self: Recorder) -> None:
        self.transport.write(b"bye")
        self.transport.close()

    protocol = Recorder(quiesce=good_bye)
    async with connect(protocol) as peer:
        await peer.service.start_drain()
        assert await peer.receive_all() == (b"bye", "eof")
        await peer.say_eof()
        assert type(protocol.reason) in (ConnectionDone, ServerDraining)


async def test_output_that_waits_is_flushed(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        await peer.service.start_drain()
        data, ending = await peer.receive_all()
        assert (len(data), ending) == (MORE_THAN_FITS, "eof")


async def test_a_request_received_before_quiesce_gets_its_whole_reply(
    connect: Connecting,
) -> None:
    def reply(self: Recorder) -> None:
        self.transport.write(bytes(MORE_THAN_FITS))

    protocol = Recorder(data_received=reply)
    async with connect(protocol, small_buffers=True) as peer:
        await peer.send(b"request")
        await peer.service.start_drain()
        data, ending = await peer.receive_all()
        assert (len(data), ending) == (MORE_THAN_FITS, "eof")
        assert protocol.heard.index("data_received") < protocol.heard.index("quiesce")


async def test_later_bytes_are_discarded_unexecuted(connect: Connecting) -> None:
    protocol = Recorder(quiesce=lambda _: None)
    async with connect(protocol) as peer:
        await peer.service.start_drain()
        await peer.say(b"too late")
        assert protocol.received == b""
        protocol.transport.close()
        await peer.send(b"still too late")
        assert await peer.receive_all() == (b"", "eof")
        await peer.say_eof()
    assert protocol.received == b""


async def test_who_overrides_quiesce_closes_when_its_exchange_is_over(
    connect: Connecting,
) -> None:
    protocol = Recorder(quiesce=lambda _: None)
    async with connect(protocol) as peer:
        await peer.service.start_drain()
        assert not protocol.transport.closing
        protocol.transport.write(b"the rest")
        assert await peer.receive_exactly(8) == b"the rest"
        protocol.transport.close()
        assert await peer.receive_all() == (b"", "eof")


async def test_lines_that_were_received_are_delivered_before_quiesce(
    connect: Connecting,
) -> None:
    heard: list[object] = []

    class Lines(LineReceiver):
        def line_received(self, line: bytes) -> None:
            heard.append(line)
            self.send_line(line)

        def quiesce(self) -> None:
            heard.append("quiesce")
            self.transport.close()

    async with connect(Lines()) as peer:
        await peer.send(b"one\r\ntwo\r\nhalf")
        await peer.service.start_drain()
        assert await peer.receive_all() == (b"one\r\ntwo\r\n", "eof")
    assert heard == [b"one", b"two", "quiesce"]


async def test_a_reset_while_draining_is_a_loss(connect: Connecting) -> None:
    protocol = Recorder(quiesce=lambda _: None)
    async with connect(protocol) as peer:
        await peer.service.start_drain()
        await peer.crash()
        protocol.transport.write(b"anyone?")
        await peer.settle()
        assert type(protocol.reason) is ConnectionLost


async def test_quiesce_may_abort(connect: Connecting) -> None:
    protocol = Recorder(quiesce=lambda self: self.transport.abort())
    async with connect(protocol) as peer:
        await peer.service.start_drain()
        assert await peer.receive_all() == (b"", "reset")
        await peer.settle()
        assert type(protocol.reason) is ConnectionAborted


async def test_a_connection_that_is_closing_is_not_told(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.close()
        await peer.settle()
        await peer.service.start_drain()
        assert await peer.receive_all() == (b"", "eof")
        await peer.say_eof()
        assert protocol.heard == ["connection_made", "connection_lost"]
        assert type(protocol.reason) is ConnectionDone


async def test_a_paused_connection_is_drained(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.pause_reading()
        await peer.settle()
        await peer.service.start_drain()
        assert await peer.receive_all() == (b"", "eof")
        await peer.say_eof()
        assert type(protocol.reason) is ServerDraining


class Works(Protocol):
    """Takes its time for each chunk, and notes what is kept for it meanwhile."""

    def __init__(self) -> None:
        self.go_on = trio.Event()
        self.received = 0
        self.most_kept = 0
        self.quiesced_after = 0

    async def data_received(self, data: bytes) -> None:
        self.received += len(data)
        await self.go_on.wait()
        self.most_kept = max(self.most_kept, self.transport.bytes_received - self.received)

    def quiesce(self) -> None:
        self.quiesced_after = self.received
        self.transport.close()


@needs(Feature.ASYNC_CODE, Feature.READS_ON)
@pytest.mark.parametrize("chunks", [1, 5, 14])
async def test_what_the_kernel_has_is_delivered_a_chunk_at_a_time(
    connect: Connecting, chunks: int
) -> None:
    """Each is read when the one before has been worked on, so no more than one is kept."""
    protocol = Works()
    size = 1024
    async with connect(protocol, read_size=size) as peer:
        await peer.say(b"x")
        await peer.say(bytes(chunks * size))
        await peer.service.start_drain()
        protocol.go_on.set()
        await peer.receive_all()
        assert protocol.quiesced_after >= chunks * size
        encrypted = Feature.ENCRYPTS in peer.service.features
        assert protocol.most_kept <= (17 * 1024 if encrypted else size)  # a record, or a chunk


class Replies(Works):
    """Answers each chunk with more than ``high_water``, or pauses for a moment."""

    pauses = False

    async def data_received(self, data: bytes) -> None:
        if not self.received:
            await self.go_on.wait()
        self.received += len(data)
        if self.pauses and self.received > 1:  # in what the drain has read, not before
            self.transport.pause_reading()
            self.transport.start_soon(self.resume)
        else:
            self.transport.write(bytes(4 * len(data)))

    async def resume(self) -> None:
        await trio.lowlevel.checkpoint()
        self.transport.resume_reading()


class Pauses(Replies):
    pauses = True


@needs(Feature.ASYNC_CODE, Feature.READS_ON)
@pytest.mark.parametrize("make", [Replies, Pauses])
async def test_answers_that_are_many_or_a_pause_do_not_end_the_reading_of_the_rest(
    connect: Connecting, make: type[Replies]
) -> None:
    protocol = make()
    async with connect(protocol, read_size=4096, high_water=1024, low_water=0) as peer:
        await peer.say(b"x")
        await peer.say(bytes(40_000))
        await peer.service.start_drain()
        protocol.go_on.set()
        await peer.receive_all()
        assert protocol.quiesced_after == 40_001
