"""Closing loses nothing and ends in time.

The rule: docs/callbacks.md, Closing without loss.
"""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trioproto.sansio.errors import CloseTimeout, ConnectionDone, ServerDraining, WriteTimeout
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.peer import check_same
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting


async def test_close_flushes_what_waits_and_ends_with_eof(connect: Connecting) -> None:
    protocol = Recorder()
    data = b"0123456789abcdef" * (MORE_THAN_FITS // 16)
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.write(data)
        protocol.transport.close()
        await peer.settle()
        assert protocol.transport.closing
        assert not protocol.lost
        received, ending = await peer.receive_all()
        check_same(received, data)
        assert ending == "eof"
        await peer.say_eof()
        assert type(protocol.reason) is ConnectionDone


async def test_close_cannot_hang_on_a_peer_that_does_not_read(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, close_timeout=3, write_timeout=None) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        protocol.transport.close()
        await peer.pass_time(3)
        assert not protocol.lost
        await peer.pass_time(1 + MORE_THAN_FITS / (64 << 10))
        assert type(protocol.reason) is CloseTimeout


async def test_a_reply_is_not_destroyed_by_input_that_was_never_read(connect: Connecting) -> None:
    def reply_and_close(self: Recorder) -> None:
        self.transport.write(bytes(MORE_THAN_FITS))
        self.transport.close()

    protocol = Recorder(data_received=reply_and_close)
    async with connect(protocol, read_size=1000) as peer:
        await peer.say(bytes(100_000))
        data, ending = await peer.receive_all()
        assert (len(data), ending) == (MORE_THAN_FITS, "eof")
        await peer.say_eof()
        assert len(protocol.received) in (1000, 16384)  # one read, or one record of TLS
        assert type(protocol.reason) is ConnectionDone


@pytest.mark.parametrize("mebibytes", [1, 2])
async def test_the_flush_has_a_second_more_for_each_64_kib_that_waits(
    connect: Connecting, autojump_clock: MockClock, mebibytes: int
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, write_timeout=None, close_timeout=5) as peer:
        protocol.transport.write(bytes(mebibytes << 20))
        await peer.settle()
        allowance = 5 + protocol.transport.buffered / (64 << 10)
        protocol.transport.close()
        await peer.pass_time(allowance - 1.1)
        assert not protocol.lost
        await peer.pass_time(2.2)
        assert type(protocol.reason) is CloseTimeout


async def test_closing_again_does_not_prolong_the_flush(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, write_timeout=None, close_timeout=3) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        allowance = 3 + protocol.transport.buffered / (64 << 10)
        protocol.transport.close()
        await peer.pass_time(allowance / 2)
        protocol.transport.close()
        await peer.pass_time(allowance / 2 - 1)
        assert not protocol.lost
        protocol.transport.close()
        await peer.pass_time(2)
        assert type(protocol.reason) is CloseTimeout


async def test_a_flush_without_progress_ends_by_the_write_timeout(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, write_timeout=4, close_timeout=100) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        protocol.transport.close()
        await peer.pass_time(3)
        assert not protocol.lost
        await peer.pass_time(2)
        assert type(protocol.reason) is WriteTimeout
        _, ending = await peer.receive_all()
        assert ending == "reset"


@needs(Feature.ASYNC_CODE)  # the harness' peer takes all at once
async def test_a_flush_with_progress_outlives_the_write_timeout(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, write_timeout=4, close_timeout=100) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        protocol.transport.close()
        received = 0
        for turn in range(1, 6):
            await peer.pass_time(3)
            while received < turn * MORE_THAN_FITS // 8:  # enough to be seen as progress
                received += len(await peer.receive_some())
        data, ending = await peer.receive_all()
        assert (received + len(data), ending) == (MORE_THAN_FITS, "eof")


@needs(Feature.SERVER)
async def test_a_drains_deadline_overrides_that_of_the_flush(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(
        protocol, small_buffers=True, write_timeout=None, close_timeout=1000
    ) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        protocol.transport.close()
        await peer.service.start_drain(grace=3, force=2)
        await peer.pass_time(2.5)
        assert not protocol.lost
        await peer.pass_time(3)
        assert protocol.lost
        assert type(protocol.reason) is ServerDraining


async def test_closing_is_true_from_the_call_on(connect: Connecting) -> None:
    seen: list[bool] = []

    def close(self: Recorder) -> None:
        seen.append(self.transport.closing)
        self.transport.close()
        seen.append(self.transport.closing)

    async with connect(Recorder(data_received=close)) as peer:
        await peer.send(b"go")
        await peer.receive_all()
    assert seen == [False, True]


@needs(Feature.ASYNC_CODE)
async def test_nothing_is_left_in_the_run_of_a_connection_that_closed(
    connect: Connecting,
) -> None:
    root = trio.lowlevel.current_root_task()
    assert root is not None

    def tasks(task: trio.lowlevel.Task) -> int:
        return 1 + sum(
            tasks(child) for nursery in task.child_nurseries for child in nursery.child_tasks
        )

    protocol = Recorder()
    async with connect(protocol) as peer:
        open_tasks = tasks(root)
        protocol.transport.close()
        await peer.receive_all()
        await peer.leave()
        assert protocol.lost
        assert tasks(root) < open_tasks


async def test_a_paused_connection_still_discards_while_it_closes(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.pause_reading()
        await peer.say(bytes(100_000))
        protocol.transport.write(bytes(MORE_THAN_FITS))
        protocol.transport.close()
        data, ending = await peer.receive_all()
        assert (len(data), ending) == (MORE_THAN_FITS, "eof")
        await peer.say_eof()
        assert protocol.received == b""
        assert type(protocol.reason) is ConnectionDone
