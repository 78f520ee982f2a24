"""Callbacks follow one another.

The rule: docs/callbacks.md, One at a time.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import CALLBACKS, Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting

FROM_WITHIN: dict[str, Any] = {
    "close": lambda self: self.transport.close(),
    "abort": lambda self: self.transport.abort(),
    "write": lambda self: self.transport.write(bytes(MORE_THAN_FITS)),
    "pause": lambda self: (self.transport.pause_reading(), self.transport.resume_reading())[2:],
    "timeout": lambda self: self.transport.set_timeout(0.001),
}


class Watched(Protocol):
    """Does one thing in each callback, and fails if another one begins meanwhile."""

    def __init__(self, act: Any) -> None:
        self.act = act
        self.inside = ""
        self.heard: list[str] = []

    def enter(self, name: str) -> None:
        assert not self.inside, f"{name} inside {self.inside}"
        self.inside = name
        self.heard.append(name)
        self.act(self)
        self.inside = ""

    def connection_made(self) -> None:
        self.enter("connection_made")

    def data_received(self, data: bytes) -> None:
        self.enter("data_received")

    def eof_received(self) -> None:
        self.enter("eof_received")

    def connection_lost(self, reason: object) -> None:
        self.enter("connection_lost")

    def pause_writing(self) -> None:
        self.enter("pause_writing")

    def resume_writing(self) -> None:
        self.enter("resume_writing")

    def timed_out(self) -> None:
        self.enter("timed_out")
        self.transport.close()


@pytest.mark.parametrize("act", FROM_WITHIN)
async def test_callbacks_never_nest(
    connect: Connecting, autojump_clock: MockClock, act: str
) -> None:
    protocol = Watched(FROM_WITHIN[act])
    async with connect(protocol, small_buffers=True) as peer:
        if act != "abort":
            with suppress(OSError, trio.BrokenResourceError):  # it has closed meanwhile
                for _ in range(3):
                    await peer.say(b"go")
                await peer.send_eof()
        await peer.pass_time(100)
    assert protocol.heard[0] == "connection_made"
    assert protocol.heard[-1] == "connection_lost"
    assert protocol.heard.count("connection_lost") == 1
    assert not protocol.inside


@needs(Feature.ASYNC_CODE, Feature.DRAINS)
async def test_async_callbacks_never_overlap(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    running: list[str] = []

    def slowly(name: str) -> Any:
        async def act(self: Recorder) -> bool:
            running.append(name)
            assert len(running) == 1, running
            await trio.sleep(1)
            running.remove(name)
            return True

        return act

    acts = {name: slowly(name) for name in CALLBACKS if name != "quiesce"}
    del acts["data_received"]

    async def write_much(self: Recorder) -> None:
        running.append("data_received")
        assert running == ["data_received"]
        self.transport.write(bytes(MORE_THAN_FITS))
        await trio.sleep(1)
        running.remove("data_received")

    async def finish(self: Recorder) -> None:
        await slowly("quiesce")(self)
        self.transport.close()

    protocol = Recorder(data_received=write_much, quiesce=finish, **_returning_none(acts))
    async with connect(protocol, small_buffers=True, idle_timeout=5) as peer:
        await peer.send(b"go")
        await peer.send_eof()
        await peer.pass_time(3)
        await peer.receive_exactly(MORE_THAN_FITS)
        await peer.pass_time(10)
        await peer.service.start_drain()
        await peer.pass_time(10)
    assert set(protocol.heard) == set(CALLBACKS)


def _returning_none(acts: dict[str, Any]) -> dict[str, Any]:
    """Only ``eof_received`` may return a value."""

    def wrap(act: Any) -> Any:
        async def none(self: Recorder) -> None:
            await act(self)

        return none

    return {name: act if name == "eof_received" else wrap(act) for name, act in acts.items()}


@needs(Feature.ASYNC_CODE)
async def test_an_async_connection_made_comes_before_any_data(connect: Connecting) -> None:
    release = trio.Event()

    class Greets(Recorder):
        async def connection_made(self) -> None:
            super().connection_made()
            self.transport.write(b"hello")
            await release.wait()
            self.heard.append("ready")

    protocol = Greets()
    async with connect(protocol) as peer:
        await peer.send(b"early")
        await peer.send_eof()
        assert await peer.receive_exactly(5) == b"hello"
        assert protocol.heard == ["connection_made"]
        release.set()
        await peer.settle()
        assert protocol.heard == [
            "connection_made",
            "ready",
            "data_received",
            "eof_received",
            "connection_lost",
        ]


@needs(Feature.ASYNC_CODE)
async def test_what_an_async_callback_writes_leaves_when_it_next_awaits(
    connect: Connecting,
) -> None:
    release = trio.Event()

    async def reply(self: Recorder) -> None:
        self.transport.write(b"at once")
        await release.wait()

    async with connect(Recorder(data_received=reply)) as peer:
        await peer.send(b"go")
        assert await peer.receive_exactly(7) == b"at once"
        release.set()


@needs(Feature.ASYNC_CODE)
async def test_async_data_received_takes_chunks_in_order_one_at_a_time(
    connect: Connecting,
) -> None:
    running = 0

    async def reply(self: Recorder) -> None:
        nonlocal running
        assert running == 0
        running += 1
        chunk = self.chunks[-1]
        for _ in range(len(self.chunks) % 3):
            await trio.lowlevel.checkpoint()
        self.transport.write(chunk)
        running -= 1

    protocol = Recorder(data_received=reply)
    async with connect(protocol, read_size=100) as peer:
        data = bytes(range(256)) * 20
        await peer.send(data)
        assert await peer.receive_exactly(len(data)) == data


@needs(Feature.ASYNC_CODE)
async def test_an_async_eof_received_may_keep_the_connection_open(connect: Connecting) -> None:
    async def keep_open(self: Recorder) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    protocol = Recorder(eof_received=keep_open)
    async with connect(protocol) as peer:
        await peer.say_eof()
        protocol.transport.write(b"still here")
        assert await peer.receive_exactly(10) == b"still here"
        protocol.transport.close()
        assert await peer.receive_all() == (b"", "eof")


@needs(Feature.ASYNC_CODE)
async def test_a_plain_function_may_return_what_is_to_be_awaited(connect: Connecting) -> None:
    async def reply(transport: Any) -> None:
        await trio.lowlevel.checkpoint()
        transport.write(b"now and then")

    class Sometimes(Protocol):
        def data_received(self, data: bytes) -> Any:
            return reply(self.transport) if data == b"later" else self.transport.write(b"now")

    async with connect(Sometimes()) as peer:
        await peer.send(b"later")
        assert await peer.receive_exactly(12) == b"now and then"
        await peer.send(b"sooner")
        assert await peer.receive_exactly(3) == b"now"


@needs(Feature.ASYNC_CODE)
async def test_a_callback_that_was_never_begun_is_closed_without_a_warning(
    connect: Connecting,
) -> None:
    class Aborts(Protocol):
        def data_received(self, data: bytes) -> Any:
            self.transport.abort()
            return self.never()

        async def never(self) -> None:
            raise AssertionError("not on an aborted connection")

    async with connect(Aborts()) as peer:
        await peer.send(b"go")
        await peer.receive_all()
        await peer.settle()
