"""Receivers of frames, of every format, over every driver: sync callbacks and async ones.

The rule: docs/framing.md, Callbacks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from trioproto.framing import FrameReceiver
from trioproto.sansio.errors import ConnectionDone, ConnectionLost, IncompleteFrame
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.kinds import KINDS, Kind
from trioproto.testing.conformance.service import Connecting

each_kind = pytest.mark.parametrize("kind", [pytest.param(k, id=name) for name, k in KINDS.items()])

Then = Callable[[Any, Any], Any]


def noting(kind: Kind, then: Then = lambda receiver, frame: None) -> Any:
    """Make a receiver that notes frames, and then does as it was told."""

    def received(self: Any, frame: Any) -> Any:
        self.heard.append(frame)
        return then(self, frame)

    def connection_lost(self: Any, reason: Exception) -> None:
        self.reasons.append(reason)

    members = {kind.callback: received, "connection_lost": connection_lost}
    receiver: Any = type("Noting", (kind.base,), members)()
    receiver.heard, receiver.reasons = [], []
    return receiver


async def slowly(receiver: FrameReceiver[Any], frame: Any) -> None:
    """An async callback that waits before and after it answers."""
    receiver.running = getattr(receiver, "running", 0) + 1  # type: ignore[attr-defined]
    assert receiver.running == 1, "callbacks overlap"  # type: ignore[attr-defined]
    await trio.lowlevel.checkpoint()
    receiver.send_frame(frame)
    await trio.lowlevel.checkpoint()
    receiver.running -= 1  # type: ignore[attr-defined]


def at_once(receiver: FrameReceiver[Any], frame: Any) -> None:
    receiver.send_frame(frame)


@each_kind
async def test_frames_are_answered_in_order(connect: Connecting, kind: Kind) -> None:
    receiver = noting(kind, at_once)
    async with connect(receiver) as peer:
        await peer.say(b"".join(kind.wire))
        assert receiver.heard == list(kind.frames)
        expected = b"".join(map(receiver.codec.encode, kind.frames))
        assert await peer.receive_exactly(len(expected)) == expected


@needs(Feature.ASYNC_CODE)
@each_kind
async def test_async_callbacks_are_awaited_one_after_the_other(
    connect: Connecting, kind: Kind
) -> None:
    receiver = noting(kind, slowly)
    data = b"".join(kind.wire)
    async with connect(receiver) as peer:
        for begin in range(0, len(data), 7):
            await peer.send(data[begin : begin + 7])
        expected = b"".join(map(receiver.codec.encode, kind.frames))
        assert await peer.receive_exactly(len(expected)) == expected
        assert receiver.heard == list(kind.frames)


@needs(Feature.ASYNC_CODE)
@pytest.mark.parametrize("then", [slowly, at_once])
@each_kind
async def test_bad_bytes_end_the_connection_after_the_frames_before_them(
    connect: Connecting, kind: Kind, then: Then
) -> None:
    receiver = noting(kind, then)
    async with connect(receiver) as peer:
        await peer.send(b"".join(kind.wire) + kind.bad + b"".join(kind.wire))
        expected = b"".join(map(receiver.codec.encode, kind.frames))
        assert await peer.receive_until_eof() == expected
        await peer.say_eof()
        assert receiver.heard == list(kind.frames)
        assert [type(reason) for reason in receiver.reasons] == [kind.error]


@needs(Feature.ASYNC_CODE)
@each_kind
async def test_an_async_callback_that_closes_is_the_last_one(
    connect: Connecting, kind: Kind
) -> None:
    async def close(receiver: Any, frame: Any) -> None:
        await trio.lowlevel.checkpoint()
        receiver.transport.close()
        await trio.lowlevel.checkpoint()

    receiver = noting(kind, close)
    async with connect(receiver) as peer:
        await peer.send(b"".join(kind.wire))
        await peer.say_eof()
        assert receiver.heard == [kind.frames[0]]
        assert [type(reason) for reason in receiver.reasons] == [ConnectionDone]


@each_kind
async def test_a_pause_in_mid_chunk_keeps_the_rest_in_order(
    connect: Connecting, kind: Kind
) -> None:
    receiver = noting(kind, lambda receiver, frame: receiver.transport.pause_reading())
    async with connect(receiver) as peer:
        await peer.send(b"".join(kind.wire))
        for count in range(1, len(kind.frames) + 1):
            await peer.settle()
            assert receiver.heard == list(kind.frames[:count])
            receiver.transport.resume_reading()
        await peer.settle()
        assert receiver.heard == list(kind.frames)


@each_kind
async def test_an_eof_in_mid_frame_is_an_incomplete_frame(connect: Connecting, kind: Kind) -> None:
    receiver = noting(kind)
    async with connect(receiver) as peer:
        await peer.send(kind.wire[0] + kind.wire[2][:-1])
        await peer.say_eof()
        assert receiver.heard == [kind.frames[0]]
        (reason,) = receiver.reasons
        assert type(reason) is IncompleteFrame
        assert reason.pending == len(kind.wire[2]) - 1


@each_kind
async def test_a_reset_in_mid_frame_is_a_loss(connect: Connecting, kind: Kind) -> None:
    receiver = noting(kind)
    async with connect(receiver) as peer:
        await peer.say(kind.wire[0] + kind.wire[2][:-1])
        await peer.crash()
        assert receiver.heard == [kind.frames[0]]
        assert [type(reason) for reason in receiver.reasons] == [ConnectionLost]
