r"""Endpoint strings, cut up: Twisted's grammar, strictly.

``kind:argument:keyword=value``: a colon separates, the first ``=`` of an
argument makes it a keyword, and a backslash takes the next character as it is
(``tcp6:8007:interface=\:\:1``). An endpoint inside of another is one argument
like any other, so what separates its own arguments is escaped; a kind that ends
in an endpoint also takes it as it is.

Origin: Twisted's endpoints documentation, "Servers".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from trioproto.sansio.errors import EndpointError

_ARGUMENT = re.compile(r"(?:[^:\\]|\\.)*", re.DOTALL)
_KEYWORD = re.compile(r"((?:[^=\\]|\\.)*)=(.*)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL = re.compile(r"[\\:=]")


@dataclass(slots=True)
class Words:
    """An endpoint string, cut up.

    Attributes:
        text: the whole string.
        positional: the arguments without a keyword, the kind first.
        keywords: the others.
        inner: the endpoint that it ends in, for the kinds that do.
    """

    text: str
    positional: list[str] = field(default_factory=list)
    keywords: dict[str, str] = field(default_factory=dict)
    inner: str = ""

    def error(self, problem: str) -> EndpointError:
        """Say what is wrong with the string, to be raised."""
        return EndpointError(self.text, problem)

    def name_positional(self, *names: str) -> None:
        """Make the positional arguments keywords, by their place.

        A colon with nothing after it, ``stdio:``, is no argument.

        Raises:
            EndpointError: one is given twice, or there are too many.
        """
        if self.positional == [""]:
            self.positional.clear()
        for name, value in zip(names, self.positional, strict=False):
            if name in self.keywords:
                raise self.error(f"{name} is given twice, also without a keyword: take one away")
            self.keywords[name] = value
        if len(self.positional) > len(names):
            problem = f"{self.positional[len(names)]!r} is one argument too many"
            raise self.error(f"{problem}; a colon inside of an argument is written \\:")
        self.positional.clear()

    def take_text(self, name: str) -> str | None:
        """Take a keyword's value, or ``None`` if it is not given.

        Raises:
            EndpointError: it is given, and empty.
        """
        value = self.keywords.pop(name, None)
        if value == "":
            raise self.error(f"{name} is empty: give it a value, or take it away")
        return value

    def take_number(self, name: str, low: int, high: int) -> int | None:
        """Take a keyword's number, or ``None`` if it is not given.

        Raises:
            EndpointError: it is no number, or out of its range.
        """
        value = self.keywords.pop(name, None)
        if value is None:
            return None
        digits = value.lstrip("0")[:12] or "0"
        if not (value.isascii() and value.isdigit()) or not low <= int(digits) <= high:
            raise self.error(f"{name} must be a number from {low} to {high}, not {value!r}")
        return int(digits)

    def take_flag(self, name: str) -> bool:
        """Take a keyword that is ``yes`` or ``no``; no if it is not given.

        Raises:
            EndpointError: it is something else.
        """
        value = self.keywords.pop(name, "no")
        if value not in ("yes", "no"):
            raise self.error(f"{name} must be yes or no, not {value!r}")
        return value == "yes"

    def check_all_taken(self, *known: str) -> None:
        """See that no keyword is left.

        Raises:
            EndpointError: one is, so it is unknown.
        """
        for name in self.keywords:
            problem = f"unknown keyword {name!r}"
            raise self.error(f"{problem}; known are: {', '.join(known)}" if known else problem)


def split(text: str, wrapping: Collection[str] = ()) -> Words:
    """Cut an endpoint string up.

    Args:
        text: the endpoint string.
        wrapping: kinds that end in another endpoint: what follows the kind and
            its keywords is that, left as it is.

    Raises:
        EndpointError: a keyword is given twice, a positional argument follows a
            keyword, or the string ends in a backslash; the message shows where.
    """
    words = Words(text)
    if (len(text) - len(text.rstrip("\\"))) % 2:
        raise words.error("it ends in a backslash, which escapes nothing: take it away")
    for begin, argument in _arguments(text):
        if words.positional and words.positional[0] in wrapping and not _keyword(argument):
            words.inner = _inner(text[begin:])
            break
        _add(words, argument, begin)
    return words


def quote(word: str) -> str:
    """Escape a word, to be an argument or a value in an endpoint string."""
    return _SPECIAL.sub(r"\\\g<0>", word)


def _arguments(text: str) -> Iterator[tuple[int, str]]:
    """Cut at the colons that are not escaped; with the place where each begins."""
    begin = 0
    while match := _ARGUMENT.match(text, begin):
        yield begin, match.group()
        begin = match.end() + 1
        if begin > len(text):
            return


def _add(words: Words, argument: str, begin: int) -> None:
    match = _KEYWORD.fullmatch(argument)
    if match is None:
        word = _unescaped(argument)
        if words.keywords:
            problem = f"{word!r} at position {begin} has no keyword, but follows one"
            raise words.error(f"{problem}; a colon inside of a value is written \\:")
        words.positional.append(word)
        return
    keyword, value = map(_unescaped, match.groups())
    if keyword in words.keywords:
        raise words.error(f"keyword {keyword!r} again at position {begin}: take one away")
    words.keywords[keyword] = value


def _keyword(argument: str) -> bool:
    """Whether an argument is a keyword of the wrapping kind, and not the endpoint inside."""
    match = _KEYWORD.fullmatch(argument)
    return match is not None and ":" not in match[1]


def _inner(rest: str) -> str:
    """Return the endpoint inside: *rest* itself, or what it escapes if it is one argument."""
    return rest if len(list(_arguments(rest))) > 1 else _unescaped(rest)


def _unescaped(raw: str) -> str:
    return _ESCAPED.sub(r"\1", raw)
