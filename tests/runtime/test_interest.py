"""While nothing happens nothing runs: no event is reported over and over.

Each test brings a connection into a state in which it must not, or need not,
act on what the socket has to say. Then time passes, and no task but the test's
takes a single step. (A poller that spins would not even let virtual time pass.)
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.behaviour.drivers import MORE_THAN_FITS, Serving
from tests.runtime.standins import Steps
from trioproto.errors import ConnectionDone
from trioproto.testing import threads_take_no_time
from trioproto.testing.conformance.peer import Peer
from trioproto.testing.conformance.recorder import Recorder, keep_open

on_sockets = pytest.mark.parametrize("driver", ["poll", "stream"])

OFF: dict[str, Any] = {"idle_timeout": None, "write_timeout": None}


async def assert_nothing_runs() -> None:
    """Wait for more than an hour."""
    await wait_all_tasks_blocked()
    with Steps() as steps:
        await trio.sleep(5000)
        assert steps.taken == []


@asynccontextmanager
async def connected(serving: Serving, protocol: Recorder, **options: Any) -> AsyncIterator[Peer]:
    async with serving(protocol, **OFF, **options) as service:
        yield await service.connect()


@on_sockets
async def test_an_idle_connection(serving: Serving, autojump_clock: MockClock) -> None:
    async with connected(serving, Recorder()):
        await assert_nothing_runs()


@on_sockets
async def test_a_paused_connection_with_unread_data(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connected(serving, protocol) as peer:
        protocol.transport.pause_reading()
        await peer.settle()
        for _ in range(3):
            await peer.send(b"unread")
            await assert_nothing_runs()
        protocol.transport.resume_reading()
        await peer.settle()
        assert protocol.received == b"unread" * 3


@on_sockets
async def test_a_paused_connection_with_unread_data_and_a_fin(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connected(serving, protocol) as peer:
        protocol.transport.pause_reading()
        await peer.settle()
        await peer.send(b"unread")
        await assert_nothing_runs()
        await peer.send_eof()
        await assert_nothing_runs()
        protocol.transport.resume_reading()
        await peer.settle()
        assert protocol.received == b"unread"
        assert type(protocol.reason) is ConnectionDone


@on_sockets
@pytest.mark.parametrize("first", ["ours", "theirs"])
async def test_a_paused_connection_that_is_hung_up(
    serving: Serving, autojump_clock: MockClock, first: str
) -> None:
    """Both sides have ended: EPOLLHUP, which cannot be masked."""
    protocol = Recorder()
    async with connected(serving, protocol) as peer:
        protocol.transport.pause_reading()
        await peer.settle()
        await peer.send(b"unread")
        if first == "ours":
            protocol.transport.write_eof()
            await peer.settle()
        await peer.send_eof()
        await assert_nothing_runs()
        if first == "theirs":
            protocol.transport.write_eof()
        await assert_nothing_runs()
        protocol.transport.resume_reading()
        await peer.settle()
        assert protocol.received == b"unread"
        assert type(protocol.reason) is ConnectionDone


@on_sockets
async def test_a_connection_paused_and_resumed_again_and_again(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocol = Recorder(data_received=lambda self: self.transport.pause_reading())
    async with connected(serving, protocol) as peer:
        for number in range(1, 6):
            await peer.send(b"some")
            await assert_nothing_runs()
            assert len(protocol.chunks) == number
            await peer.send(b"more")
            await assert_nothing_runs()
            assert len(protocol.chunks) == number
            protocol.transport.resume_reading()
            await peer.settle()
            protocol.transport.resume_reading()
            protocol.chunks[number:] = []


@on_sockets
async def test_a_throttled_connection_with_unread_data_a_fin_and_unsent_output(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connected(serving, protocol, receive_rate=5e-5, send_rate=5e-5) as peer:
        protocol.transport.write(b"123")
        await peer.send(b"123")
        await assert_nothing_runs()
        await peer.send_eof()
        await assert_nothing_runs()
        assert protocol.received in (b"1", b"12")  # a stream is ahead by one
        await trio.sleep(60_000)
        assert protocol.received == b"123"
        assert peer.take() == b"123"


@on_sockets
async def test_a_throttled_callback_that_gives_a_file_up_and_sends_something_else(
    serving: Serving, autojump_clock: MockClock, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"file")

    async def act(self: Recorder) -> None:
        with threads_take_no_time(), trio.move_on_after(10):
            await self.transport.send_file(path)
        await self.transport.send(b"1234")

    protocol = Recorder(data_received=act)
    options: dict[str, Any] = {"send_rate": 5e-5, "high_water": 3, "low_water": 0}
    async with connected(serving, protocol, **options) as peer:
        await peer.send(b"go")
        await trio.sleep(20)
        await assert_nothing_runs()
        assert protocol.transport.buffered == 4
        assert peer.take() == b"f"
        protocol.transport.abort()


@on_sockets
async def test_an_async_callback_with_unread_data_and_a_fin(
    serving: Serving, autojump_clock: MockClock
) -> None:
    release = trio.Event()

    async def wait(_: Recorder) -> None:
        await release.wait()

    protocol = Recorder(data_received=wait)
    async with connected(serving, protocol) as peer:
        await peer.send(b"one")
        await assert_nothing_runs()
        await peer.send(b"two")
        await assert_nothing_runs()
        await peer.send_eof()
        await assert_nothing_runs()
        release.set()
        await peer.settle()
        assert protocol.received == b"onetwo"
        assert protocol.lost


@on_sockets
async def test_a_connection_kept_open_after_the_peers_eof(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocol = Recorder(eof_received=keep_open)
    async with connected(serving, protocol) as peer:
        await peer.send_eof()
        await assert_nothing_runs()
        protocol.transport.write(b"still here")
        await peer.settle()
        await assert_nothing_runs()
        assert peer.take() == b"still here"
        protocol.transport.close()


@on_sockets
async def test_output_that_waits_for_a_peer_that_does_not_read(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connected(serving, protocol, small_buffers=True) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await assert_nothing_runs()
        await peer.send(b"unread")
        await assert_nothing_runs()
        await peer.send_eof()
        await assert_nothing_runs()
        assert protocol.transport.buffered
        assert len(await peer.receive_exactly(MORE_THAN_FITS)) == MORE_THAN_FITS
        await peer.settle()
        assert protocol.received == b"unread"


@on_sockets
async def test_output_that_waits_without_auto_pause_after_the_peers_eof(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocol = Recorder(eof_received=keep_open)
    protocol.auto_pause = False
    async with connected(serving, protocol, small_buffers=True) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.send(b"read")
        await peer.send_eof()
        await assert_nothing_runs()
        assert protocol.received == b"read"
        protocol.transport.abort()


@on_sockets
async def test_a_connection_that_lingers(serving: Serving, autojump_clock: MockClock) -> None:
    protocol = Recorder()
    async with connected(serving, protocol, linger=1e9) as peer:
        protocol.transport.close()
        await peer.pass_time(100)  # an entry for the flush may still be looked at
        await assert_nothing_runs()
        await peer.send(b"discarded")
        await assert_nothing_runs()
        assert not protocol.lost


@on_sockets
async def test_a_flush_that_is_stuck(serving: Serving, autojump_clock: MockClock) -> None:
    protocol = Recorder()
    async with connected(serving, protocol, small_buffers=True, close_timeout=1e9) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        protocol.transport.close()
        await peer.send(b"discarded")
        await peer.send_eof()
        await assert_nothing_runs()
        assert not protocol.lost
        protocol.transport.abort()


@pytest.mark.parametrize("driver", ["poll"])
async def test_a_drain_that_waits_for_its_protocol(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocol = Recorder(quiesce=lambda _: None)
    async with serving(protocol, **OFF) as service:
        peer = await service.connect()
        await service.start_drain(grace=1e9, force=1)
        await peer.send(b"discarded")
        await assert_nothing_runs()
        await peer.send_eof()
        await assert_nothing_runs()
        protocol.transport.close()


@on_sockets
async def test_an_event_costs_the_poller_few_steps(
    serving: Serving, autojump_clock: MockClock
) -> None:
    """One batch, and one look that finds nothing more."""
    protocol = Recorder()
    async with connected(serving, protocol) as peer:
        with Steps() as steps:
            await peer.send(b"x")
            await peer.settle()
        assert protocol.received == b"x"
        assert len(steps.taken) <= 3
