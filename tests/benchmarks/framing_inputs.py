"""What is decoded: messages of one size in 64 KiB chunks, and streams that have them ready.

The first chunk is a little shorter, so that every chunk ends in the middle of a message, as it
does on a socket.
"""

from __future__ import annotations

from dataclasses import dataclass

import anyio.abc
import trio

CHUNK = 64 * 1024
TOTAL = 2 * 1024 * 1024


@dataclass(frozen=True)
class Input:
    """Some number of the same message, in chunks."""

    message: bytes
    total: int = TOTAL

    @property
    def frames(self) -> int:
        return self.total // len(self.message)

    @property
    def chunks(self) -> list[bytes]:
        data = self.message * self.frames
        return [data[: CHUNK - 27], *cut(data[CHUNK - 27 :], CHUNK)]


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[place : place + size] for place in range(0, len(data), size)]


LINES = Input(b"x" * 62 + b"\r\n")
NETSTRINGS = Input(b"60:" + b"x" * 60 + b",")
INT32 = Input((1020).to_bytes(4, "big") + b"x" * 1020)
LENGTH_FIELD = Input(b"\x01\x00" + (1020).to_bytes(2, "big") + b"x" * 1020)


class TrioStream(trio.abc.Stream):
    """Returns the chunks, each after a checkpoint."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._waiting = chunks[::-1]

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._waiting.pop() if self._waiting else b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


class AnyioStream(anyio.abc.ByteReceiveStream):
    """The same for anyio, which sometimes asks for less than a chunk."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._waiting = chunks[::-1]
        self._place = 0

    async def receive(self, max_bytes: int = CHUNK) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self._waiting:
            raise anyio.EndOfStream
        chunk = self._waiting[-1]
        data = chunk[self._place : self._place + max_bytes]
        self._place += len(data)
        if self._place == len(chunk):
            self._waiting.pop()
            self._place = 0
        return data

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
