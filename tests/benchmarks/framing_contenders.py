"""Who decodes: our codecs, receivers and channel, Twisted's receivers, tricycle, anyio, by hand.

Each is a function that takes the input and returns the frames that it has counted and the CPU
seconds of its thread. Making the decoder, and starting trio, is not part of the time.

Compare like with like. A receiver makes a call for each frame, a codec and a split by hand are a
loop over the frames, and the pull interfaces are awaited for each frame.
"""
# ruff: noqa: N802 - Twisted's names

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import thread_time
from typing import Any

import anyio
import tricycle
import trio
from anyio.streams.buffered import BufferedByteReceiveStream
from twisted.internet.testing import StringTransport
from twisted.protocols import basic

from trioproto import Factory, FrameChannel
from trioproto.framing import (
    Codec,
    FrameReceiver,
    Int32StringReceiver,
    LengthFieldCodec,
    LengthFieldReceiver,
    LineCodec,
    LineOnlyReceiver,
    LineReceiver,
    NetstringReceiver,
)
from trioproto.sansio.addresses import UnknownAddress

from .framing_inputs import CHUNK, AnyioStream, Input, TrioStream

Counted = tuple[int, float]
Decoder = Callable[[Input], Counted]


# A loop over the frames


def with_codec(make: Callable[[], Codec[Any]]) -> Decoder:
    def decode(what: Input) -> Counted:
        codec = make()
        chunks = what.chunks
        count = 0
        began = thread_time()
        for chunk in chunks:
            codec.feed(chunk)
            for _ in codec.frames():
                count += 1
        return count, thread_time() - began

    return decode


def split_by_hand(what: Input) -> Counted:
    """As one writes it: nothing is limited."""
    chunks = what.chunks
    tail = b""
    count = 0
    began = thread_time()
    for chunk in chunks:
        lines = (tail + chunk).split(b"\r\n")
        tail = lines.pop()
        for _ in lines:
            count += 1
    return count, thread_time() - began


# A call for each frame


class StillDriver:
    """Moves no bytes; a connection that only receives asks it for nothing else."""

    can_write_eof = True

    def time(self) -> float:
        return 0.0

    def invoke(self, callback: Callable[..., Any], *args: Any) -> Any:
        return callback(*args)

    def changed(self) -> None:
        pass


def with_receiver(make: Callable[[], FrameReceiver[Any]]) -> Decoder:
    """Ours, on a connection as it is, without the driver that would read and send."""

    def decode(what: Input) -> Counted:
        receiver: Any = make()
        driver: Any = StillDriver()
        nobody = UnknownAddress("benchmark")
        connection = Factory(lambda: receiver).connect(driver, nobody, nobody)
        assert connection is not None
        connection.open()
        chunks = what.chunks
        began = thread_time()
        for chunk in chunks:
            connection.feed(chunk, 0.0)
        return receiver.count, thread_time() - began

    return decode


def with_twisted(make: Callable[[], Any]) -> Decoder:
    def decode(what: Input) -> Counted:
        receiver = make()
        receiver.makeConnection(StringTransport())  # type: ignore[no-untyped-call]
        chunks = what.chunks
        began = thread_time()
        for chunk in chunks:
            receiver.dataReceived(chunk)
        return receiver.count, thread_time() - began

    return decode


def with_input(other: Input, decode: Decoder) -> Decoder:
    """The same with an input of its own."""
    return lambda what: decode(other)


class Lines(LineReceiver):
    count = 0

    def line_received(self, line: bytes) -> None:
        self.count += 1


class OnlyLines(LineOnlyReceiver):
    count = 0

    def line_received(self, line: bytes) -> None:
        self.count += 1


class Netstrings(NetstringReceiver):
    count = 0

    def string_received(self, string: bytes) -> None:
        self.count += 1


class Int32Strings(Int32StringReceiver):
    count = 0

    def string_received(self, string: bytes) -> None:
        self.count += 1


class LengthFields(LengthFieldReceiver):
    """A kind and flags of one byte each, then the length; all of the header is kept."""

    count = 0

    def make_codec(self) -> LengthFieldCodec:
        return length_field_codec()

    def frame_received(self, frame: bytes) -> None:
        self.count += 1


def length_field_codec() -> LengthFieldCodec:
    return LengthFieldCodec(2, offset=2, strip=0)


class TwistedLines(basic.LineReceiver):
    count = 0

    def lineReceived(self, line: bytes) -> None:
        self.count += 1


class TwistedOnlyLines(basic.LineOnlyReceiver):
    count = 0

    def lineReceived(self, line: bytes) -> None:
        self.count += 1


class TwistedNetstrings(basic.NetstringReceiver):
    count = 0

    def stringReceived(self, string: bytes) -> None:
        self.count += 1


class TwistedInt32Strings(basic.Int32StringReceiver):
    count = 0

    def stringReceived(self, string: bytes) -> None:
        self.count += 1


# Awaited for each frame


def awaited(decode: Callable[[Input], Awaitable[Counted]]) -> Decoder:
    return lambda what: trio.run(decode, what)


@awaited
async def channel_loop(what: Input) -> Counted:
    channel = FrameChannel(TrioStream(what.chunks), LineCodec())
    count = 0
    began = thread_time()
    async for _ in channel:
        count += 1
    return count, thread_time() - began


@awaited
async def channel_batches(what: Input) -> Counted:
    channel = FrameChannel(TrioStream(what.chunks), LineCodec())
    count = 0
    began = thread_time()
    while count < what.frames:
        for _ in await channel.receive_batch():
            count += 1
    return count, thread_time() - began


def tricycle_text(what: Input) -> tricycle.TextReceiveStream:
    """Told which newline there is, it looks for no others: that is its faster way."""
    stream = TrioStream(what.chunks)
    return tricycle.TextReceiveStream(stream, "utf-8", newline="\r\n", chunk_size=CHUNK)


@awaited
async def tricycle_loop(what: Input) -> Counted:
    stream = tricycle_text(what)
    count = 0
    began = thread_time()
    async for _ in stream:
        count += 1
    return count, thread_time() - began


@awaited
async def tricycle_receive_line(what: Input) -> Counted:
    stream = tricycle_text(what)
    count = 0
    began = thread_time()
    while await stream.receive_line():
        count += 1
    return count, thread_time() - began


@awaited
async def tricycle_exactly(what: Input) -> Counted:
    stream = tricycle.BufferedReceiveStream(TrioStream(what.chunks), CHUNK)
    began = thread_time()
    for _ in range(what.frames):
        length = int.from_bytes(await stream.receive_exactly(4), "big")
        await stream.receive_exactly(length)
    return what.frames, thread_time() - began


@awaited
async def anyio_lines(what: Input) -> Counted:
    stream = BufferedByteReceiveStream(AnyioStream(what.chunks))
    count = 0
    began = thread_time()
    try:
        while True:
            await stream.receive_until(b"\r\n", CHUNK + 16_384)
            count += 1
    except anyio.IncompleteRead:
        return count, thread_time() - began


@awaited
async def anyio_netstrings(what: Input) -> Counted:
    stream = BufferedByteReceiveStream(AnyioStream(what.chunks))
    began = thread_time()
    for _ in range(what.frames):
        length = int(await stream.receive_until(b":", CHUNK + 16_384))
        await stream.receive_exactly(length + 1)
    return what.frames, thread_time() - began


@awaited
async def anyio_exactly(what: Input) -> Counted:
    stream = BufferedByteReceiveStream(AnyioStream(what.chunks))
    began = thread_time()
    for _ in range(what.frames):
        length = int.from_bytes(await stream.receive_exactly(4), "big")
        await stream.receive_exactly(length)
    return what.frames, thread_time() - began
