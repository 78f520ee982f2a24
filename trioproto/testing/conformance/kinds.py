"""Every receiver of frames, in a form in which the same can be asked of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trioproto.framing import (
    AnyLineCodec,
    Codec,
    ContentLengthCodec,
    FrameReceiver,
    Int8StringReceiver,
    Int16StringReceiver,
    Int32StringReceiver,
    JsonLinesReceiver,
    LengthFieldReceiver,
    LineCodec,
    NetstringReceiver,
    SlipCodec,
    VarintReceiver,
)
from trioproto.sansio.errors import (
    FrameTooLong,
    FramingError,
    MalformedFrame,
)


@dataclass(frozen=True)
class Kind:
    """A receiver, four frames for it, and bytes that are none.

    Attributes:
        base: the receiver's class.
        callback: the name of what is called with each frame.
        wire: the frames' bytes, one by one.
        frames: what is received of them.
        bad: bytes that are no frame.
        error: what they end the connection with.
    """

    base: type[FrameReceiver[Any]]
    callback: str
    wire: tuple[bytes, ...]
    frames: tuple[Any, ...]
    bad: bytes
    error: type[FramingError]


def with_codec(make: Callable[[], Codec[Any]]) -> type[FrameReceiver[Any]]:
    """Make a receiver of what this codec decodes."""

    class Generic(FrameReceiver[Any]):
        def make_codec(self) -> Codec[Any]:
            return make()

    return Generic


STRINGS = (b"one", b"", b"three", b"four")
LINES = (b"one\n", b"\r\n", b"three\r\n", b"four\n")


def _prefixed(width: int) -> tuple[bytes, ...]:
    return tuple(len(string).to_bytes(width, "big") + string for string in STRINGS)


def _lsp(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def _limited(base: type[FrameReceiver[Any]], limit: int) -> type[FrameReceiver[Any]]:
    return type(base.__name__, (base,), {"max_length": limit})


KINDS: dict[str, Kind] = {
    "netstring": Kind(
        NetstringReceiver,
        "string_received",
        (b"3:one,", b"0:,", b"5:three,", b"4:four,"),
        STRINGS,
        b"1:ab",
        MalformedFrame,
    ),
    "int8": Kind(
        _limited(Int8StringReceiver, 9),
        "string_received",
        _prefixed(1),
        STRINGS,
        b"\x0a",
        FrameTooLong,
    ),
    "int16": Kind(
        _limited(Int16StringReceiver, 9),
        "string_received",
        _prefixed(2),
        STRINGS,
        b"\x00\x0a",
        FrameTooLong,
    ),
    "int32": Kind(
        Int32StringReceiver, "string_received", _prefixed(4), STRINGS, b"\xff" * 4, FrameTooLong
    ),
    "length field": Kind(
        LengthFieldReceiver, "frame_received", _prefixed(4), STRINGS, b"\xff" * 4, FrameTooLong
    ),
    "varint": Kind(
        VarintReceiver, "frame_received", _prefixed(1), STRINGS, b"\xff" * 10, MalformedFrame
    ),
    "json": Kind(
        JsonLinesReceiver,
        "json_received",
        (b"1\n", b'{"a":[]}\n', b'"three"\n', b"null\n"),
        (1, {"a": []}, "three", None),
        b"[}\n",
        MalformedFrame,
    ),
    "lines": Kind(
        with_codec(lambda: LineCodec(b";", max_length=9)),
        "frame_received",
        (b"one;", b";", b"three;", b"four;"),
        STRINGS,
        b"x" * 10,
        FrameTooLong,
    ),
    "any line": Kind(
        with_codec(lambda: AnyLineCodec(max_length=9)),
        "frame_received",
        LINES,
        STRINGS,
        b"x" * 10,
        FrameTooLong,
    ),
    "content length": Kind(
        with_codec(ContentLengthCodec),
        "frame_received",
        tuple(map(_lsp, STRINGS)),
        STRINGS,
        b"nonsense\r\n\r\n",
        MalformedFrame,
    ),
    "slip": Kind(
        with_codec(SlipCodec),
        "frame_received",
        (b"one\xc0", b"\xdb\xdc\xc0", b"three\xc0", b"four\xc0"),
        (b"one", b"\xc0", b"three", b"four"),
        b"\xdb\x00\xc0",
        MalformedFrame,
    ),
}
