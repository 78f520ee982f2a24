"""Every decoder keeps at most a frame of its limit and one chunk, whatever comes."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections import deque
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import pytest

from tests.framing.formats import MakeCodec
from trioproto.errors import FrameTooLong, FramingError, MalformedFrame
from trioproto.framing import (
    AnyLineCodec,
    Codec,
    ContentLengthCodec,
    FixedSizeCodec,
    JsonLinesCodec,
    LengthFieldCodec,
    LineCodec,
    NetstringCodec,
    SlipCodec,
    VarintCodec,
)

CHUNK = 64 * 1024
CHUNKS = 160
"""Ten megabytes of them."""
FEW_CHUNKS = 32
"""Two megabytes: more than enough where they are a million frames."""
OWN = 16 * 1024
"""Bytes that a codec without any data may take."""


def retained(codec: Codec[Any]) -> int:
    """Return the bytes of all that a codec keeps alive."""
    seen: set[int] = set()
    size = 0
    waiting: list[object] = [codec]
    while waiting:
        item = waiting.pop()
        if id(item) not in seen and not isinstance(item, (type, ModuleType, FunctionType)):
            seen.add(id(item))
            size += sys.getsizeof(item)
            waiting += gc.get_referents(item)
    return size


def zeros(count: int) -> Iterator[bytes]:
    """Megabytes, in chunks of which none is kept here."""
    for _ in range(count):
        yield bytes(bytearray(CHUNK))


def read_all(codec: Codec[Any]) -> FramingError | None:
    """Take what has arrived, and keep nothing of it."""
    try:
        deque(codec.frames(), maxlen=0)
    except FramingError as error:
        return error
    return None


def most_retained(
    codec: Codec[Any], prefix: bytes = b"", chunks: int = CHUNKS
) -> tuple[int, FramingError | None]:
    """Feed *prefix* and megabytes of zeros; return the most that was kept after a chunk."""
    most = 0
    error = None
    if prefix:
        codec.feed(prefix)
        error = read_all(codec)
    for chunk in zeros(chunks):
        codec.feed(chunk)
        del chunk
        error = read_all(codec)
        most = max(most, retained(codec))
    return most, error


# The codec, what it is fed before the zeros, its limit in bytes, and what comes of it.
FORMATS: dict[str, tuple[MakeCodec, bytes, int, type[FramingError] | None]] = {
    "lines": (LineCodec, b"", 16_384, FrameTooLong),
    "lines, discarded": (lambda: LineCodec(on_too_long="discard"), b"", 16_384, None),
    "lines of nothing": (lambda: LineCodec(b"\x00"), b"", 16_384, None),
    "lines, with half a delimiter each": (
        lambda: LineCodec(b"\x00\x01"),
        b"",
        16_384,
        FrameTooLong,
    ),
    "lines of any end": (AnyLineCodec, b"", 16_384, FrameTooLong),
    "lines of any end, discarded": (lambda: AnyLineCodec(on_too_long="discard"), b"", 16_384, None),
    "netstrings": (NetstringCodec, b"", 99_999, MalformedFrame),
    "netstrings of zeros": (NetstringCodec, b"99999:", 99_999, MalformedFrame),
    "length field": (LengthFieldCodec, b"", 99_999, None),
    "length field of 1": (lambda: LengthFieldCodec(1), b"", 99_999, None),
    "length field of 8": (lambda: LengthFieldCodec(8, offset=20), b"", 99_999, None),
    "length field, negative": (
        lambda: LengthFieldCodec(2, counts_header=True),
        b"",
        99_999,
        MalformedFrame,
    ),
    "varint": (VarintCodec, b"", 99_999, None),
    "fixed": (lambda: FixedSizeCodec(99_999), b"", 99_999, None),
    "JSON": (JsonLinesCodec, b"", 99_999, FrameTooLong),
    "JSON, in a string": (JsonLinesCodec, b'"', 99_999, FrameTooLong),
    "content length": (lambda: ContentLengthCodec(max_length=99_999), b"", 99_999, FrameTooLong),
    "content length, long": (
        lambda: ContentLengthCodec(max_length=99_999),
        b"Content-Length: 99999\r\n\r\n",
        99_999,
        FrameTooLong,
    ),
    # Escaped, a packet has up to twice its bytes.
    "SLIP": (SlipCodec, b"", 2 * 99_999, FrameTooLong),
}


FRAMES_OF_ZEROS = ("varint", "length field", "length field of 1")
"""For these a zero, or four, is a frame."""


@pytest.mark.parametrize("name", FORMATS)
def test_megabytes_of_zeros_keep_no_more_than_the_limit_and_one_chunk(name: str) -> None:
    make, prefix, limit, expected = FORMATS[name]
    chunks = FEW_CHUNKS if name in FRAMES_OF_ZEROS else CHUNKS
    most, error = most_retained(make(), prefix, chunks)
    assert most <= limit + CHUNK + OWN
    assert (type(error) if error is not None else None) is expected


STREAMS: dict[str, tuple[MakeCodec, Any]] = {
    "lines": (LineCodec, b"x" * 16_384),
    "lines of any end": (AnyLineCodec, b"x" * 16_384),
    "netstrings": (NetstringCodec, b"x" * 99_999),
    "length field": (LengthFieldCodec, b"x" * 99_999),
    "varint": (VarintCodec, b"x" * 99_999),
    "fixed": (lambda: FixedSizeCodec(99_999), b"x" * 99_999),
    "JSON": (JsonLinesCodec, "x" * 99_997),
    "content length": (lambda: ContentLengthCodec(max_length=99_999), b"x" * 99_999),
    "SLIP": (SlipCodec, b"x" * 99_999),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_of_frames_of_the_limit_keeps_no_more_than_one_and_a_chunk(name: str) -> None:
    make, frame = STREAMS[name]
    codec = make()
    message = codec.encode(frame)
    stream = message * (2_000_000 // len(message))
    most = 0
    for begin in range(0, len(stream), CHUNK):
        codec.feed(stream[begin : begin + CHUNK])
        assert read_all(codec) is None
        most = max(most, retained(codec))
    assert codec.pending == 0
    assert most <= codec.max_length + CHUNK + OWN


def test_what_is_retained_is_seen() -> None:
    """The measure itself: it must see what a codec hides."""

    class Keeps(FixedSizeCodec):
        def __init__(self) -> None:
            super().__init__(1000)
            self.kept: list[dict[str, bytes]] = []

        def feed(self, data: bytes) -> None:
            super().feed(data)
            self.kept.append({"data": data})

    most, _ = most_retained(Keeps())
    assert most > CHUNKS * CHUNK
    assert retained(FixedSizeCodec(1000)) < OWN


ANNOUNCED: dict[str, tuple[MakeCodec, bytes]] = {
    "netstring": (lambda: NetstringCodec(max_length=1 << 40), b"1000000000000:"),
    "length field": (lambda: LengthFieldCodec(8, max_length=1 << 40), (1 << 40).to_bytes(8, "big")),
    "varint": (lambda: VarintCodec(max_length=1 << 40), b"\x80" * 5 + b"\x20"),
    "content length": (
        lambda: ContentLengthCodec(max_length=1 << 40),
        b"Content-Length: 1000000000000\r\n\r\n",
    ),
    "fixed": (lambda: FixedSizeCodec(1 << 40), b"x"),
}


@pytest.mark.parametrize("name", ANNOUNCED)
def test_nothing_is_allocated_because_a_peer_has_announced_it(name: str) -> None:
    make, data = ANNOUNCED[name]
    codec = make()
    tracemalloc.start()
    try:
        for piece in (data, b"x" * 100, b"y" * 100):
            codec.feed(piece)
            assert read_all(codec) is None
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()
    assert codec.pending == len(data) + 200
