"""Every receiver of frames, in a form in which the same can be asked of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trioproto import Factory, Settings
from trioproto.errors import (
    ConnectionClosed,
    FrameTooLong,
    FramingError,
    MalformedFrame,
)
from trioproto.framing import (
    AnyLineCodec,
    Codec,
    ContentLengthCodec,
    FixedSizeCodec,
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
from trioproto.testing import Harness


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
    class Generic(FrameReceiver[Any]):
        def make_codec(self) -> Codec[Any]:
            return make()

    return Generic


STRINGS = (b"one", b"", b"three", b"four")
LINES = (b"one\n", b"\r\n", b"three\r\n", b"four\n")


def prefixed(width: int) -> tuple[bytes, ...]:
    return tuple(len(string).to_bytes(width, "big") + string for string in STRINGS)


def lsp(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def limited(base: type[FrameReceiver[Any]], limit: int) -> type[FrameReceiver[Any]]:
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
        limited(Int8StringReceiver, 9),
        "string_received",
        prefixed(1),
        STRINGS,
        b"\x0a",
        FrameTooLong,
    ),
    "int16": Kind(
        limited(Int16StringReceiver, 9),
        "string_received",
        prefixed(2),
        STRINGS,
        b"\x00\x0a",
        FrameTooLong,
    ),
    "int32": Kind(
        Int32StringReceiver, "string_received", prefixed(4), STRINGS, b"\xff" * 4, FrameTooLong
    ),
    "length field": Kind(
        LengthFieldReceiver, "frame_received", prefixed(4), STRINGS, b"\xff" * 4, FrameTooLong
    ),
    "varint": Kind(
        VarintReceiver, "frame_received", prefixed(1), STRINGS, b"\xff" * 10, MalformedFrame
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
        tuple(map(lsp, STRINGS)),
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
FIXED = Kind(
    with_codec(lambda: FixedSizeCodec(3)),
    "frame_received",
    (b"one", b"two", b"six", b"ten"),
    (b"one", b"two", b"six", b"ten"),
    b"",
    FramingError,
)


class Noting(FrameReceiver[Any]):
    """What ``note`` makes of a receiver: it notes all that it hears.

    Attributes:
        heard: the frames.
        errors: what ``framing_failed`` was called with.
        reasons: what ``connection_lost`` was called with.
    """

    heard: list[Any]
    errors: list[FramingError]
    reasons: list[ConnectionClosed]


def note(
    kind: Kind,
    then: Callable[[Noting, Any], None] = lambda receiver, frame: None,
    at_error: Callable[[Noting, FramingError], None] = lambda receiver, error: None,
    **settings: Any,
) -> tuple[Noting, Harness[Any]]:
    """Connect a receiver that notes what it hears, and then does as it was told."""

    def received(self: Noting, frame: Any) -> None:
        self.heard.append(frame)
        then(self, frame)

    def framing_failed(self: Noting, error: FramingError) -> None:
        self.errors.append(error)
        kind.base.framing_failed(self, error)
        at_error(self, error)

    def connection_lost(self: Noting, reason: ConnectionClosed) -> None:
        self.reasons.append(reason)

    members = {
        kind.callback: received,
        "framing_failed": framing_failed,
        "connection_lost": connection_lost,
        "heard": [],
        "errors": [],
        "reasons": [],
    }
    receiver: Any = type("Noting", (kind.base,), members)()
    settings.setdefault("callback_errors", "raise")
    harness: Harness[Any] = Harness(Factory(lambda: receiver), settings=Settings(**settings))
    harness.connect()
    return receiver, harness
