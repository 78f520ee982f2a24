"""Length fields: any place, width and meaning of a binary length in a header."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from tests.framing.formats import check_any_partition, check_round_trip, error_of, read
from trioproto.errors import FrameTooLong, MalformedFrame, StringTooLong
from trioproto.framing import LengthFieldCodec
from trioproto.framing.length_field import ByteOrder, Width
from trioproto.testing import Case, verify_codec

LIMIT = 12
WIDTHS: list[Width] = [1, 2, 3, 4, 8]
ORDERS: list[ByteOrder] = ["big", "little"]

HEADERS: list[dict[str, Any]] = [
    *({"width": width, "byteorder": order} for width in WIDTHS for order in ORDERS),
    {"width": 2, "offset": 3, "header": b"abc"},
    {"width": 2, "offset": 3, "header": b"abc", "strip": 1},
    {"width": 2, "offset": 3, "strip": 0},
    {"width": 3, "offset": 1, "strip": 0, "counts_header": True},
    {"width": 2, "adjustment": 3},
    {"width": 2, "adjustment": -3},
    {"width": 4, "adjustment": -1, "counts_header": True, "byteorder": "little"},
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_field_may_have_any_width_and_byte_order(width: Width, order: ByteOrder) -> None:
    def field(length: int) -> bytes:
        return length.to_bytes(width, order)

    verify_codec(
        lambda: LengthFieldCodec(width, byteorder=order, max_length=255),
        [
            (field(0), [b""]),
            (field(3) + b"abc", [b"abc"]),
            (field(1) + b"a" + field(0) + field(2) + b"\x00\xff", [b"a", b"", b"\x00\xff"]),
            (field(255) + b"x" * 255, [b"x" * 255]),
            Case(field(1) + b"a" + field(3) + b"bc", [b"a"], rest=field(3) + b"bc"),
        ],
    )


def test_the_default_is_four_bytes_big_endian_stripped_and_twisteds_limit() -> None:
    codec = LengthFieldCodec()
    assert codec.max_length == 99_999
    assert read(codec, [b"\x00\x00\x00\x02ab"]) == [b"ab"]


@pytest.mark.parametrize(
    ("header", "data", "frame"),
    [
        ({"width": 2, "offset": 3, "header": b"HDR"}, b"HDR\x00\x02ab", b"ab"),
        (
            {"width": 2, "offset": 3, "header": b"HDR", "strip": 1},
            b"HDR\x00\x02ab",
            b"DR\x00\x02ab",
        ),
        ({"width": 2, "offset": 3, "strip": 0}, b"HDR\x00\x02ab", b"HDR\x00\x02ab"),
        ({"width": 2, "strip": 1}, b"\x00\x02ab", b"\x02ab"),
        ({"width": 1, "adjustment": 1}, b"\x02abc", b"abc"),
        ({"width": 1, "adjustment": -1}, b"\x02a", b"a"),
        ({"width": 1, "adjustment": -2}, b"\x02", b""),
        ({"width": 2, "counts_header": True}, b"\x00\x04ab", b"ab"),
        ({"width": 2, "counts_header": True}, b"\x00\x02", b""),
        ({"width": 2, "offset": 1, "counts_header": True, "strip": 0}, b"H\0\5ab", b"H\0\5ab"),
        ({"width": 2, "counts_header": True, "adjustment": 1}, b"\x00\x04abc", b"abc"),
        ({"width": 3, "byteorder": "little"}, b"\x02\x00\x00ab", b"ab"),
    ],
)
def test_where_the_field_is_and_what_it_counts_can_be_said(
    header: dict[str, Any], data: bytes, frame: bytes
) -> None:
    verify_codec(lambda: LengthFieldCodec(**header), [(data, [frame]), (data * 3, [frame] * 3)])
    assert LengthFieldCodec(**header).encode(frame) == data


@pytest.mark.parametrize("adjustment", [-2, 0, 2])
@pytest.mark.parametrize("length", [2, LIMIT - 1, LIMIT])
def test_a_body_up_to_the_limit_passes(length: int, adjustment: int) -> None:
    body = b"x" * length
    field = (length - adjustment).to_bytes(2, "big")
    verify_codec(
        lambda: LengthFieldCodec(2, adjustment=adjustment, max_length=LIMIT),
        [(field + body, [body]), ((field + body) * 2, [body, body])],
    )


@pytest.mark.parametrize(
    ("header", "data", "announced"),
    [
        ({"width": 2}, b"\x00\x0d", 13),
        ({"width": 2}, b"\xff\xff", 65535),
        ({"width": 8}, b"\xff" * 8, 2**64 - 1),
        ({"width": 1, "adjustment": 1}, b"\x0c", 13),
        ({"width": 1, "adjustment": -1}, b"\x0e", 13),
        ({"width": 1, "counts_header": True}, b"\x0e", 13),
        ({"width": 1, "offset": 2, "counts_header": True, "strip": 0}, b"ab\x10", 13),
    ],
)
def test_a_longer_body_is_refused_by_its_adjusted_length_before_it_comes(
    header: dict[str, Any], data: bytes, announced: int
) -> None:
    verify_codec(
        lambda: LengthFieldCodec(**header, max_length=LIMIT),
        [(data, [], FrameTooLong(LIMIT, announced=announced))],
    )


@pytest.mark.parametrize(
    ("header", "data", "offset", "field"),
    [
        ({"width": 2, "adjustment": -3}, b"\x00\x02", 0, b"\x00\x02"),
        ({"width": 2, "adjustment": -3}, b"\x00\x00", 0, b"\x00\x00"),
        ({"width": 2, "counts_header": True}, b"\x00\x01", 0, b"\x00\x01"),
        ({"width": 4, "byteorder": "little", "adjustment": -2}, b"\1\0\0\0", 0, b"\1\0\0\0"),
        ({"width": 2, "offset": 3, "counts_header": True}, b"abc\x00\x04", 3, b"\x00\x04"),
        ({"width": 1, "offset": 2, "counts_header": True, "strip": 0}, b"ab\x02", 2, b"\x02"),
    ],
)
def test_a_length_that_is_negative_after_adjustment_is_malformed(
    header: dict[str, Any], data: bytes, offset: int, field: bytes
) -> None:
    def make() -> LengthFieldCodec:
        return LengthFieldCodec(**header)

    good = LengthFieldCodec(**{"header": b"x" * header.get("offset", 0), **header})
    first = good.encode(b"x" * 9)
    frames = read(make(), [first])
    error = MalformedFrame("", offset, field)
    verify_codec(make, [(data, [], error)])
    assert read(make(), [first + data])[:-1] == frames
    assert isinstance(error_of(make(), data + b"x" * 100), MalformedFrame)


def test_an_announced_length_allocates_nothing() -> None:
    codec = LengthFieldCodec(8, max_length=2**62)
    tracemalloc.start()
    try:
        assert read(codec, [(2**62).to_bytes(8, "big"), b"x" * 100]) == []
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()
    assert codec.pending == 108


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("width", 5),
        ("width", 0),
        ("offset", -1),
        ("strip", -1),
        ("strip", 5),
        ("byteorder", "native"),
        ("header", b"x"),
        ("max_length", -1),
    ],
)
def test_an_argument_out_of_its_range_is_refused_by_its_name(argument: str, value: object) -> None:
    header: dict[str, Any] = {argument: value}
    with pytest.raises(ValueError, match=argument):
        LengthFieldCodec(**header)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_what_the_field_cannot_say_is_too_long_to_encode(width: Width) -> None:
    most = 256**width - 1
    codec = LengthFieldCodec(width)
    assert len(codec.encode(bytes(most))) == width + most
    with pytest.raises(StringTooLong) as refused:
        codec.encode(bytes(most + 1))
    assert (refused.value.length, refused.value.limit) == (most + 1, most)


def test_what_a_field_that_counts_more_can_say_is_less() -> None:
    codec = LengthFieldCodec(1, offset=2, header=b"ab", counts_header=True)
    assert codec.encode(bytes(252))[:3] == b"ab\xff"
    with pytest.raises(StringTooLong) as refused:
        codec.encode(bytes(253))
    assert refused.value.limit == 252


def test_a_frame_without_its_part_of_the_header_cannot_be_encoded() -> None:
    with pytest.raises(ValueError, match="header"):
        LengthFieldCodec(2, strip=1).encode(b"")
    with pytest.raises(ValueError, match="header"):
        LengthFieldCodec(2, offset=1).encode(b"a")


@pytest.mark.parametrize("header", HEADERS)
def test_what_was_encoded_comes_back_in_any_partition(header: dict[str, Any]) -> None:
    check_round_trip(lambda: LengthFieldCodec(**header))


@pytest.mark.parametrize("header", HEADERS)
def test_any_bytes_mean_the_same_in_any_partition(header: dict[str, Any]) -> None:
    check_any_partition(
        lambda: LengthFieldCodec(**header, max_length=LIMIT),
        *(bytes([byte]) for byte in (0, 0, 0, 0, 1, 2, 5, LIMIT, LIMIT + 1)),
    )
