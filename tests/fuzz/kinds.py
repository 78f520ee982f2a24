"""The codecs that are fuzzed: each in several configurations, most of them with small limits.

Small limits are passed quickly; large ones show whether something is allocated because it was
announced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

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
from trioproto.framing.length_field import Width
from trioproto.framing.line_codec import OnTooLong


@dataclass(frozen=True)
class Kind:
    """A codec's configuration, and what holds for it.

    ``most`` is the most bytes that may wait for the end of their frame. ``tokens`` are pieces of
    input that mean something. ``weight`` is the most memory that a byte of a frame may take, and
    ``calls`` the most calls that it may cost, beside those for each frame and chunk. ``restarts``
    says that a fresh codec goes on where this one stops, if it is fed the rest.
    """

    name: str
    make: Callable[[], Codec[Any]]
    most: int
    tokens: tuple[bytes, ...]
    weight: int = 4
    calls: int = 0
    restarts: bool = True


def lines(delimiter: bytes, length: int, *, discard: bool = False) -> Kind:
    how: OnTooLong = "discard" if discard else "close"
    return Kind(
        f"lines of {length}, {delimiter!r}, {how}",
        partial(LineCodec, delimiter, max_length=length, on_too_long=how),
        length + len(delimiter) - 1,
        (delimiter, delimiter[:-1] or delimiter, delimiter[-1:], b"x" * length),
    )


def any_lines(delimiters: tuple[bytes, ...], length: int, *, discard: bool = False) -> Kind:
    how: OnTooLong = "discard" if discard else "close"
    return Kind(
        f"lines of {length}, {delimiters!r}, {how}",
        partial(AnyLineCodec, delimiters, max_length=length, on_too_long=how),
        length + max(map(len, delimiters)) - 1,
        (*delimiters, delimiters[0][:1], b"x" * length),
        restarts=not any(a != b and b.startswith(a) for a in delimiters for b in delimiters),
    )


def netstrings(length: int) -> Kind:
    return Kind(
        f"netstrings of {length}",
        partial(NetstringCodec, max_length=length),
        length + len(str(length)) + 1,
        (b":", b",", b"0", b"%d:" % length, b"%d:" % (length + 1), b"3:abc,"),
    )


def length_fields(length: int, width: Width, offset: int = 0, **options: Any) -> Kind:
    adjustment = options.get("adjustment", 0)
    order = options.get("byteorder", "big")
    most = (1 << 8 * width) - 1

    def field(value: int) -> bytes:
        value = min(max(0, value - adjustment), most)
        return b"\0" * offset + value.to_bytes(width, order)

    said = f"{width} at {offset}, {options}"
    return Kind(
        f"length field {said}, of {length}",
        partial(LengthFieldCodec, width, offset=offset, max_length=length, **options),
        offset + width + length,
        (field(length), field(length + 1), field(most), field(0), field(1)),
    )


def varints(length: int) -> Kind:
    codec = VarintCodec(max_length=length)
    longest = codec.encode(b"x" * min(length, 1000))
    return Kind(
        f"varints of {length}",
        partial(VarintCodec, max_length=length),
        length + 10,
        (longest[:1], longest, b"\x80", b"\x80\0", b"\xff" * 10, b"\xff\x01"),
    )


def fixed(size: int) -> Kind:
    return Kind(f"fixed size {size}", partial(FixedSizeCodec, size), size - 1, (b"x" * size,))


def json_lines(length: int) -> Kind:
    return Kind(
        f"JSON lines of {length}",
        partial(JsonLinesCodec, max_length=length),
        length,
        (
            b"\n",
            b"[",
            b"{}",
            b'{"":',
            b"]",
            b'"',
            b"\\ud800",
            b"1e999",
            b"NaN",
            b"\xff",
            b" ",
            b"9",
        ),
        calls=6,  # blank lines are no frames
        weight=300,
    )  # fmt: skip


def content_lengths(length: int, header: int) -> Kind:
    return Kind(
        f"Content-Length of {length}, header of {header}",
        partial(ContentLengthCodec, max_length=length, max_header=header),
        header + length,
        (
            b"\r\n", b"\r\n\r\n", b"Content-Length:", b"content-length: ", b"a: b\r\n",
            b"Content-Length: %d\r\n\r\n" % length, b"Content-Length: %d\r\n\r\n" % (length + 1),
        ),
    )  # fmt: skip


def slip(length: int) -> Kind:
    return Kind(
        f"SLIP of {length}",
        partial(SlipCodec, max_length=length),
        2 * length,
        (b"\xc0", b"\xdb", b"\xdb\xdc", b"\xdb\xdd", b"\xdb\xdc" * length, b"x" * length),
        calls=6,  # nor are empty packets; and escapes are replaced one by one
        weight=60,  # a packet of escapes only is a list of pieces for a moment
    )


def every_kind() -> Iterator[Kind]:
    for discard in (False, True):
        yield lines(b"\r\n", 0, discard=discard)
        yield lines(b"\r\n", 6, discard=discard)
        yield lines(b"\n", 100, discard=discard)
        yield lines(b"aa", 5, discard=discard)
        yield lines(b"abaab", 4, discard=discard)
        yield lines(b"\r\n", 16_384, discard=discard)
        yield any_lines((b"\r\n", b"\n"), 6, discard=discard)
        yield any_lines((b"\r", b"\r\n"), 5, discard=discard)
        yield any_lines((b"\n", b"\r", b"\r\n", b"ab", b"abc"), 3, discard=discard)
        yield any_lines((b"\0", b"\r\n\r\n"), 16_384, discard=discard)
    for length in (0, 9, 10, 100, 99_999):
        yield netstrings(length)
    yield length_fields(99_999, 4)
    yield length_fields(0, 1)
    yield length_fields(255, 1)
    yield length_fields(100, 2, byteorder="little")
    yield length_fields(100, 3, 2, strip=0)
    yield length_fields(50, 2, adjustment=-5, header=b"")
    yield length_fields(50, 1, 1, adjustment=7, header=b"!", byteorder="little")
    yield length_fields(50, 2, 3, counts_header=True, strip=1, header=b"abc")
    yield length_fields(1 << 62, 8)
    for length in (0, 1, 100, 99_999, 1 << 70):
        yield varints(length)
    for size in (1, 7, 1000):
        yield fixed(size)
    for length in (0, 20, 400, 99_999):
        yield json_lines(length)
    yield content_lengths(0, 20)
    yield content_lengths(50, 40)
    yield content_lengths(16 << 20, 1024)
    for length in (0, 5, 100, 99_999):
        yield slip(length)


KINDS = tuple(every_kind())
