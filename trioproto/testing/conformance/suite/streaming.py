"""``send`` writes, and waits while much waits.

The rule: docs/flow-control.md, Output.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from trioproto.sansio.errors import (
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    WriteTimeout,
)
from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting

CHUNK = 1 << 16


class Streams(Protocol):
    """Sends *count* chunks by ``send``, in the callback or in a task."""

    def __init__(self, count: int, *, in_task: bool = False) -> None:
        self.count = count
        self.in_task = in_task
        self.sent = 0
        self.most_waiting = 0
        self.raised: BaseException | None = None
        self.reasons: list[ConnectionClosed] = []

    def data_received(self, data: bytes) -> Any:
        if self.in_task:
            return self.transport.start_soon(self.stream)
        return self.stream()

    async def stream(self) -> None:
        try:
            for number in range(self.count):
                await self.transport.send(bytes([number % 256]) * CHUNK)
                self.sent += 1
                self.most_waiting = max(self.most_waiting, self.transport.buffered)
        except ConnectionClosed as reason:
            self.raised = reason
            raise

    def connection_lost(self, reason: ConnectionClosed) -> None:
        self.reasons.append(reason)


@needs(Feature.ASYNC_CODE)
@pytest.mark.parametrize("in_task", [False, True])
async def test_send_streams_in_order_with_little_waiting(
    connect: Connecting, in_task: bool
) -> None:
    protocol = Streams(40, in_task=in_task)
    async with connect(protocol, small_buffers=True) as peer:
        await peer.say(b"go")
        assert protocol.sent <= 4
        data = await peer.receive_exactly(40 * CHUNK)
        assert data == b"".join(bytes([number]) * CHUNK for number in range(40))
        await peer.settle()
        assert protocol.sent == 40
        assert protocol.most_waiting < CHUNK


@needs(Feature.ASYNC_CODE)
async def test_send_returns_at_once_while_little_waits(connect: Connecting) -> None:
    done: list[str] = []

    async def reply(self: Recorder) -> None:
        await self.transport.send(b"small")
        await self.transport.send(b"")
        done.append("sent")

    async with connect(Recorder(data_received=reply), small_buffers=True) as peer:
        await peer.say(b"go")
        assert done == ["sent"]
        assert await peer.receive_exactly(5) == b"small"


@needs(Feature.ASYNC_CODE)
async def test_send_refuses_text(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol):
        with pytest.raises(TypeError):
            await protocol.transport.send("text")  # type: ignore[arg-type]


@needs(Feature.ASYNC_CODE)
@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("reset", ConnectionLost),
        ("abort", ConnectionAborted),
        ("timeout", WriteTimeout),
    ],
)
async def test_a_send_that_waits_raises_the_reason_when_the_connection_ends(
    connect: Connecting,
    autojump_clock: MockClock,
    ending: str,
    reason: type[ConnectionClosed],
) -> None:
    """For a task of no connection: one of its own is cancelled."""
    protocol = Recorder()
    raised: list[ConnectionClosed] = []

    async def send_much() -> None:
        try:
            await protocol.transport.send(bytes(MORE_THAN_FITS))
        except ConnectionClosed as error:
            raised.append(error)

    async with (
        connect(protocol, small_buffers=True, write_timeout=5) as peer,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(send_much)
        await peer.settle()
        assert raised == []
        if ending == "reset":
            await peer.reset()
        elif ending == "abort":
            protocol.transport.abort()
        await peer.pass_time(6)
        assert type(protocol.reason) is reason
        assert raised == [protocol.reason]


@needs(Feature.ASYNC_CODE)
async def test_send_on_a_closed_connection_raises_its_reason(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.close()
        with pytest.raises(ConnectionDone):
            await protocol.transport.send(b"late")
        await peer.receive_all()
        await peer.leave()
        assert protocol.lost
        with pytest.raises(ConnectionDone):
            await protocol.transport.send(b"late")


@needs(Feature.ASYNC_CODE)
async def test_the_reason_that_send_raises_in_a_callback_is_no_error(connect: Connecting) -> None:
    """What a peer does is never an error of the server's."""

    async def reply(self: Recorder) -> None:
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()
        await self.transport.send(b"late")

    def close_and_reply(self: Recorder) -> Any:
        self.transport.close()
        return reply(self)

    protocol = Recorder(data_received=close_and_reply)
    async with connect(protocol) as peer:
        await peer.send(b"go")
        assert await peer.receive_all() == (b"", "eof")
        await peer.leave()
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.ASYNC_CODE)
async def test_two_tasks_that_send_lose_nothing(connect: Connecting) -> None:
    async def count(self: Recorder, letter: bytes) -> None:
        for _ in range(10):
            await self.transport.send(letter * CHUNK)

    def begin(self: Recorder) -> None:
        for letter in (b"a", b"b"):
            self.transport.start_soon(count, self, letter)

    async with connect(Recorder(data_received=begin), small_buffers=True) as peer:
        await peer.send(b"go")
        data = await peer.receive_exactly(20 * CHUNK)
        chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
        assert sorted(chunks) == [b"a" * CHUNK] * 10 + [b"b" * CHUNK] * 10
