"""The grammar of endpoint strings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioproto.endpoints.words import Words, quote, split
from trioproto.errors import EndpointError

NAMES = st.text("abcDEF_", min_size=1)


@pytest.mark.parametrize(
    ("text", "positional", "keywords"),
    [
        ("", [""], {}),
        ("tcp", ["tcp"], {}),
        ("tcp:", ["tcp", ""], {}),
        ("tcp:8007", ["tcp", "8007"], {}),
        ("tcp::8007", ["tcp", "", "8007"], {}),
        ("tcp:8007:interface=x", ["tcp", "8007"], {"interface": "x"}),
        ("a:b=", ["a"], {"b": ""}),
        ("a:=b", ["a"], {"": "b"}),
        ("a:b=c=d", ["a"], {"b": "c=d"}),
        (r"a:b=\:\:1", ["a"], {"b": "::1"}),
        (r"a:b\=c", ["a", "b=c"], {}),
        (r"a:b\:c=d", ["a"], {"b:c": "d"}),
        (r"a\\:b", ["a\\", "b"], {}),
        (r"a\\\:b", ["a\\:b"], {}),
        (r"\a\b", ["ab"], {}),
        ("a:b\nc=d\ne", ["a"], {"b\nc": "d\ne"}),
        ("a:b=\\\n", ["a"], {"b": "\n"}),
        (r"a:b=c\\", ["a"], {"b": "c\\"}),
    ],
)
def test_a_string_is_cut_up(text: str, positional: list[str], keywords: dict[str, str]) -> None:
    words = split(text)
    assert (words.positional, words.keywords) == (positional, keywords)
    assert words.inner == ""


@pytest.mark.parametrize(
    ("text", "positional", "keywords", "inner"),
    [
        ("wraps", ["wraps"], {}, ""),
        ("wraps:", ["wraps"], {}, ""),
        ("wraps:tcp:8007", ["wraps"], {}, "tcp:8007"),
        (r"wraps:tcp\:8007", ["wraps"], {}, "tcp:8007"),
        ("wraps:stdio:", ["wraps"], {}, "stdio:"),
        ("wraps:a=1:b=2:tcp:8007", ["wraps"], {"a": "1", "b": "2"}, "tcp:8007"),
        (r"wraps:a=\:\:1:tcp:8007:b=\:\:1", ["wraps"], {"a": "::1"}, r"tcp:8007:b=\:\:1"),
        (r"wraps:tls\:8443\:key=k", ["wraps"], {}, "tls:8443:key=k"),
        (r"wraps:tcp\:0\:b=\\\:\\\:1", ["wraps"], {}, r"tcp:0:b=\:\:1"),
        ("other:a=1", ["other"], {"a": "1"}, ""),
    ],
)
def test_a_kind_that_wraps_has_the_rest_as_it_is_or_as_one_argument(
    text: str, positional: list[str], keywords: dict[str, str], inner: str
) -> None:
    words = split(text, wrapping=("wraps",))
    assert (words.positional, words.keywords, words.inner) == (positional, keywords, inner)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\\", "backslash"),
        ("a:b=c\\\\\\", "backslash"),
        ("a:b=1:b=2", "'b' again at position 6"),
        ("a:b=1:c", "'c' at position 6"),
        ("a:b=1:", "'' at position 6"),
        ("a:b=1:::1", r"\:"),
    ],
)
def test_what_is_no_endpoint_string_is_shown_where(text: str, shown: str) -> None:
    with pytest.raises(EndpointError) as caught:
        split(text)
    assert caught.value.endpoint == text
    assert repr(text) in str(caught.value)
    assert shown in caught.value.problem


def test_a_trailing_backslash_inside_is_seen_from_outside() -> None:
    with pytest.raises(EndpointError, match="backslash"):
        split("wraps:tcp:0\\", wrapping=("wraps",))


@given(st.lists(st.text()), st.dictionaries(NAMES, st.text()))
def test_what_is_quoted_comes_back(positional: list[str], keywords: dict[str, str]) -> None:
    arguments = [quote(each) for each in positional]
    arguments += [f"{name}={quote(value)}" for name, value in keywords.items()]
    words = split(":".join(["kind", *arguments]))
    assert words.positional == ["kind", *positional]
    assert words.keywords == keywords


@given(st.text())
def test_an_endpoint_inside_comes_back(inner: str) -> None:
    assert split(f"wraps:a=1:{quote(inner)}", wrapping=("wraps",)).inner == inner


@given(st.text("ab:=\\"))
def test_any_string_is_cut_up_or_refused(text: str) -> None:
    try:
        words = split(text)
    except EndpointError:
        return
    assert len(words.positional) + len(words.keywords) <= text.count(":") + 1


@pytest.mark.parametrize(
    ("value", "number"),
    [("0", 0), ("7", 7), ("007", 7), ("10", 10), ("0" * 5000 + "9", 9)],
)
def test_a_number_is_taken(value: str, number: int) -> None:
    words = Words("text", keywords={"n": value})
    assert words.take_number("n", 0, 10) == number
    assert words.keywords == {}


@pytest.mark.parametrize("value", ["", "11", "-1", "+1", "1.0", " 1", "1_0", "٣", "²", "9" * 5000])
def test_what_is_no_number_of_the_range_is_refused(value: str) -> None:
    words = Words("text", keywords={"n": value})
    with pytest.raises(EndpointError, match="n must be a number from 0 to 10"):
        words.take_number("n", 0, 10)


def test_a_value_or_a_number_that_is_not_given_is_none() -> None:
    words = Words("text")
    assert words.take_number("n", 0, 10) is None
    assert words.take_text("t") is None
    assert words.take_flag("f") is False


@pytest.mark.parametrize("value", ["", "Yes", "true", "1", "yes "])
def test_a_flag_is_yes_or_no(value: str) -> None:
    with pytest.raises(EndpointError, match="f must be yes or no"):
        Words("text", keywords={"f": value}).take_flag("f")
