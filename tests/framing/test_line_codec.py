"""Lines as a codec: what the receivers of lines are made of."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.framing.formats import check_any_partition, check_round_trip, error_of, read
from trioproto.errors import FrameTooLong
from trioproto.framing import LineCodec
from trioproto.framing.line_codec import OnTooLong
from trioproto.testing import Case, chunks, verify_codec

LIMIT = 6
DELIMITERS = [b"\r\n", b"\n", b"\x00", b"\n\n", b"abab", b"aab", b"--end--"]
HANDLINGS: list[OnTooLong] = ["close", "discard"]


def limited(on_too_long: OnTooLong = "close") -> LineCodec:
    return LineCodec(max_length=LIMIT, on_too_long=on_too_long)


def discarding() -> LineCodec:
    return limited("discard")


def test_lines_are_cut_in_any_split() -> None:
    verify_codec(
        LineCodec,
        [
            (b"\r\n", [b""]),
            (b"a\r\n\r\nb\r\n", [b"a", b"", b"b"]),
            (b"a\r\r\n\nb\r\n", [b"a\r", b"\nb"]),
            (b"a\nb\rc\r\n", [b"a\nb\rc"]),
            Case(b"a\r\nrest", [b"a"], rest=b"rest"),
            Case(b"a\r\nrest\r", [b"a"], rest=b"rest\r"),
            Case(b"\r", [], rest=b"\r"),
        ],
    )


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_a_delimiter_cut_in_two_at_any_place_ends_a_line(delimiter: bytes) -> None:
    verify_codec(
        lambda: LineCodec(delimiter),
        [
            (b"one" + delimiter + b"two" + delimiter * 2, [b"one", b"two", b""]),
            Case(b"one" + delimiter + delimiter[:-1], [b"one"], rest=delimiter[:-1]),
        ],
    )


def test_a_delimiter_that_begins_inside_another_counts_from_the_left() -> None:
    verify_codec(lambda: LineCodec(b"aab"), [(b"aaabxaab", [b"a", b"x"])])
    codec = LineCodec(b"abab")
    assert read(codec, [b"aba", b"aba", b"bab", b"ab"]) == [b"aba", b""]
    assert codec.take_rest() == b""
    codec = LineCodec(b"\n\n")
    assert read(codec, [b"a\n", b"\n\n"]) == [b"a"]
    assert codec.take_rest() == b"\n"


@pytest.mark.parametrize("length", [0, 1, LIMIT - 1, LIMIT])
@pytest.mark.parametrize("on_too_long", HANDLINGS)
def test_a_line_up_to_the_limit_passes(length: int, on_too_long: OnTooLong) -> None:
    for line in (b"x" * length, b"\r" * length, b"\n" * length):
        verify_codec(lambda: limited(on_too_long), [((line + b"\r\n") * 2, [line, line])])


@pytest.mark.parametrize("excess", [1, 2, 3, 50])
def test_a_longer_line_ends_the_codec(excess: int) -> None:
    line = b"x" * (LIMIT + excess)
    error = FrameTooLong(LIMIT)
    verify_codec(
        limited,
        [
            (line + b"\r\n", [], error),
            (b"ok\r\n" + line + b"\r\nfresh\r\n", [b"ok"], error),
            (b"ok\r\n\r\n" + line[:-1] + b"\r\r\nfresh\r\n", [b"ok", b""], error),
        ],
    )


def test_an_unfinished_line_is_too_long_once_no_delimiter_can_save_it() -> None:
    codec = limited()
    assert read(codec, [b"x" * LIMIT, b"\r"]) == []
    error = error_of(codec, b"x")
    assert isinstance(error, FrameTooLong)
    assert (error.limit, error.announced, error.begun) == (LIMIT, None, b"xxxxxx\rx")


@pytest.mark.parametrize("excess", [1, 2, 3, 50])
def test_a_longer_line_may_be_discarded_and_the_next_ones_come(excess: int) -> None:
    line = b"x" * (LIMIT + excess)
    error = FrameTooLong(LIMIT)
    verify_codec(
        discarding,
        [
            Case[bytes](line + b"\r\nnext\r\n", [error, b"next"]),
            Case[bytes](
                b"ok\r\n" + line + b"\r\n" + line + b"\r\n\r\n", [b"ok", error, error, b""]
            ),
            Case[bytes](line + b"\r\r\nnext\r\n" + line + b"\n\r\n", [error, b"next", error]),
            Case[bytes](line + b"\r\nnext\r\nre", [error, b"next"], rest=b"re"),
        ],
    )


def test_discarding_says_that_it_skips_and_that_it_does_no_more() -> None:
    codec = discarding()
    codec.feed(b"ok\r\n" + b"x" * (LIMIT + 1))
    frames = codec.frames()
    assert next(frames) == b"ok"
    with pytest.raises(FrameTooLong):
        next(frames)
    assert codec.skipping
    assert not codec.ended
    assert read(codec, [b"more"]) == []
    assert codec.skipping
    assert read(codec, [b"\r\nnext\r\n"]) == [b"next"]
    assert not codec.skipping


def test_the_default_is_twisteds() -> None:
    codec = LineCodec()
    assert (codec.delimiter, codec.max_length, codec.on_too_long) == (b"\r\n", 16_384, "close")


def test_an_empty_delimiter_and_a_limit_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="delimiter"):
        LineCodec(b"")
    with pytest.raises(ValueError, match="max_length"):
        LineCodec(max_length=-1)


def test_a_limit_of_zero_lets_empty_lines_pass() -> None:
    verify_codec(
        lambda: LineCodec(max_length=0),
        [(b"\r\n\r\n", [b"", b""]), (b"\r\nx\r\n", [b""], FrameTooLong(0))],
    )


@pytest.mark.parametrize(
    ("delimiter", "line"),
    [
        (b"\r\n", b"a\r\nb"),
        (b"\r\n", b"\r\n"),
        (b"\n\n", b"a\n"),
        (b"abab", b"ab"),
        (b"abab", b"xababx"),
        (b"aa", b"a"),
    ],
)
def test_a_line_that_would_be_read_as_another_cannot_be_encoded(
    delimiter: bytes, line: bytes
) -> None:
    with pytest.raises(ValueError, match="delimiter"):
        LineCodec(delimiter).encode(line)


def test_a_line_may_end_with_a_part_of_its_delimiter() -> None:
    verify_codec(LineCodec, [(LineCodec().encode(b"a\r"), [b"a\r"])])
    verify_codec(lambda: LineCodec(b"aab"), [(LineCodec(b"aab").encode(b"a"), [b"a"])])


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_what_was_encoded_comes_back_in_any_partition(delimiter: bytes) -> None:
    check_round_trip(lambda: LineCodec(delimiter))


@pytest.mark.parametrize("on_too_long", HANDLINGS)
@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_any_bytes_mean_the_same_in_any_partition(delimiter: bytes, on_too_long: OnTooLong) -> None:
    check_any_partition(
        lambda: LineCodec(delimiter, max_length=LIMIT, on_too_long=on_too_long),
        delimiter,
        delimiter[:1],
        delimiter[-1:],
        delimiter[: len(delimiter) // 2 + 1],
        b"x",
        b"xyz",
    )


def expected(data: bytes, delimiter: bytes, limit: int, on_too_long: OnTooLong) -> list[object]:
    """A slow reading of the rules: the lines, and an error's type in the place of a long one."""
    lines = data.split(delimiter)[:-1]
    items: list[object] = [line if len(line) <= limit else FrameTooLong for line in lines]
    if on_too_long == "close" and FrameTooLong in items:
        del items[items.index(FrameTooLong) + 1 :]
    return items


@pytest.mark.parametrize("on_too_long", HANDLINGS)
@pytest.mark.parametrize("delimiter", [b"\n", b"\r\n", b"aa", b"abab", b"--end--"])
@pytest.mark.parametrize("limit", [1023, 1100, 16_384])
def test_long_lines_are_measured_rightly_among_short_ones(
    limit: int, delimiter: bytes, on_too_long: OnTooLong
) -> None:
    about = [0, 1, 2, limit // 2, limit - 8, *range(limit - 3, limit + 3)]
    length = st.sampled_from(about)
    line = st.builds(lambda size, byte: byte * size, length, st.sampled_from([b"x", delimiter[:1]]))

    @settings(max_examples=15)
    @given(st.lists(line, max_size=8), st.data())
    def check(lines: list[bytes], data: st.DataObject) -> None:
        sent = delimiter.join([*lines, b""])
        for pieces in ([sent], data.draw(chunks(sent))):
            codec = LineCodec(delimiter, max_length=limit, on_too_long=on_too_long)
            came = read(codec, filter(None, pieces))
            types = [type(item) if isinstance(item, FrameTooLong) else item for item in came]
            assert types == expected(sent, delimiter, limit, on_too_long)

    check()
