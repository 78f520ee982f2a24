"""JSON lines: one value on each line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.framing.formats import check_any_partition, check_round_trip, error_of, read
from trioproto.errors import FrameTooLong, MalformedFrame
from trioproto.framing import JsonLinesCodec
from trioproto.testing import Case, verify_codec

LIMIT = 12


def limited() -> JsonLinesCodec:
    return JsonLinesCodec(max_length=LIMIT)


def test_values_are_read_in_any_split() -> None:
    verify_codec(
        JsonLinesCodec,
        [
            (b"1\n", [1]),
            (b'{"a":[1,2.5,null,true]}\n"x"\n', [{"a": [1, 2.5, None, True]}, "x"]),
            (b"null\nfalse\n[]\n{}\n", [None, False, [], {}]),
            (b' { "a" : 1 } \r\n\t2\t\n', [{"a": 1}, 2]),
            ('"ä€😀"\n'.encode(), ["ä€😀"]),
            (rb'"\u00e4\ud83d\ude00\n"' + b"\n", ["ä😀\n"]),
            Case(b"1\n[2", [1], rest=b"[2"),
            Case(b'1\n"\xe2\x82', [1], rest=b'"\xe2\x82'),
        ],
    )


def test_empty_lines_are_read_over_and_leave_nothing() -> None:
    verify_codec(
        JsonLinesCodec,
        [(b"\n", []), (b"\n\n1\n\r\n \t\n2\n\n", [1, 2])],
    )
    codec = JsonLinesCodec()
    assert read(codec, [b"1\n", b"\n", b" \n"]) == [1]
    assert codec.pending == 0
    codec.check_end()


@pytest.mark.parametrize(
    ("line", "offset", "found"),
    [
        (b"\xff", 0, b"\xff"),
        (b'"ab\x80"', 3, b"\x80"),
        (b'"\xc3\xa4\xc3"', 3, b"\xc3"),
        (b'"\xed\xa0\x80"', 1, b"\xed"),
        (b'"\xf8\x88\x80\x80\x80"', 1, b"\xf8"),
        (b'"\xc0\x80"', 1, b"\xc0"),
    ],
)
def test_invalid_utf8_is_malformed_where_it_begins(line: bytes, offset: int, found: bytes) -> None:
    error = MalformedFrame("not UTF-8", offset, found)
    verify_codec(
        JsonLinesCodec, [(line + b"\n", [], error), (b"1\n" + line + b"\n2\n", [1], error)]
    )


@pytest.mark.parametrize(
    ("line", "offset", "found"),
    [
        (b"x", 0, b"x"),
        (b"[1 2]", 3, b"2]"),
        (b"{1:2}", 1, b"1:2}"),
        (b"1 2", 2, b"2"),
        (b"\x00", 0, b"\x00"),
        (b"NaN", 0, b""),
        (b"[Infinity]", 0, b""),
        (b"-Infinity", 0, b""),
        ('["äö", x]'.encode(), 9, b"x]"),
        (b'"a\tb"', 2, b"\tb"),
        (b"\xef\xbb\xbf1", 0, b"\xef\xbb\xbf1"),
        (b"9" * 5000, 0, b""),
    ],
)
def test_what_is_no_json_is_malformed_where_it_goes_wrong(
    line: bytes, offset: int, found: bytes
) -> None:
    codec = JsonLinesCodec()
    assert read(codec, [b"1\n"]) == [1]
    error = error_of(codec, line + b"\n2\n")
    assert isinstance(error, MalformedFrame)
    assert error.offset == offset
    assert error.found.startswith(found)
    assert read(codec, [b"3\n"]) == [error]
    assert codec.pending == 0


def test_a_line_that_is_no_json_is_malformed_in_any_split() -> None:
    verify_codec(
        JsonLinesCodec,
        [
            (b"1\n[1 2]\n2\n", [1], MalformedFrame("", 3)),
            (b"[" * 50 + b"\n", [], MalformedFrame("", 50)),
            (b"nan\n", [], MalformedFrame),
        ],
    )


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_nesting_100_000_deep_is_malformed(opening: bytes) -> None:
    line = opening * 100_000
    codec = JsonLinesCodec(max_length=len(line))
    assert read(codec, [b"1\n"]) == [1]
    error = error_of(codec, line + b"\n2\n")
    assert isinstance(error, MalformedFrame)
    assert "deep" in str(error)
    assert read(codec, [b"3\n"]) == [error]


def test_nesting_100_000_deep_is_too_long_by_default() -> None:
    codec = JsonLinesCodec()
    assert codec.max_length == 99_999
    assert isinstance(error_of(codec, b"[" * 100_000), FrameTooLong)


@pytest.mark.parametrize("length", [2, LIMIT - 1, LIMIT])
def test_a_line_up_to_the_limit_passes(length: int) -> None:
    value = "x" * (length - 2)
    line = b'"%b"\n' % value.encode()
    verify_codec(limited, [(line, [value]), (line * 2, [value] * 2)])


@pytest.mark.parametrize("excess", [1, 2, 30])
def test_a_longer_line_is_refused_also_one_of_spaces(excess: int) -> None:
    for byte in (b"1", b" "):
        line = byte * (LIMIT + excess)
        verify_codec(limited, [(b"1\n" + line + b"\n2\n", [1], FrameTooLong(LIMIT))])
        error = error_of(limited(), line)
        assert isinstance(error, FrameTooLong)
        assert error.begun == line


def test_the_limit_counts_bytes_and_not_characters() -> None:
    assert read(limited(), ['"äääää"\n'.encode()]) == ["äääää"]
    assert isinstance(error_of(limited(), '"ääääää"\n'.encode()), FrameTooLong)


def test_values_are_encoded_compactly_on_a_line() -> None:
    codec = JsonLinesCodec()
    assert codec.encode({"a": [1, None]}) == b'{"a":[1,null]}\n'
    assert codec.encode("one\ntwo") == rb'"one\ntwo"' + b"\n"


def test_what_has_no_json_cannot_be_encoded() -> None:
    codec = JsonLinesCodec()
    for value in (float("nan"), float("inf"), [-float("inf")]):
        with pytest.raises(ValueError, match="JSON"):
            codec.encode(value)
    with pytest.raises(TypeError):
        codec.encode(b"bytes")


def test_another_library_may_read_and_write() -> None:
    codec = JsonLinesCodec(loads=lambda text: text[::-1], dumps=lambda value: value[::-1])
    assert read(codec, [b"abc\n"]) == ["cba"]
    assert codec.encode("xyz") == b"zyx\n"
    assert JsonLinesCodec(dumps=lambda value: b"bytes").encode(1) == b"bytes\n"


def test_what_another_library_cannot_read_is_malformed() -> None:
    def refuse(text: str) -> Any:
        raise ValueError("no")

    verify_codec(lambda: JsonLinesCodec(loads=refuse), [(b"1\n", [], MalformedFrame)])


def test_what_another_library_writes_is_one_line() -> None:
    codec = JsonLinesCodec(dumps=lambda value: json.dumps(value, indent=1))
    with pytest.raises(ValueError, match="delimiter"):
        codec.encode({"a": 1})


def test_what_was_encoded_comes_back_in_any_partition() -> None:
    check_round_trip(JsonLinesCodec)


def test_any_bytes_mean_the_same_in_any_partition() -> None:
    check_any_partition(
        limited, b"\n", b"\n", b"[", b"]", b'"', b"1", b",", b" ", b"\xc3", b"\xa4", b'"ab"\n'
    )
