"""Netstrings: what is one, what is none, and how long one may be."""

from __future__ import annotations

import pytest

from tests.framing.formats import check_any_partition, check_round_trip, error_of, read
from trioproto.errors import FrameTooLong, MalformedFrame
from trioproto.framing import NetstringCodec
from trioproto.testing import Case, verify_codec

LIMIT = 12


def limited() -> NetstringCodec:
    return NetstringCodec(max_length=LIMIT)


def test_netstrings_are_cut_in_any_split() -> None:
    verify_codec(
        NetstringCodec,
        [
            (b"0:,", [b""]),
            (b"1:a,", [b"a"]),
            (b"4:1:a,,", [b"1:a,"]),
            (b"0:,1:a,4:1:a,,0:,", [b"", b"a", b"1:a,", b""]),
            (b"12:hello world!,3:\x00\xff\n,", [b"hello world!", b"\x00\xff\n"]),
            Case(b"1:a,2:b", [b"a"], rest=b"2:b"),
            Case(b"1:a,2:bc", [b"a"], rest=b"2:bc"),
            Case(b"1:a,12", [b"a"], rest=b"12"),
        ],
    )


@pytest.mark.parametrize("length", [0, 1, LIMIT - 1, LIMIT])
def test_a_string_up_to_the_limit_passes(length: int) -> None:
    string = b"x" * length
    verify_codec(limited, [(b"%d:%b," % (length, string), [string])])


@pytest.mark.parametrize("length", [LIMIT + 1, 99])
def test_a_longer_one_is_refused_by_what_it_announces(length: int) -> None:
    error = FrameTooLong(LIMIT, announced=length)
    verify_codec(limited, [(b"1:a,%d:" % length, [b"a"], error)])
    codec = limited()
    assert read(codec, [b"%d" % length]) == []
    assert isinstance(error_of(codec, b":"), FrameTooLong)


def test_more_digits_than_the_limit_can_have_are_refused_before_the_colon() -> None:
    verify_codec(limited, [(b"1:a,100", [b"a"], FrameTooLong(LIMIT))])
    verify_codec(limited, [(b"1:a,100:x,", [b"a"], FrameTooLong(LIMIT))])
    verify_codec(NetstringCodec, [(b"1" * 6, [], FrameTooLong(99_999))])
    verify_codec(NetstringCodec, [(b"9" * 5000 + b":", [], FrameTooLong(99_999))])
    error = error_of(limited(), b"100")
    assert isinstance(error, FrameTooLong)
    assert error.announced is None


def test_the_default_limit_is_twisteds() -> None:
    assert NetstringCodec().max_length == 99_999
    string = b"x" * 99_999
    codec = NetstringCodec()
    assert read(codec, [b"99999:", string, b","]) == [string]
    assert isinstance(error_of(NetstringCodec(), b"100000:"), FrameTooLong)


def test_a_limit_of_zero_is_legal() -> None:
    verify_codec(
        lambda: NetstringCodec(max_length=0),
        [(b"0:,0:,", [b"", b""]), (b"0:,1:", [b""], FrameTooLong(0, announced=1))],
    )


def test_a_limit_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="max_length"):
        NetstringCodec(max_length=-1)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b":,", MalformedFrame("", 0, b":")),
        (b"a:,", MalformedFrame("", 0, b"a")),
        (b"-1:a,", MalformedFrame("", 0, b"-")),
        (b"+1:a,", MalformedFrame("", 0, b"+")),
        (b" 1:a,", MalformedFrame("", 0, b" ")),
        (b"1 :a,", MalformedFrame("", 1, b" ")),
        (b"1\n:a,", MalformedFrame("", 1, b"\n")),
        (b"1,", MalformedFrame("", 1, b",")),
        (b"1_0:", MalformedFrame("", 1, b"_")),
        (b"\xb2:ab,", MalformedFrame("", 0, b"\xb2")),
        (b"01:a,", MalformedFrame("", 0, b"01")),
        (b"00:,", MalformedFrame("", 0, b"00")),
        (b"1:ab", MalformedFrame("", 3, b"b")),
        (b"0:a", MalformedFrame("", 2, b"a")),
        (b"12:hello world!\n", MalformedFrame("", 15, b"\n")),
        (b"\x00" * 20, MalformedFrame("", 0, b"\x00")),
    ],
)
def test_what_is_no_netstring_is_refused_where_it_goes_wrong(
    data: bytes, error: MalformedFrame
) -> None:
    """The offset counts from the start of the frame, not of the stream."""
    verify_codec(limited, [(data, [], error), (b"5:first," + data, [b"first"], error)])


def test_nothing_that_follows_a_malformed_one_is_kept() -> None:
    codec = limited()
    error = error_of(codec, b"x1:a,")
    assert read(codec, [b"1:a,", b"y" * 1000]) == [error]
    assert codec.pending == 0
    assert codec.take_rest() == b""


def test_strings_are_encoded_with_their_length() -> None:
    codec = NetstringCodec()
    assert codec.encode(b"") == b"0:,"
    assert codec.encode(b"hello") == b"5:hello,"


def test_what_was_encoded_comes_back_in_any_partition() -> None:
    check_round_trip(limited)
    check_round_trip(NetstringCodec)


def test_any_bytes_mean_the_same_in_any_partition() -> None:
    check_any_partition(limited, b"0:,", b"2:ab,", b"1", b"2", b"0", b":", b",", b"a", b"-")
