"""Frames of a fixed size."""

from __future__ import annotations

import pytest

from tests.framing.formats import check_any_partition, check_round_trip, read
from trioproto.framing import FixedSizeCodec
from trioproto.testing import Case, verify_codec

SIZE = 5


def five() -> FixedSizeCodec:
    return FixedSizeCodec(SIZE)


def test_frames_of_their_size_are_cut_in_any_split() -> None:
    verify_codec(
        five,
        [
            (b"abcde", [b"abcde"]),
            (b"abcdefghij", [b"abcde", b"fghij"]),
            (b"\x00" * 15, [b"\x00" * 5] * 3),
            Case(b"abcd", [], rest=b"abcd"),
            Case(b"abcdef", [b"abcde"], rest=b"f"),
            Case(b"abcdefghi", [b"abcde"], rest=b"fghi"),
        ],
    )


def test_a_frame_may_be_a_single_byte() -> None:
    verify_codec(lambda: FixedSizeCodec(1), [(b"abc", [b"a", b"b", b"c"])])


def test_the_size_is_the_limit() -> None:
    assert five().max_length == SIZE


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_one_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="size"):
        FixedSizeCodec(size)


@pytest.mark.parametrize("size", [0, SIZE - 1, SIZE + 1])
def test_a_frame_of_another_size_cannot_be_encoded(size: int) -> None:
    with pytest.raises(ValueError, match="5 bytes"):
        five().encode(bytes(size))
    assert five().encode(b"abcde") == b"abcde"


def test_a_frame_is_bytes_of_its_own() -> None:
    (frame,) = read(five(), [b"ab", b"cde"])
    assert type(frame) is bytes


def test_what_was_encoded_comes_back_in_any_partition() -> None:
    check_round_trip(five)


def test_any_bytes_mean_the_same_in_any_partition() -> None:
    check_any_partition(five, b"a", b"bc", b"def")
