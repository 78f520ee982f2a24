"""The verifier of codecs: a right one passes, and a wrong one fails where it is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing import words
from tests.testing.words import Words
from trioproto.errors import FramingError, MalformedFrame
from trioproto.testing import Case, VerificationFailed, verify_codec

TWO = Case(b"ab;cd;", [b"ab", b"cd"])
ONE = Case(b"ab;", [b"ab"])
SHOUT = Case(b"ab;c!;", [b"ab"], MalformedFrame)


@pytest.mark.parametrize(
    "case",
    [
        TWO,
        ONE,
        SHOUT,
        (b"ab;cd;", [b"ab", b"cd"]),
        (b"ab;c!;ef;", [b"ab"], MalformedFrame),
        (b"ab;c!;ef;", [b"ab"], MalformedFrame("a shout", 1, b"!")),
        (b"ab;c!;ef;", [b"ab"], MalformedFrame("", 1)),
        (b";;", [b"", b""]),
        (b"", []),
        Case(b"ab;cd", [b"ab"], rest=b"cd"),
        Case(b"ab", [], rest=b"ab"),
    ],
)
def test_a_right_codec_passes(case: Any) -> None:
    verify_codec(Words, [case])


BROKEN = [
    (words.SmallBuffer, TWO, "whole"),
    (words.UpperCase, TWO, "whole"),
    (words.NeverEnds, TWO, "whole"),
    (words.DropsSingleBytes, TWO, "byte by byte"),
    (words.OneBytesErrorElsewhere, SHOUT, "byte by byte"),
    (words.Crashes, TWO, "byte by byte"),
    (words.ForgetsBehindLeftOver, TWO, "at every split"),
    (words.OneForEachChunk, ONE, "many at once"),
    (words.HidesLeftOver, TWO, "with left-overs"),
    (words.CountsTooMuch, TWO, "with left-overs"),
    (words.AcceptsAnyEnd, TWO, "with left-overs"),
    (words.SaysEmpty, TWO, "with left-overs"),
    (words.LosesRest, TWO, "with left-overs"),
    (words.KeepsRest, TWO, "with left-overs"),
    (words.LosesWhatIsSplit, TWO, "with left-overs"),
    (words.WorksOnACopy, TWO, "with pauses"),
    (words.LooksOnce, TWO, "with pauses"),
    (words.ForgetsItsError, SHOUT, "after an error"),
    (words.EndsQuietly, SHOUT, "after an error"),
    (words.NotesAnotherError, SHOUT, "after an error"),
    (words.GrowsAfterItsError, SHOUT, "after an error"),
    (words.EncodesWithoutEnd, TWO, "encoded again"),
    (words.EncodesNothing, TWO, "encoded again"),
]


@pytest.mark.parametrize(("codec", "case", "way"), BROKEN)
def test_a_broken_codec_fails_in_the_way_that_shows_it(
    codec: type[Words], case: Case[bytes], way: str
) -> None:
    with pytest.raises(VerificationFailed) as failed:
        verify_codec(codec, [case])
    assert failed.value.way == way


def test_there_is_a_broken_codec_for_each_way() -> None:
    broken = {codec for codec, _case, _way in BROKEN}
    subclasses = {each for each in vars(words).values() if isinstance(each, type)}
    right = {Words, words.Spaced}
    assert broken == {each for each in subclasses if issubclass(each, Words)} - right


@pytest.mark.parametrize(
    ("case", "way"),
    [
        (Case(b"ab;cd;", [b"ab"]), "whole"),
        (Case(b"ab;", [b"ab", b"cd"]), "whole"),
        (Case(b"ab;cd", [b"ab"]), "whole"),
        (Case(b"ab;cd", [b"ab"], rest=b"cc"), "whole"),
        (Case(b"ab;", [b"ab"], rest=b";"), "whole"),
        (Case(b"ab;", [b"ab"], MalformedFrame), "whole"),
        (Case(b"ab;!;", [b"ab"]), "whole"),
        (Case(b"ab;!;", [b"ab"], FramingError), "whole"),
        (Case(b"ab;!;", [b"ab"], MalformedFrame("", 1)), "whole"),
        (Case(b"ab;!;", [b"ab"], MalformedFrame("", 0, b"?")), "whole"),
        (Case(b"ab;!;", [b"ab"], MalformedFrame("a whisper", 0)), "whole"),
    ],
)
def test_a_right_codec_fails_a_wrong_case(case: Case[bytes], way: str) -> None:
    with pytest.raises(VerificationFailed) as failed:
        verify_codec(Words, [case])
    assert failed.value.way == way


def test_frames_may_be_anything_that_can_be_compared() -> None:
    verify_codec(words.Values, [(b"ab;cd;", [{"word": "ab"}, {"word": "cd"}])])
    with pytest.raises(VerificationFailed):
        verify_codec(words.Values, [(b"ab;cd;", [{"word": "ab"}, {"word": "ce"}])])


def test_what_stands_between_frames_may_be_dropped_before_the_next_one_comes() -> None:
    verify_codec(words.Spaced, [(b" ab;   cd; ;", [b"ab", b"cd", b""]), (b"ab;  ", [b"ab"])])


def test_every_case_is_tried() -> None:
    with pytest.raises(VerificationFailed):
        verify_codec(Words, [TWO, (b"ab;", [b"xx"])])


def test_without_a_case_there_is_nothing_to_pass() -> None:
    with pytest.raises(ValueError, match="no case"):
        verify_codec(Words, [])


def test_a_failure_is_an_assertion_that_shows_all_that_is_needed_to_repeat_it() -> None:
    with pytest.raises(AssertionError) as failed:
        verify_codec(words.ForgetsBehindLeftOver, [TWO])
    assert str(failed.value).splitlines() == [
        "at every split: not what was to come",
        "  fed:      b'a' | b'b;cd;'",
        "  came:     [b'ab']",
        "  expected: [b'ab', b'cd']",
        "  1 items came, expected 2",
    ]


def test_a_failure_points_at_the_first_difference() -> None:
    with pytest.raises(VerificationFailed) as failed:
        verify_codec(Words, [(b"ab;cd;", [b"ab", b"ce"])])
    assert str(failed.value).endswith("\n  item 1 is b'cd', expected b'ce'")


def test_a_failure_of_much_data_is_short() -> None:
    data = b"".join(b"%d;" % number for number in range(5000))
    with pytest.raises(VerificationFailed) as failed:
        verify_codec(words.UpperCase, [(data + b"a;", [])])
    assert len(str(failed.value)) < 3000
    with pytest.raises(VerificationFailed) as failed:
        verify_codec(words.DropsSingleBytes, [(data, data.split(b";")[:-1])])
    assert len(str(failed.value)) < 3000


def test_what_a_codec_raises_by_mistake_is_the_cause_of_the_failure() -> None:
    with pytest.raises(VerificationFailed, match="IndexError was raised") as failed:
        verify_codec(words.Crashes, [TWO])
    assert isinstance(failed.value.__cause__, IndexError)


def test_a_large_case_is_cut_where_frames_end_though_not_everywhere() -> None:
    class FailsAtTheEdge(Words):
        """Fails only if a chunk ends with the second word: in one place of 6006."""

        def feed(self, data: bytes) -> None:
            super().feed(data.replace(b"b", b"c") if data.endswith(b"bb;") else data)

    case = Case(b"a" * 3001 + b";" + b"b" * 3001 + b";d;", [b"a" * 3001, b"b" * 3001, b"d"])
    verify_codec(Words, [case])
    with pytest.raises(VerificationFailed):
        verify_codec(FailsAtTheEdge, [case])
