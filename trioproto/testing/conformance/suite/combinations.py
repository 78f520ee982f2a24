"""What went wrong once: in combinations that are rare.

The rule: docs/flow-control.md, Output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trioproto.framing import LineReceiver
from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import (
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    OutboundOverflow,
    ServerDraining,
    WriteTimeout,
)
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Connecting, Serving, in_turn


async def _work_for_ever(_: Recorder) -> None:
    await trio.sleep_forever()


@needs(Feature.ASYNC_CODE, Feature.DRAINS)
async def test_a_callback_that_resumes_reading_during_a_drain_is_still_told_of_it(
    connect: Connecting,
) -> None:
    go_on = trio.Event()

    async def work(self: Recorder) -> None:
        self.transport.pause_reading()
        await go_on.wait()
        self.transport.resume_reading()

    protocol = Recorder(data_received=work)
    async with connect(protocol) as peer:
        await peer.say(b"request")
        await peer.service.start_drain()
        go_on.set()
        await peer.settle()
        await peer.say(b"too late")
        assert protocol.heard == ["connection_made", "data_received", "quiesce"]
        assert protocol.received == b"request"


@needs(Feature.ASYNC_CODE)
async def test_what_others_write_after_the_call_of_send_file_comes_after_the_file(
    connect: Connecting, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"FILE")

    async def reply(self: Recorder) -> None:
        self.transport.write(b"[head]")
        called.set()
        await self.transport.send_file(tmp_path / "file")
        self.transport.write(b"[end]")

    called = trio.Event()
    protocol = Recorder(data_received=lambda self: self.transport.start_soon(reply, self))
    async with connect(protocol) as peer:
        await peer.send(b"go")
        await called.wait()
        protocol.transport.write(b"<after>")
        received = await peer.receive_exactly(len("[head]FILE<after>[end]"))
    assert received.startswith(b"[head]FILE")
    assert received[10:] in (b"<after>[end]", b"[end]<after>")


@needs(Feature.ASYNC_CODE)
async def test_send_file_after_write_eof_sends_nothing_and_harms_nothing(
    connect: Connecting, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"FILE")
    sent: list[int] = []

    async def reply(self: Recorder) -> None:
        self.transport.write(b"all")
        self.transport.write_eof()
        await trio.lowlevel.checkpoint()
        sent.append(await self.transport.send_file(tmp_path / "file"))

    protocol = Recorder(data_received=reply)
    async with connect(protocol) as peer:
        await peer.send(b"go")
        assert await peer.receive_all() == (b"all", "eof")
        await peer.settle()
        assert sent == [0]
        assert not protocol.lost
        await peer.say_eof()
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.ASYNC_CODE)
async def test_a_callback_whose_own_write_is_over_the_total_is_cancelled_at_once(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    async def flood(self: Recorder) -> None:
        while self.transport.buffered < 30_000:
            self.transport.write(bytes(20_000))
            await trio.sleep(0.01)
        times.append(trio.current_time())
        self.transport.write(bytes(150_000))
        try:
            await trio.sleep_forever()
        finally:
            times.append(trio.current_time())

    times: list[float] = []
    protocol = Recorder(data_received=flood)
    async with connect(protocol, small_buffers=True, max_buffered_total=120_000) as peer:
        await peer.send(b"go")
        await peer.pass_time(5)
        assert len(times) == 2
        assert times[0] == times[1]
        assert type(protocol.reason) is OutboundOverflow
        assert (await peer.receive_all())[1] == "reset"


class Answers(LineReceiver):
    """Answers each line with much, in a callback of either kind."""

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async
        self.answered = 0
        self.most_waiting = 0
        self.paused = 0
        self.reasons: list[ConnectionClosed] = []

    def line_received(self, line: bytes) -> Any:
        if self.is_async:
            return self.answer_later()
        return self.answer()

    async def answer_later(self) -> None:
        self.answer()
        await trio.lowlevel.checkpoint()

    def answer(self) -> None:
        self.answered += 1
        self.transport.write(bytes(200_000))
        self.most_waiting = max(self.most_waiting, self.transport.buffered)

    def pause_writing(self) -> None:
        self.paused += 1

    def connection_lost(self, reason: ConnectionClosed) -> None:
        self.reasons.append(reason)


@needs(Feature.ASYNC_CODE)
@pytest.mark.parametrize("is_async", [False, True])
async def test_lines_of_one_chunk_wait_while_much_output_waits(
    connect: Connecting, is_async: bool
) -> None:
    protocol = Answers(is_async=is_async)
    async with connect(protocol, small_buffers=True) as peer:
        await peer.say(b"q\r\n" * 24)
        assert protocol.answered < 8
        assert protocol.paused >= 1
        assert len(await peer.receive_exactly(24 * 200_000)) == 24 * 200_000
        await peer.settle()
        assert protocol.answered == 24
        assert protocol.most_waiting < 1 << 20
        assert protocol.reasons == []


@needs(Feature.ASYNC_CODE)
async def test_the_callback_timeout_is_for_each_line_and_not_for_all_of_a_chunk(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    lines: list[bytes] = []

    class Slow(LineReceiver):
        async def line_received(self, line: bytes) -> None:
            await trio.sleep(0.1)
            lines.append(line)

    async with connect(Slow(), callback_timeout=0.5) as peer:
        await peer.send(b"x\r\n" * 20)
        await peer.pass_time(3)
        assert len(lines) == 20


@needs(Feature.ASYNC_CODE, Feature.SEES_RESETS)
async def test_a_reset_during_an_async_connection_made_cancels_it_at_once(
    serving: Serving,
) -> None:
    protocol = Recorder(connection_made=_work_for_ever)
    async with serving(protocol) as service:
        peer = await service.connect()
        await peer.crash()
        assert type(protocol.reason) is ConnectionLost


@needs(Feature.DRAINS)
async def test_the_idle_clock_stands_still_while_a_drain_reads_nothing(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(quiesce=lambda _: None)
    async with connect(protocol, idle_timeout=0.3) as peer:
        await peer.service.start_drain(grace=10)
        await peer.pass_time(2)
        assert "timed_out" not in protocol.heard
        assert not protocol.lost
        protocol.transport.write(b"done")
        protocol.transport.close()
        assert await peer.receive_all() == (b"done", "eof")
        await peer.say_eof()
        assert type(protocol.reason) in (ConnectionDone, ServerDraining)


@needs(Feature.ASYNC_CODE)
async def test_what_an_async_callback_wrote_counts_no_more_once_it_is_sent(
    serving: Serving,
) -> None:
    async def answer(self: Recorder) -> None:
        self.transport.write(bytes(1000))
        await trio.lowlevel.checkpoint()

    protocols = [Recorder(data_received=answer) for _ in range(4)]
    factory = in_turn(protocols, max_buffered_total=2500)
    async with serving(factory) as service:
        for protocol in protocols:
            peer = await service.connect()
            await peer.send(b"go")
            await peer.receive_exactly(1000)
            await peer.settle()
            assert not protocol.lost
        assert not any(protocol.lost for protocol in protocols)


@needs(Feature.ASYNC_CODE)
async def test_what_is_written_while_the_peer_takes_nothing_counts_too(serving: Serving) -> None:
    """So a broadcast to many that listen slowly is bounded."""
    protocols = [Recorder() for _ in range(3)]
    factory = in_turn(protocols)
    async with serving(factory, small_buffers=True) as service:
        for protocol in protocols:
            await service.connect()
            protocol.transport.write(bytes(1_000_000))
        await service.settle()
        for _ in range(3):
            for protocol in protocols:
                protocol.transport.write(bytes(1000))
            await service.settle()
        assert factory.statistics().buffered == sum(each.transport.buffered for each in protocols)
        for protocol in protocols:
            protocol.transport.abort()


@needs(Feature.ASYNC_CODE)
async def test_output_behind_a_file_that_was_given_up_has_a_deadline(
    serving: Serving, tmp_path: Path, mock_clock: MockClock
) -> None:
    """Time stands still while threads open, read and close the file."""
    path = tmp_path / "large"
    path.write_bytes(bytes(20_000_000))
    scope, written = trio.CancelScope(), trio.Event()

    async def reply(self: Recorder) -> None:
        with scope:
            await self.transport.send_file(path)
        self.transport.write(bytes(1_000_000))
        written.set()

    protocol = Recorder(data_received=reply)
    factory = Factory(lambda: protocol, write_timeout=5, idle_timeout=None)
    async with serving(factory, small_buffers=True) as service:
        peer = await service.connect()
        await peer.send(b"go")
        assert await peer.receive_some()
        await peer.settle()
        scope.cancel()
        await written.wait()
        await peer.settle()
        for _ in range(3):  # what was taken of it may be progress once more
            mock_clock.jump(5)
            await peer.settle()
        assert type(protocol.reason) is WriteTimeout


async def test_the_limit_of_all_output_holds_whoever_has_written_last(serving: Serving) -> None:
    """Also if somebody has more waiting, of which nothing has been counted yet."""
    protocols: list[Recorder] = []

    def write_much(self: Recorder) -> None:
        protocols[0].transport.write(bytes(1600 << 10))
        self.transport.write(bytes(1400 << 10))

    def build() -> Recorder:
        protocols.append(Recorder(data_received=write_much))
        return protocols[-1]

    factory = Factory(build, max_buffered=8 << 20, max_buffered_total=1 << 20)
    async with serving(factory, small_buffers=True) as service:
        await service.connect()
        second = await service.connect()
        await second.say(b"now")
        assert factory.statistics().buffered <= 1 << 20
        assert factory.statistics().closed["OutboundOverflow"] >= 1
