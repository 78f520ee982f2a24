"""A drain lets code that runs finish, for as long as its deadlines allow.

The rule: docs/serving.md, Draining.
"""

from __future__ import annotations

import trio
from trio.testing import MockClock

from trioproto.framing import LineReceiver
from trioproto.sansio.errors import (
    ServerDraining,
)
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting

NEEDS = {Feature.DRAINS}


@needs(Feature.ASYNC_CODE)
async def test_quiesce_comes_after_the_running_callback(connect: Connecting) -> None:
    release = trio.Event()

    async def reply(self: Recorder) -> None:
        await release.wait()
        self.transport.write(b"reply")

    protocol = Recorder(data_received=reply)
    async with connect(protocol) as peer:
        await peer.say(b"request")
        await peer.service.start_drain()
        assert protocol.transport.draining
        assert protocol.heard == ["connection_made", "data_received"]
        release.set()
        assert await peer.receive_all() == (b"reply", "eof")
        await peer.say_eof()
        assert protocol.heard[2:] == ["quiesce", "connection_lost"]


@needs(Feature.ASYNC_CODE)
async def test_wait_draining_tells_a_long_callback(connect: Connecting) -> None:
    async def until_drained(self: Recorder) -> None:
        await self.transport.wait_draining()
        self.transport.write(b"bye")

    protocol = Recorder(data_received=until_drained)
    async with connect(protocol) as peer:
        await peer.say(b"go")
        assert await peer.received_so_far() == b""
        await peer.service.start_drain()
        assert await peer.receive_all() == (b"bye", "eof")
        assert protocol.transport.draining
        await protocol.transport.wait_draining()


@needs(Feature.ASYNC_CODE)
async def test_wait_draining_tells_a_task(connect: Connecting) -> None:
    async def until_drained(self: Recorder) -> None:
        await self.transport.wait_draining()
        self.transport.write(b"bye")
        self.transport.close()

    protocol = Recorder(
        connection_made=lambda self: self.transport.start_soon(until_drained, self),
        quiesce=lambda _: None,
    )
    async with connect(protocol) as peer:
        await peer.service.start_drain()
        assert await peer.receive_all() == (b"bye", "eof")


@needs(Feature.ASYNC_CODE)
async def test_async_lines_that_were_received_are_all_answered(connect: Connecting) -> None:
    release = trio.Event()
    heard: list[object] = []

    class Lines(LineReceiver):
        async def line_received(self, line: bytes) -> None:
            heard.append(line)
            await release.wait()
            await trio.lowlevel.checkpoint()
            self.send_line(line)

        def quiesce(self) -> None:
            heard.append("quiesce")
            self.transport.close()

    async with connect(Lines()) as peer:
        await peer.say(b"one\r\ntwo\r\nthree\r\n")
        assert heard == [b"one"]
        await peer.service.start_drain()
        assert heard == [b"one"]
        release.set()
        assert await peer.receive_all() == (b"one\r\ntwo\r\nthree\r\n", "eof")
    assert heard == [b"one", b"two", b"three", "quiesce"]


@needs(Feature.ASYNC_CODE)
async def test_an_async_quiesce_may_finish_its_exchange(connect: Connecting) -> None:
    async def finish(self: Recorder) -> None:
        await self.transport.send(bytes(MORE_THAN_FITS))
        self.transport.close()

    protocol = Recorder(quiesce=finish)
    async with connect(protocol, small_buffers=True) as peer:
        await peer.service.start_drain()
        data, ending = await peer.receive_all()
        assert (len(data), ending) == (MORE_THAN_FITS, "eof")


@needs(Feature.ASYNC_CODE, Feature.SERVER)
async def test_after_grace_callbacks_are_cancelled_and_after_force_all_is_aborted(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    log: list[str] = []

    async def stubborn(_: Recorder) -> None:
        try:
            await trio.sleep_forever()
        finally:
            log.append("cancelled")

    protocol = Recorder(data_received=stubborn, quiesce=lambda _: None)
    async with connect(protocol, small_buffers=True, write_timeout=None) as peer:
        protocol.transport.write(b"x")
        await peer.send(b"go")
        await peer.service.start_drain(grace=10, force=5)
        await peer.pass_time(9)
        assert log == []
        await peer.pass_time(2)
        assert log == ["cancelled"]
        await peer.pass_time(10)
        assert type(protocol.reason) is ServerDraining


@needs(Feature.SERVER)
async def test_who_overrides_quiesce_and_does_nothing_is_ended_by_the_deadline(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(quiesce=lambda _: None)
    async with connect(protocol, idle_timeout=None) as peer:
        await peer.service.start_drain(grace=10, force=5)
        await peer.pass_time(9)
        assert not protocol.lost
        await peer.pass_time(7)
        assert type(protocol.reason) is ServerDraining


@needs(Feature.SERVER)
async def test_a_peer_that_does_not_read_cannot_hold_a_drain(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, write_timeout=None) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.service.start_drain(grace=10, force=5)
        await peer.pass_time(9)
        assert not protocol.lost
        await peer.pass_time(7)
        assert type(protocol.reason) is ServerDraining
        _, ending = await peer.receive_all()
        assert ending == "reset"
