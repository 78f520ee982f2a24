"""Scripts for peers, and what stands at the other end of their streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from trioproto.framing import LineReceiver
from trioproto.testing import ScriptedPeer, TranscriptError, peer

Stream = trio.abc.Stream
Script = Callable[[ScriptedPeer], Awaitable[object]]


EVERY: dict[str, Script] = {
    "expect": lambda p: p.expect(b"x", timeout=2),
    "expect_exactly": lambda p: p.expect_exactly(1, timeout=2),
    "expect_until": lambda p: p.expect_until(b";", timeout=2),
    "expect_line": lambda p: p.expect_line(timeout=2),
    "expect_eof": lambda p: p.expect_eof(timeout=2),
    "expect_reset": lambda p: p.expect_reset(timeout=2),
}
"""What waits for something that the protocol does, for two seconds."""


class Answers(LineReceiver):
    """Greets, answers each line, and leaves when it is asked to."""

    def connection_made(self) -> None:
        self.send_line(b"hello")

    def line_received(self, line: bytes) -> None:
        self.send_line(b"<" + line + b">")
        if line == b"bye":
            self.transport.close()


@asynccontextmanager
async def scripted(**options: Any) -> AsyncIterator[tuple[ScriptedPeer, Stream]]:
    """Give a peer, and the stream of what stands for a protocol."""
    ours, theirs = trio.testing.memory_stream_pair()
    async with peer(ours, **options) as p:
        yield p, theirs


async def failure(p: ScriptedPeer, script: Script) -> TranscriptError:
    with pytest.raises(TranscriptError) as caught:
        await script(p)
    return caught.value


async def hold(stream: Stream, script: Script) -> None:
    async with peer(stream) as p:
        await script(p)


async def dribble(stream: Stream, pieces: list[bytes], seconds: float) -> None:
    for piece in pieces:
        await trio.sleep(seconds)
        await stream.send_all(piece)


async def dribble_and_close(stream: Stream, pieces: list[bytes], seconds: float) -> None:
    await dribble(stream, pieces, seconds)
    await stream.aclose()
