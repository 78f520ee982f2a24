r"""Endpoint strings: Twisted's grammar, strictly.

``kind:argument:keyword=value``: a colon separates, the first ``=`` of an
argument makes it a keyword, and a backslash takes the next character as it is
(``tcp6:8007:interface=\:\:1``).

Origin: Twisted's endpoints documentation, "Servers".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from trioproto.endpoints.tcp import TCPServerEndpoint
from trioproto.sansio.errors import EndpointError


@dataclass(slots=True)
class _Words:
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
        return EndpointError(self.text, problem)


def parse_endpoint(text: str) -> TCPServerEndpoint:
    """Make an endpoint of a string.

    Raises:
        EndpointError: the string is none; the message shows where.
    """
    words = _split(text)
    kind = words.positional.pop(0) if words.positional else ""
    try:
        parse = _KINDS[kind]
    except KeyError:
        known = ", ".join(sorted(_KINDS))
        raise words.error(f"unknown kind {kind!r} at the start; known are: {known}") from None
    return parse(words)


def _split(text: str) -> _Words:
    words = _Words(text)
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


def _add(words: _Words, keyword: str | None, word: str, begin: int) -> None:
    if keyword is None:
        if words.keywords:
            raise words.error(f"{word!r} at position {begin} has no keyword, but follows one")
        words.positional.append(word)
    elif keyword in words.keywords:
        raise words.error(f"keyword {keyword!r} again at position {begin}")
    else:
        words.keywords[keyword] = word


def _parse_tcp(words: _Words, *, ipv6: bool) -> TCPServerEndpoint:
    keywords = words.keywords
    for name, value in zip(("port", "interface", "backlog"), words.positional, strict=False):
        if name in keywords:
            raise words.error(f"{name} is given twice")
        keywords[name] = value
    if len(words.positional) > 3:
        raise words.error(f"{words.positional[3]!r} is one argument too many")
    port = _number(words, "port", 0, 65535)
    if port is None:
        raise words.error("the port is missing")
    backlog = _number(words, "backlog", 1, 2**31 - 1)
    interface = keywords.pop("interface", "")
    for name in keywords:
        raise words.error(f"unknown keyword {name!r}; known are: port, interface, backlog")
    return TCPServerEndpoint(port, interface, backlog=backlog, ipv6=ipv6, text=words.text)


def _number(words: _Words, name: str, low: int, high: int) -> int | None:
    value = words.keywords.pop(name, None)
    if value is None:
        return None
    digits = value.lstrip("0")[:12] or "0"
    if not (value.isascii() and value.isdigit()) or not low <= int(digits) <= high:
        raise words.error(f"{name} must be a number from {low} to {high}, not {value!r}")
    return int(digits)


_KINDS: dict[str, Callable[[_Words], TCPServerEndpoint]] = {
    "tcp": lambda words: _parse_tcp(words, ipv6=False),
    "tcp6": lambda words: _parse_tcp(words, ipv6=True),
}
