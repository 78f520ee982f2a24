"""A rate delays, and changes nothing else: order, end and flow control are as ever.

The rule: docs/throttling.md, What counts.
"""

from __future__ import annotations

from pathlib import Path

import trio
from trio.testing import MockClock

from trioproto.framing import LineReceiver
from trioproto.sansio.errors import ConnectionDone, ConnectionLost
from trioproto.testing.conformance.features import Feature, lacks, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Connecting
from trioproto.testing.conformance.speed import RATE, receiving, take_for
from trioproto.testing.threads import threads_take_no_time

NEEDS = {Feature.RATES}

# What was read is delivered, in order


async def test_nothing_that_was_read_is_held_back(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, receive_rate=RATE) as peer:
        await peer.send(b"a" * RATE + b"b" * RATE)
        for _ in range(8):
            await peer.pass_time(0.3)
            if not protocol.transport.tls:
                assert protocol.transport.bytes_received == len(protocol.received)
        assert protocol.received == b"a" * RATE + b"b" * RATE


async def test_the_peers_eof_comes_after_what_was_sent_before_it(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, receive_rate=RATE) as peer:
        await peer.send(bytes(3 * RATE))
        await peer.send_eof()
        await peer.pass_time(1)
        assert "eof_received" not in protocol.heard
        await peer.pass_time(5)
        assert len(protocol.received) == 3 * RATE
        assert protocol.heard[-2:] == ["eof_received", "connection_lost"]
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.SEES_RESETS)
@lacks(Feature.ENCRYPTS)
async def test_a_reset_is_noticed_at_once_while_reading_waits(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, receive_rate=1) as peer:
        await peer.say(b"unread")
        await peer.crash()
        assert type(protocol.reason) is ConnectionLost


async def test_the_users_pause_and_the_rate_do_not_lift_each_other(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, receive_rate=RATE) as peer:
        await peer.send(bytes(4 * RATE))
        await peer.pass_time(1)
        protocol.transport.pause_reading()
        speed = receiving(protocol)
        await peer.pass_time(10)
        assert speed()[0] <= RATE / 10
        protocol.transport.resume_reading()
        await peer.settle()
        assert speed()[0] <= 1.1 * RATE
        await peer.pass_time(6)
        assert len(protocol.received) == 4 * RATE


@lacks(Feature.ENCRYPTS)
async def test_lines_come_at_the_rate(connect: Connecting, autojump_clock: MockClock) -> None:
    class Lines(LineReceiver):
        def connection_made(self) -> None:
            self.lines: list[bytes] = []

        def line_received(self, line: bytes) -> None:
            self.lines.append(line)

    protocol = Lines()
    async with connect(protocol, receive_rate=100) as peer:
        await peer.send(b"12345678\r\n" * 50)
        await peer.pass_time(2)
        assert 25 <= len(protocol.lines) <= 32
        await peer.pass_time(3)
        assert protocol.lines == [b"12345678"] * 50


# Flow control


async def test_the_water_marks_are_crossed_as_ever(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, send_rate=RATE, high_water=2 * RATE, low_water=RATE) as peer:
        protocol.transport.write(bytes(4 * RATE))
        await peer.settle()
        assert protocol.heard == ["connection_made", "pause_writing"]
        await peer.pass_time(1)
        assert protocol.heard == ["connection_made", "pause_writing"]
        await peer.pass_time(3)
        assert protocol.heard == ["connection_made", "pause_writing", "resume_writing"]


@needs(Feature.ASYNC_CODE)
async def test_send_waits_for_the_rate(connect: Connecting, autojump_clock: MockClock) -> None:
    async def stream(self: Recorder) -> None:
        begun = trio.current_time()
        for _ in range(20):
            await self.transport.send(bytes(RATE // 2))
        self.took = trio.current_time() - begun  # type: ignore[attr-defined]

    protocol = Recorder(data_received=stream)
    async with connect(protocol, send_rate=RATE, high_water=1000, low_water=0) as peer:
        await peer.send(b"go")
        assert await take_for(15, peer) == [10 * RATE]
        assert 8.5 < protocol.took < 9.5  # type: ignore[attr-defined]


@needs(Feature.ASYNC_CODE)
async def test_a_file_is_sent_at_the_rate_and_in_order(
    connect: Connecting, autojump_clock: MockClock, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"f" * 4 * RATE)

    async def send_file(self: Recorder) -> None:
        self.transport.write(b"before")
        assert await self.transport.send_file(path) == 4 * RATE
        self.transport.write(b"after")

    protocol = Recorder(data_received=send_file)
    async with connect(protocol, send_rate=RATE) as peer:
        begun = trio.current_time()
        received = b""
        with threads_take_no_time():  # that read the file
            await peer.send(b"go")
            while not received.endswith(b"after"):
                await peer.pass_time(1)
                received += peer.take()
                assert not protocol.lost
                assert len(received) <= RATE * (1.1 + trio.current_time() - begun)
        assert received == b"before" + b"f" * 4 * RATE + b"after"
