"""Lines that end with one of several delimiters."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.framing.formats import check_any_partition, check_round_trip, error_of, read
from trioproto.errors import FrameTooLong
from trioproto.framing import AnyLineCodec
from trioproto.framing.line_codec import OnTooLong
from trioproto.testing import Case, verify_codec

LIMIT = 6
UNIVERSAL = (b"\r", b"\n", b"\r\n")
SETS: list[Sequence[bytes]] = [
    (b"\r\n", b"\n"),
    UNIVERSAL,
    (b"\n", b"\x00", b"\r"),
    (b"--end--", b";"),
    (b"a", b"ab"),
    (b"ab", b"bc", b"c"),
    (b"\n\n", b"\r"),
]
HANDLINGS: list[OnTooLong] = ["close", "discard"]


def limited(on_too_long: OnTooLong = "close") -> AnyLineCodec:
    return AnyLineCodec(UNIVERSAL, max_length=LIMIT, on_too_long=on_too_long)


def test_each_delimiter_ends_a_line_in_any_split() -> None:
    verify_codec(
        AnyLineCodec,
        [
            (b"a\nb\r\nc\n", [b"a", b"b", b"c"]),
            (b"\n\r\n\n", [b"", b"", b""]),
            (b"a\r\r\nb\rc\n", [b"a\r", b"b\rc"]),
            Case(b"a\nb\r", [b"a"], rest=b"b\r"),
            Case(b"a\r\nb", [b"a"], rest=b"b"),
        ],
    )


def test_where_several_begin_the_longest_counts_also_when_its_end_comes_later() -> None:
    verify_codec(
        lambda: AnyLineCodec(UNIVERSAL),
        [
            (b"a\rb\nc\r\nd\r", [b"a", b"b", b"c", b"d"]),
            (b"\r\n\r\n", [b"", b""]),
            (b"\r\r\n\n\r", [b"", b"", b"", b""]),
            (b"\n\r\n", [b"", b""]),
            Case(b"a\r\nb", [b"a"], rest=b"b"),
        ],
    )
    codec = AnyLineCodec(UNIVERSAL)
    assert read(codec, [b"a\r", b"\n", b"\n"]) == [b"a", b""]


@pytest.mark.parametrize("delimiters", SETS)
def test_a_delimiter_cut_in_two_at_any_place_ends_a_line(delimiters: Sequence[bytes]) -> None:
    data = b"".join(b"x" + delimiter for delimiter in delimiters)
    lines = [b"x"] * len(delimiters)
    verify_codec(lambda: AnyLineCodec(delimiters), [(data, lines)])


@pytest.mark.parametrize("length", [0, 1, LIMIT - 1, LIMIT])
@pytest.mark.parametrize("on_too_long", HANDLINGS)
def test_a_line_up_to_the_limit_passes(length: int, on_too_long: OnTooLong) -> None:
    line = b"x" * length
    data = b"".join(line + delimiter for delimiter in (b"\n", b"\r", b"\r\n"))
    verify_codec(lambda: limited(on_too_long), [(data, [line] * 3)])


@pytest.mark.parametrize("excess", [1, 2, 50])
@pytest.mark.parametrize("delimiter", UNIVERSAL)
def test_a_longer_line_ends_the_codec(excess: int, delimiter: bytes) -> None:
    line = b"x" * (LIMIT + excess)
    verify_codec(
        limited, [(b"ok" + delimiter + line + delimiter + b"fresh\n", [b"ok"], FrameTooLong(LIMIT))]
    )
    error = error_of(limited(), line)
    assert isinstance(error, FrameTooLong)
    assert error.begun == line


@pytest.mark.parametrize("excess", [1, 2, 50])
@pytest.mark.parametrize("delimiter", UNIVERSAL)
def test_a_longer_line_may_be_discarded_and_the_next_ones_come(
    excess: int, delimiter: bytes
) -> None:
    line = b"x" * (LIMIT + excess)
    error = FrameTooLong(LIMIT)
    verify_codec(
        lambda: limited("discard"),
        [
            Case[bytes](line + delimiter + b"next\n", [error, b"next"]),
            Case[bytes](
                b"ok\r" + line + delimiter + b"\r" + line + delimiter, [b"ok", error, b"", error]
            ),
        ],
    )


def test_a_limit_is_met_before_the_end_of_a_longer_delimiter_has_come() -> None:
    codec = AnyLineCodec((b"--end--", b";"), max_length=LIMIT)
    assert read(codec, [b"x" * LIMIT, b"--end-"]) == []
    assert read(codec, [b"-"]) == [b"x" * LIMIT]
    error = error_of(codec, b"x" * LIMIT + b"--end;")
    assert isinstance(error, FrameTooLong)


@pytest.mark.parametrize(
    "delimiters",
    [(), (b"",), (b"\n", b""), (b"b", b"abc"), (b"a", b"abc"), (b"\n", b"\r\n\r"), (b"a", b"aab")],
)
def test_delimiters_that_would_make_the_cut_matter_are_refused(delimiters: list[bytes]) -> None:
    with pytest.raises(ValueError, match="delimiter"):
        AnyLineCodec(delimiters)


def test_a_limit_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="max_length"):
        AnyLineCodec(max_length=-1)


def test_lines_are_encoded_with_the_first_delimiter() -> None:
    assert AnyLineCodec().encode(b"a") == b"a\r\n"
    assert AnyLineCodec((b"\n", b"\r\n")).encode(b"a") == b"a\n"


@pytest.mark.parametrize(
    ("delimiters", "line"),
    [
        ((b"\r\n", b"\n"), b"a\nb"),
        ((b"\n", b"\x00"), b"a\x00"),
        ((b"\n\n", b"\r"), b"a\n"),
        ((b"\r", b"\r\n"), b"\na"),
    ],
)
def test_a_line_that_would_be_read_as_another_cannot_be_encoded(
    delimiters: Sequence[bytes], line: bytes
) -> None:
    with pytest.raises(ValueError, match="delimiter"):
        AnyLineCodec(delimiters).encode(line)


@pytest.mark.parametrize("delimiters", SETS)
def test_what_was_encoded_comes_back_in_any_partition(delimiters: Sequence[bytes]) -> None:
    check_round_trip(lambda: AnyLineCodec(delimiters))


@pytest.mark.parametrize("on_too_long", HANDLINGS)
@pytest.mark.parametrize("delimiters", SETS)
def test_any_bytes_mean_the_same_in_any_partition(
    delimiters: Sequence[bytes], on_too_long: OnTooLong
) -> None:
    check_any_partition(
        lambda: AnyLineCodec(delimiters, max_length=LIMIT, on_too_long=on_too_long),
        *delimiters,
        *(delimiter[:1] for delimiter in delimiters),
        *(delimiter[-1:] for delimiter in delimiters),
        b"x",
        b"xyz",
    )
