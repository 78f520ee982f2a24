"""What went wrong once with one certain driver of ours.

What any driver can show of such is in the suite, among the ``combinations``.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.behaviour.drivers import MemoryService, ServerService, SocketPeer, connecting, serving
from trioproto import Factory, Protocol
from trioproto.errors import ConnectionAborted, ConnectionLost
from trioproto.testing import Harness, memory_stream_pair
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import in_turn


async def work_for_ever(_: Recorder) -> None:
    await trio.sleep_forever()


async def test_a_handle_that_is_cancelled_disturbs_no_other_connection() -> None:
    async def handle(
        stream: trio.abc.Stream, factory: Factory[Any], scope: trio.CancelScope
    ) -> None:
        with scope:
            await factory.handle(stream)

    for _ in range(30):  # trio runs the tasks of one tick in any order
        cancelled, other = Recorder(), Recorder()
        factory = in_turn([cancelled, other])
        scope = trio.CancelScope()
        pairs = [trio.testing.memory_stream_pair() for _ in range(2)]
        async with trio.open_nursery() as nursery, factory:
            nursery.start_soon(handle, pairs[0][0], factory, scope)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(factory.handle, pairs[1][0])
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            for _ in range(4):
                cancelled.transport.write(b"x")
                other.transport.write(b"x")
                await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked()
            assert cancelled.lost
            assert not other.lost
            other.transport.close()
            await pairs[1][1].aclose()


async def test_a_cancelled_scope_ends_callbacks_in_other_nurseries_at_once(
    autojump_clock: MockClock,
) -> None:
    protocol = Recorder(connection_made=work_for_ever)
    factory = Factory(lambda: protocol)
    stream, _peer = trio.testing.memory_stream_pair()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            begun = trio.current_time()
            with trio.CancelScope() as scope:
                async with factory:
                    nursery.start_soon(factory.handle, stream)
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
            assert trio.current_time() == begun
    assert trio.current_time() == begun
    protocol.check()


def test_who_was_paused_and_resumes_during_a_drain_is_told_of_it() -> None:
    protocol = Recorder(quiesce=lambda _: None)
    harness = Harness(protocol)
    harness.connect()
    protocol.transport.pause_reading()
    harness.feed(b"request")
    harness.drain()
    protocol.transport.resume_reading()
    assert protocol.heard[-1] == "quiesce"
    assert not harness.reading


async def test_an_async_callback_is_not_begun_once_another_connection_closed_its_own() -> None:
    def close_the_other(_: Recorder) -> None:
        closed.transport.close()

    async def begin(_: Recorder) -> None:
        begun.append(True)

    begun: list[bool] = []
    closed = Recorder(data_received=begin)
    other = Recorder(data_received=close_the_other)
    async with serving("poll", in_turn([closed, other])) as service:
        peers = [await service.connect() for _ in range(2)]
        for peer in peers:  # in the same batch of the poller
            assert isinstance(peer, SocketPeer)
            peer.raw.send(b"x")
        await service.settle()
        assert closed.heard[:2] == ["connection_made", "data_received"]
        assert begun == []
        assert not other.lost


@pytest.mark.parametrize("callback", ["connection_made", "data_received"])
async def test_a_reset_in_the_tick_of_a_drain_cancels_a_callback_at_once(callback: str) -> None:
    protocol = Recorder(**{callback: work_for_ever})
    async with connecting("poll", protocol) as peer:
        await peer.say(b"go")
        service = peer.service
        assert isinstance(service, ServerService)
        service.server.stop()
        await peer.crash()
        assert type(protocol.reason) is ConnectionLost


class Odd(trio.abc.ReceiveStream):
    """Raises what no stream should, when something has come from one."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await self.stream.receive_some(max_bytes)
        raise ValueError("bad bytes")

    async def aclose(self) -> None:
        await self.stream.aclose()


async def test_what_no_stream_should_raise_ends_that_connection_only_and_is_logged(
    logged_errors: list[logging.LogRecord],
) -> None:
    odd, other = Recorder(), Recorder()
    async with serving("memory", in_turn([odd, other])) as service:
        assert isinstance(service, MemoryService)
        ours, stream = memory_stream_pair()
        service.handle(trio.StapledStream(stream, Odd(stream)))
        await service.settle()
        await service.connect()
        await ours.send_all(b"go")
        await service.settle()
        assert type(odd.reason) is ConnectionLost
        assert isinstance(odd.reason.__cause__, ValueError)
        assert not other.lost
    assert len(logged_errors) == 1


async def test_a_reason_raised_often_does_not_grow() -> None:
    protocol = Recorder()
    async with serving("memory", protocol) as service:
        await service.connect()
        protocol.transport.abort()
        await service.settle()
        for _ in range(50):
            with pytest.raises(ConnectionAborted) as raised:
                await protocol.transport.send(b"x")
            assert len(raised.traceback) < 10


class Unused(Protocol):
    pass


def test_a_harness_does_not_change_the_settings_of_its_factory() -> None:
    factory = Factory(Unused)
    settings = factory.settings
    Harness(factory).connect()
    assert factory.settings == settings
