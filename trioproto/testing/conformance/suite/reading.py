"""An EOF comes in its order, a reset at once, and neither makes anything spin.

That nothing spins is shown by ``settle()``: it returns only when all tasks sleep.

The rule: docs/callbacks.md, The peer's EOF.
"""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trioproto.framing import LineReceiver
from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import (
    ConnectionDone,
    ConnectionLost,
    IdleTimeout,
    IncompleteFrame,
    WriteTimeout,
)
from trioproto.testing.conformance.features import Feature, lacks, needs
from trioproto.testing.conformance.recorder import Recorder, keep_open
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting, Serving, in_turn


@needs(Feature.SEES_RESETS)
async def test_a_paused_connection_notices_a_reset_at_once(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.pause_reading()
        await peer.settle()
        await peer.crash()
        assert type(protocol.reason) is ConnectionLost


@needs(Feature.SEES_RESETS)
async def test_a_reset_behind_unread_data_is_noticed_at_once(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.pause_reading()
        await peer.say(b"unread")
        await peer.crash()
        assert type(protocol.reason) is ConnectionLost
        assert protocol.received == b""


async def test_a_paused_connection_notices_a_reset_at_the_next_read(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.pause_reading()
        await peer.settle()
        await peer.crash()
        protocol.transport.resume_reading()
        await peer.settle()
        assert type(protocol.reason) is ConnectionLost


async def test_a_paused_connection_remembers_a_fin_and_delivers_it_in_order(
    connect: Connecting,
) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.pause_reading()
        await peer.send(b"before the end")
        await peer.say_eof()
        assert protocol.heard == ["connection_made"]
        protocol.transport.resume_reading()
        await peer.settle()
        assert protocol.received == b"before the end"
        assert protocol.heard[:3] == ["connection_made", "data_received", "eof_received"]
        assert type(protocol.reason) is ConnectionDone


async def test_a_fin_during_a_pause_that_a_callback_made_comes_in_order(
    connect: Connecting,
) -> None:
    protocol = Recorder(data_received=lambda self: self.transport.pause_reading())
    async with connect(protocol, read_size=4) as peer:
        await peer.send(b"onetwo")
        await peer.say_eof()
        if protocol.received == b"one" + b"t":
            protocol.transport.resume_reading()
            await peer.settle()
        assert protocol.received == b"onetwo"
        assert "eof_received" not in protocol.heard
        protocol.transport.resume_reading()
        await peer.settle()
        assert protocol.heard[-2:] == ["eof_received", "connection_lost"]


async def test_a_paused_connection_can_still_write_after_a_fin(connect: Connecting) -> None:
    protocol = Recorder(eof_received=keep_open)
    async with connect(protocol) as peer:
        protocol.transport.pause_reading()
        await peer.say_eof()
        protocol.transport.write(b"still here")
        assert await peer.receive_exactly(10) == b"still here"
        assert protocol.heard == ["connection_made"]
        protocol.transport.close()  # paused, a stream would not notice the peer's end


@needs(Feature.HALF_CLOSE)
async def test_a_paused_connection_closed_on_both_sides_does_not_spin(
    connect: Connecting,
) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.pause_reading()
        protocol.transport.write_eof()
        await peer.settle()
        await peer.send(b"unread")
        await peer.say_eof()
        assert protocol.received == b""
        protocol.transport.resume_reading()
        await peer.settle()
        assert protocol.received == b"unread"
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.ASYNC_CODE)
async def test_a_fin_during_an_async_callback_does_not_spin_and_comes_after_it(
    connect: Connecting,
) -> None:
    release = trio.Event()

    async def wait(_: Recorder) -> None:
        await release.wait()

    protocol = Recorder(data_received=wait)
    async with connect(protocol) as peer:
        await peer.say(b"one")
        await peer.send(b"two")
        await peer.say_eof()
        assert protocol.heard == ["connection_made", "data_received"]
        release.set()
        await peer.settle()
        assert protocol.received == b"onetwo"
        assert protocol.heard[-2:] == ["eof_received", "connection_lost"]


async def test_a_fin_while_output_waits_lets_it_be_sent(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        await peer.say_eof()
        data, ending = await peer.receive_all()
        assert (len(data), ending) == (MORE_THAN_FITS, "eof")
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone


async def test_a_request_and_a_fin_at_once_get_the_whole_reply(connect: Connecting) -> None:
    def reply(self: Recorder) -> None:
        self.transport.write(bytes(MORE_THAN_FITS))

    async with connect(Recorder(data_received=reply), small_buffers=True) as peer:
        await peer.send(b"go")
        await peer.send_eof()
        data, ending = await peer.receive_all()
        assert (len(data), ending) == (MORE_THAN_FITS, "eof")


async def test_eof_in_the_middle_of_a_line_is_reported(connect: Connecting) -> None:
    reasons: list[Exception] = []
    lines: list[bytes] = []

    class Lines(LineReceiver):
        def line_received(self, line: bytes) -> None:
            lines.append(line)

        def connection_lost(self, reason: Exception) -> None:
            reasons.append(reason)

    async with connect(Lines()) as peer:
        await peer.send(b"whole\r\nhalf a li")
        await peer.send_eof()
        assert await peer.receive_all() == (b"", "eof")
        await peer.settle()
    (reason,) = reasons
    assert isinstance(reason, IncompleteFrame)
    assert reason.pending == len(b"half a li")
    assert lines == [b"whole"]


async def test_a_reset_in_the_middle_of_a_message_is_a_loss(connect: Connecting) -> None:
    reasons: list[Exception] = []

    class Lines(LineReceiver):
        def line_received(self, line: bytes) -> None:
            raise AssertionError("half a line is none")

        def connection_lost(self, reason: Exception) -> None:
            reasons.append(reason)

    async with connect(Lines()) as peer:
        await peer.say(b"half a li")
        await peer.crash()
    assert [type(reason) for reason in reasons] == [ConnectionLost]


async def test_a_connection_kept_open_after_eof_still_has_an_idle_deadline(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(eof_received=keep_open)
    async with connect(protocol, idle_timeout=10) as peer:
        await peer.send_eof()
        await peer.pass_time(9)
        assert not protocol.transport.closing
        await peer.pass_time(5)
        assert type(protocol.reason) is IdleTimeout


async def test_an_eof_that_is_kept_open_starts_the_idle_time_again_and_a_new_protocol_does_not(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    first, second = Recorder(eof_received=keep_open), Recorder(eof_received=keep_open)
    async with connect(Factory(lambda: first, idle_timeout=10)) as peer:
        await peer.pass_time(5)
        await peer.send_eof()
        await peer.pass_time(6)
        assert not first.transport.closing
        first.transport.switch_protocol(second)
        await peer.pass_time(3)
        assert second.heard == ["connection_made", "eof_received"]
        await peer.pass_time(2)
        assert type(second.reason) is IdleTimeout


async def test_what_is_sent_after_an_eof_that_is_kept_open_starts_the_idle_time_again(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(eof_received=keep_open)
    async with connect(protocol, idle_timeout=10) as peer:
        await peer.say_eof()
        for _ in range(3):
            await peer.pass_time(6)
            protocol.transport.write(b"more")
            await peer.settle()
        await peer.pass_time(9)
        assert not protocol.transport.closing
        await peer.pass_time(2)
        assert type(protocol.reason) is IdleTimeout


async def test_a_connection_kept_open_after_eof_still_has_a_write_deadline(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(eof_received=keep_open)
    async with connect(protocol, small_buffers=True, write_timeout=10) as peer:
        await peer.say_eof()
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.pass_time(9)
        assert not protocol.lost
        await peer.pass_time(2)
        assert type(protocol.reason) is WriteTimeout


async def test_a_chunk_is_never_larger_than_read_size(serving: Serving) -> None:
    protocol = Recorder()
    async with serving(Factory(lambda: protocol, read_size=8)) as service:
        peer = await service.connect()
        for _ in range(8):
            await peer.send(b"eightbts")
        await peer.settle()
        assert protocol.received == b"eightbts" * 8
        assert max(map(len, protocol.chunks)) <= 8


@lacks(Feature.ENCRYPTS)  # where a chunk is a record
@pytest.mark.parametrize("size", [7, 8, 9, 64])
async def test_what_came_at_once_is_read_in_chunks_of_read_size(
    connect: Connecting, size: int
) -> None:
    protocol = Recorder(data_received=lambda self: self.transport.write(self.chunks[-1]))
    data = bytes(range(size))
    async with connect(protocol, read_size=8) as peer:
        await peer.send(data)
        assert await peer.receive_exactly(size) == data
        assert protocol.chunks == [data[start : start + 8] for start in range(0, size, 8)]


async def test_a_peer_that_sends_without_end_does_not_keep_others_waiting(
    serving: Serving,
) -> None:
    protocols = [Recorder(), Recorder(data_received=lambda self: self.transport.write(b"!"))]
    async with serving(in_turn(protocols, read_size=16)) as service:
        busy = await service.connect()
        other = await service.connect()
        await busy.send(bytes(1 << 16))
        await other.send(b"?")
        assert await other.receive_exactly(1) == b"!"
        await busy.settle()
        assert len(protocols[0].received) == 1 << 16
