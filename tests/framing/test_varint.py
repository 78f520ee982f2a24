"""Varints: lengths of seven bits in a byte."""

from __future__ import annotations

import pytest

from tests.framing.formats import check_any_partition, check_round_trip, error_of, read
from trioproto.errors import FrameTooLong, MalformedFrame
from trioproto.framing import VarintCodec
from trioproto.testing import Case, verify_codec

LIMIT = 300
ENDLESS = [b"\x80" * 10, b"\xff" * 10, b"\x81" * 10, b"\x80" * 9 + b"\x81"]


def limited() -> VarintCodec:
    return VarintCodec(max_length=LIMIT)


@pytest.mark.parametrize(
    ("length", "varint"),
    [
        (0, b"\x00"),
        (1, b"\x01"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (LIMIT - 1, b"\xab\x02"),
        (LIMIT, b"\xac\x02"),
        (16_383, b"\xff\x7f"),
        (16_384, b"\x80\x80\x01"),
        (99_999, b"\x9f\x8d\x06"),
    ],
)
def test_a_length_has_seven_bits_in_a_byte_the_lowest_first(length: int, varint: bytes) -> None:
    frame = b"x" * length
    assert VarintCodec().encode(frame) == varint + frame
    assert read(VarintCodec(), [varint + frame, b"\x01y"]) == [frame, b"y"]


def test_frames_are_cut_in_any_split() -> None:
    verify_codec(
        limited,
        [
            (b"\x00", [b""]),
            (b"\x01a\x00\x03bcd", [b"a", b"", b"bcd"]),
            (b"\xac\x02" + b"x" * LIMIT + b"\x00", [b"x" * LIMIT, b""]),
            (b"\x80\x01" + b"x" * 128, [b"x" * 128]),
            Case(b"\x01a\x02b", [b"a"], rest=b"\x02b"),
            Case(b"\x01a\x80", [b"a"], rest=b"\x80"),
        ],
    )


def test_a_length_may_have_zeros_that_it_does_not_need() -> None:
    verify_codec(
        limited,
        [
            (b"\x81\x00a", [b"a"]),
            (b"\x80\x00", [b""]),
            (b"\x81" + b"\x80" * 8 + b"\x00a\x01b", [b"a", b"b"]),
        ],
    )


@pytest.mark.parametrize(
    ("data", "announced"),
    [
        (b"\xad\x02", LIMIT + 1),
        (b"\x80\x80\x01", 16_384),
        (b"\xff" * 9 + b"\x01", 2**64 - 1),
    ],
)
def test_a_longer_frame_is_refused_by_what_it_announces(data: bytes, announced: int) -> None:
    error = FrameTooLong(LIMIT, announced=announced)
    verify_codec(limited, [(data, [], error), (b"\x01a" + data, [b"a"], error)])


def test_a_value_of_more_than_64_bits_is_refused() -> None:
    verify_codec(limited, [(b"\xff" * 9 + b"\x7f", [], FrameTooLong(LIMIT))])


def test_the_default_limit_is_that_of_strings() -> None:
    codec = VarintCodec()
    assert codec.max_length == 99_999
    assert error_of(codec, b"\xa0\x8d\x06").args == (99_999, 100_000, b"")


def test_a_limit_of_zero_is_legal_and_one_below_is_not() -> None:
    verify_codec(
        lambda: VarintCodec(max_length=0),
        [(b"\x00\x00", [b"", b""]), (b"\x00\x01", [b""], FrameTooLong(0, announced=1))],
    )
    with pytest.raises(ValueError, match="max_length"):
        VarintCodec(max_length=-1)


@pytest.mark.parametrize("data", ENDLESS)
def test_a_varint_that_never_ends_is_refused_at_its_tenth_byte(data: bytes) -> None:
    error = MalformedFrame("", 9, data)
    verify_codec(
        limited,
        [(data, [], error), (b"\x01a" + data, [b"a"], error), (data + b"\x80" * 50, [], error)],
    )
    assert read(limited(), [data[:9]]) == []


def test_what_was_encoded_comes_back_in_any_partition() -> None:
    check_round_trip(limited)


def test_any_bytes_mean_the_same_in_any_partition() -> None:
    check_any_partition(limited, b"\x00", b"\x01a", b"\x02", b"\x80", b"\x80\x00", b"\xff", b"b")
