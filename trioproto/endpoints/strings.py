"""Endpoint strings: which kinds there are."""

from __future__ import annotations

from collections.abc import Callable

from trioproto.endpoints import inherited, proxy, stdio, tcp, tls, unix
from trioproto.endpoints.endpoint import ServerEndpoint
from trioproto.endpoints.words import Words, split


def parse_endpoint(text: str) -> ServerEndpoint:
    """Make an endpoint of a string.

    Raises:
        EndpointError: the string is none; the message shows where.
    """
    words = split(text, wrapping=_WRAPPING)
    kind = words.positional.pop(0) if words.positional else ""
    try:
        parse = _KINDS[kind]
    except KeyError:
        known = ", ".join(sorted(_KINDS))
        raise words.error(f"unknown kind {kind!r} at the start; known are: {known}") from None
    return parse(words)


_KINDS: dict[str, Callable[[Words], ServerEndpoint]] = {
    "tcp": tcp.parse,
    "tcp6": tcp.parse_ipv6,
    "unix": unix.parse,
    "ssl": lambda words: tls.parse(words, parse_endpoint),
    "tls": lambda words: tls.parse(words, parse_endpoint),
    "systemd": inherited.parse_systemd,
    "fd": inherited.parse_fd,
    "stdio": stdio.parse,
    "haproxy": lambda words: proxy.parse(words, parse_endpoint),
}
_WRAPPING = ("haproxy",)
"""The kinds that take the endpoint inside of them as it is."""
