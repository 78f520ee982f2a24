"""Content-Length headers, as the Language Server Protocol has them."""

from __future__ import annotations

import pytest

from tests.framing.formats import check_any_partition, check_round_trip, error_of, read
from trioproto.errors import FrameTooLong, MalformedFrame
from trioproto.framing import ContentLengthCodec
from trioproto.testing import Case, verify_codec

LIMIT = 12
FIRST = b"Content-Length: 5\r\n\r\nfirst"


def limited() -> ContentLengthCodec:
    return ContentLengthCodec(max_length=LIMIT, max_header=60)


def test_bodies_are_cut_in_any_split() -> None:
    verify_codec(
        ContentLengthCodec,
        [
            (FIRST, [b"first"]),
            (FIRST + b"Content-Length: 0\r\n\r\n" + FIRST, [b"first", b"", b"first"]),
            (b"Content-Length: 4\r\n\r\n\r\n\r\n", [b"\r\n\r\n"]),
            Case(FIRST + b"Content-Length: 5\r\n\r\nhell", [b"first"], rest=FIRST[:-5] + b"hell"),
            Case(FIRST + FIRST[:21], [b"first"], rest=FIRST[:21]),
            Case(FIRST + b"Cont", [b"first"], rest=b"Cont"),
        ],
    )


@pytest.mark.parametrize(
    "headers",
    [
        b"content-length: 2",
        b"CONTENT-LENGTH:2",
        b"Content-Length:  2  ",
        b"Content-Length: 2\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8",
        b"Content-Type: a:b\r\nContent-Length: 2",
        b"X-Content-Length: 7\r\nContent-Length: 2\r\nContent-Length-X: 8",
    ],
)
def test_other_headers_are_read_over_and_case_does_not_matter(headers: bytes) -> None:
    verify_codec(ContentLengthCodec, [(headers + b"\r\n\r\nab" + FIRST, [b"ab", b"first"])])


@pytest.mark.parametrize(
    ("headers", "offset", "found"),
    [
        (b"Content-Length 2", 0, b"Content-Length 2"),
        (b"A: b\r\nnonsense\r\nContent-Length: 2", 6, b"nonsense"),
        (b"Content-Length: -2", 0, b"Content-Length: -2"),
        (b"Content-Length: +2", 0, b"Content-Length: +2"),
        (b"Content-Length: 2a", 0, b"Content-Length: 2a"),
        (b"Content-Length: 0x2", 0, b"Content-Length: 0x2"),
        (b"Content-Length: 2.0", 0, b"Content-Length: 2.0"),
        (b"Content-Length: 2 2", 0, b"Content-Length: 2 2"),
        (b"Content-Length: 1_0", 0, b"Content-Length: 1_0"),
        (b"Content-Length: \xb2", 0, b"Content-Length: \xb2"),
        (b"Content-Length:", 0, b"Content-Length:"),
        (b"A: b\r\nContent-Length: x", 6, b"Content-Length: x"),
        (b"Content-Length: 2\r\nContent-Length: 2", 19, b"Content-Length: 2"),
        (b"Content-Length: 2\r\ncontent-length: 3", 19, b"content-length: 3"),
        (b"Content-Type: x", 0, b"Content-Type: x"),
        (b"", 0, b""),
    ],
)
def test_without_exactly_one_plain_length_it_is_malformed(
    headers: bytes, offset: int, found: bytes
) -> None:
    data = headers + b"\r\n\r\nabc"
    error = MalformedFrame("", offset, found)
    verify_codec(ContentLengthCodec, [(data, [], error), (FIRST + data, [b"first"], error)])


@pytest.mark.parametrize("length", [0, LIMIT - 1, LIMIT])
def test_a_body_up_to_the_limit_passes(length: int) -> None:
    data = b"Content-Length: %d\r\n\r\n" % length + b"x" * length
    verify_codec(limited, [(data, [b"x" * length])])


@pytest.mark.parametrize("length", [LIMIT + 1, 99, 10**15])
def test_a_longer_body_is_refused_by_what_it_announces(length: int) -> None:
    data = FIRST + b"Content-Length: %d\r\n\r\n" % length
    verify_codec(limited, [(data, [b"first"], FrameTooLong(LIMIT, announced=length))])


def test_a_length_of_very_many_digits_is_too_long_or_not_by_its_value() -> None:
    codec = ContentLengthCodec(max_header=10_000)
    assert isinstance(
        error_of(codec, b"Content-Length: " + b"9" * 9000 + b"\r\n\r\n"), FrameTooLong
    )
    codec = ContentLengthCodec(max_header=10_000)
    assert read(codec, [b"Content-Length: " + b"0" * 9000 + b"2\r\n\r\nab"]) == [b"ab"]


@pytest.mark.parametrize("padding", [0, 1])
def test_headers_up_to_their_limit_pass(padding: int) -> None:
    headers = b"Content-Length: 2\r\nX: " + b"x" * (34 - padding) + b"\r\n\r\n"
    assert len(headers) == 60 - padding
    verify_codec(limited, [(headers + b"ab", [b"ab"])])


@pytest.mark.parametrize("data", [b"X: " + b"x" * 57, b"Content-Length: 2\n\n" + b"x" * 41])
def test_headers_without_end_are_refused_at_their_limit(data: bytes) -> None:
    assert len(data) == 60
    assert read(limited(), [data[:-1]]) == []
    verify_codec(
        limited,
        [
            (data, [], FrameTooLong(60)),
            (FIRST + data + b"\r\n\r\n", [b"first"], FrameTooLong(60)),
        ],
    )


def test_headers_one_byte_above_their_limit_are_refused() -> None:
    headers = b"Content-Length: 2\r\nX: " + b"x" * 35 + b"\r\n\r\n"
    assert len(headers) == 61
    verify_codec(limited, [(headers + b"ab", [], FrameTooLong(60))])


@pytest.mark.parametrize("limit", ["max_length", "max_header"])
def test_a_limit_below_zero_is_refused(limit: str) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        ContentLengthCodec(**{limit: -1})


def test_bodies_are_encoded_with_their_length() -> None:
    codec = ContentLengthCodec()
    assert codec.encode(b"") == b"Content-Length: 0\r\n\r\n"
    assert codec.encode(b"hello") == b"Content-Length: 5\r\n\r\nhello"


def test_what_was_encoded_comes_back_in_any_partition() -> None:
    check_round_trip(ContentLengthCodec)
    check_round_trip(limited)


def test_any_bytes_mean_the_same_in_any_partition() -> None:
    check_any_partition(
        limited, FIRST, b"Content-Length: 2", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"ab", b"X: y"
    )


@pytest.mark.parametrize("size", [60, 900, 60_000])
def test_a_header_that_was_cut_costs_no_step_for_each_of_its_bytes(size: int) -> None:
    """What is behind the cut is joined to it in few pieces, each twice as long."""
    steps = 0

    class Counting(ContentLengthCodec):
        def _lacks(self, wanted: int, at_once: int = 0) -> bool:
            nonlocal steps
            steps += 1
            return super()._lacks(wanted, at_once)

    codec = Counting(max_header=100_000)
    codec.feed(b"X: ")
    assert list(codec.frames()) == []
    codec.feed(b"x" * size + b"\r\n" + FIRST)
    assert list(codec.frames()) == [b"first"]
    assert steps < 20
