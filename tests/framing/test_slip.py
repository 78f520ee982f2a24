"""SLIP: packets between END bytes."""

from __future__ import annotations

import pytest

from tests.framing.formats import check_any_partition, check_round_trip, error_of, read
from trioproto.errors import FrameTooLong, MalformedFrame
from trioproto.framing import SlipCodec
from trioproto.testing import Case, verify_codec

END, ESC, ESC_END, ESC_ESC = b"\xc0", b"\xdb", b"\xdb\xdc", b"\xdb\xdd"
LIMIT = 12


def limited() -> SlipCodec:
    return SlipCodec(max_length=LIMIT)


def test_packets_are_cut_and_unescaped_in_any_split() -> None:
    verify_codec(
        SlipCodec,
        [
            (b"a" + END, [b"a"]),
            (END + b"ab" + END, [b"ab"]),
            (b"ab" + END + END + b"cd" + END, [b"ab", b"cd"]),
            (ESC_END + ESC_ESC + END, [END + ESC]),
            (b"a" + ESC_END + b"b" + ESC_ESC + b"c" + END, [b"a" + END + b"b" + ESC + b"c"]),
            (ESC_ESC + b"\xdc" + END, [ESC + b"\xdc"]),
            (b"\xdc\xdd" + END, [b"\xdc\xdd"]),
            Case(b"a" + END + b"bc", [b"a"], rest=b"bc"),
            Case(b"a" + END + b"b" + ESC, [b"a"], rest=b"b" + ESC),
        ],
    )


def test_empty_packets_are_dropped_and_leave_nothing() -> None:
    codec = SlipCodec()
    assert read(codec, [END * 5, b"a" + END, END]) == [b"a"]
    assert codec.pending == 0
    codec.check_end()


@pytest.mark.parametrize(
    ("data", "offset", "found"),
    [
        (ESC + b"a" + END, 0, ESC + b"a"),
        (b"ab" + ESC + b"c" + END, 2, ESC + b"c"),
        (b"ab" + ESC + END, 2, ESC),
        (ESC + ESC + END, 0, ESC),
        (ESC_ESC + ESC + b"x" + END, 2, ESC + b"x"),
        (b"a" + ESC_END + b"b" + ESC + b"\x00" + END, 4, ESC + b"\x00"),
    ],
)
def test_an_escape_of_nothing_is_refused_where_it_is(
    data: bytes, offset: int, found: bytes
) -> None:
    error = MalformedFrame("", offset, found)
    verify_codec(SlipCodec, [(data, [], error), (b"ok" + END + data + b"x" + END, [b"ok"], error)])


@pytest.mark.parametrize("length", [1, LIMIT - 1, LIMIT])
def test_a_packet_up_to_the_limit_passes_however_many_bytes_are_escaped(length: int) -> None:
    for packet in (b"x" * length, END * length, (ESC + b"x" * length)[:length]):
        encoded = SlipCodec().encode(packet)
        verify_codec(limited, [(encoded, [packet]), (encoded * 2, [packet] * 2)])


@pytest.mark.parametrize("packet", [b"x" * (LIMIT + 1), END * (LIMIT + 1), b"x" * 2 * LIMIT])
def test_a_longer_packet_is_refused(packet: bytes) -> None:
    encoded = SlipCodec().encode(packet)
    error = FrameTooLong(LIMIT)
    verify_codec(limited, [(encoded, [], error), (b"ok" + END + encoded, [b"ok"], error)])


def test_an_unfinished_packet_is_refused_once_escapes_cannot_save_it() -> None:
    data = b"x" * (2 * LIMIT + 1)
    assert read(limited(), [data[:-1]]) == []
    verify_codec(limited, [(data, [], FrameTooLong(LIMIT))])
    error = error_of(limited(), data)
    assert isinstance(error, FrameTooLong)
    assert error.limit == LIMIT
    assert error.begun == data


def test_the_default_limit_is_that_of_strings() -> None:
    assert SlipCodec().max_length == 99_999
    with pytest.raises(ValueError, match="max_length"):
        SlipCodec(max_length=-1)


def test_packets_are_encoded_with_an_end_behind() -> None:
    codec = SlipCodec()
    assert codec.encode(b"ab") == b"ab" + END
    assert codec.encode(END + ESC + b"\xdc") == ESC_END + ESC_ESC + b"\xdc" + END


def test_an_empty_packet_cannot_be_encoded() -> None:
    with pytest.raises(ValueError, match="empty"):
        SlipCodec().encode(b"")


def test_what_was_encoded_comes_back_in_any_partition() -> None:
    check_round_trip(SlipCodec)
    check_round_trip(limited)


def test_any_bytes_mean_the_same_in_any_partition() -> None:
    check_any_partition(limited, END, ESC, ESC_END, ESC_ESC, b"\xdc", b"a", b"bcdef")
