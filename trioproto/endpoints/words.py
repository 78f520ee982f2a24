r"""Endpoint strings, cut up: Twisted's grammar, strictly.

``kind:argument:keyword=value``: a colon separates, the first ``=`` of an
argument makes it a keyword, and a backslash takes the next character as it is
(``tcp6:8007:interface=\:\:1``).

Origin: Twisted's endpoints documentation, "Servers".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trioproto.sansio.errors import EndpointError


@dataclass(slots=True)
class Words:
    """An endpoint string, cut up.

    Attributes:
        text: the whole string.
        positional: the arguments without a keyword, the kind first.
        keywords: the others.
    """

    text: str
    positional: list[str] = field(default_factory=list)
    keywords: dict[str, str] = field(default_factory=dict)

    def error(self, problem: str) -> EndpointError:
        """Say what is wrong with the string, to be raised."""
        return EndpointError(self.text, problem)

    def name_positional(self, *names: str) -> None:
        """Make the positional arguments keywords, by their place.

        Raises:
            EndpointError: one is given twice, or there are too many.
        """
        for name, value in zip(names, self.positional, strict=False):
            if name in self.keywords:
                raise self.error(f"{name} is given twice")
            self.keywords[name] = value
        if len(self.positional) > len(names):
            raise self.error(f"{self.positional[len(names)]!r} is one argument too many")
        self.positional.clear()

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

    def check_all_taken(self, *known: str) -> None:
        """See that no keyword is left.

        Raises:
            EndpointError: one is, so it is unknown.
        """
        for name in self.keywords:
            raise self.error(f"unknown keyword {name!r}; known are: {', '.join(known)}")


def split(text: str) -> Words:
    """Cut an endpoint string up.

    Raises:
        EndpointError: a keyword is given twice, a positional argument follows a
            keyword, or the string ends in a backslash; the message shows where.
    """
    words = Words(text)
    word = ""
    keyword: str | None = None
    begin = 0
    characters = iter(enumerate(text + ":"))
    for position, character in characters:
        if character == "\\":
            position, character = next(characters)
            if position == len(text):
                raise words.error("it ends in a backslash, which escapes nothing")
            word += character
        elif character == "=" and keyword is None:
            keyword, word = word, ""
        elif character == ":":
            _add(words, keyword, word, begin)
            keyword, word, begin = None, "", position + 1
        else:
            word += character
    return words


def _add(words: Words, keyword: str | None, word: str, begin: int) -> None:
    if keyword is None:
        if words.keywords:
            raise words.error(f"{word!r} at position {begin} has no keyword, but follows one")
        words.positional.append(word)
    elif keyword in words.keywords:
        raise words.error(f"keyword {keyword!r} again at position {begin}")
    else:
        words.keywords[keyword] = word
