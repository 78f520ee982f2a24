"""Endpoint strings: what each kind means."""

from __future__ import annotations

from collections.abc import Callable

from trioproto.endpoints.endpoint import ServerEndpoint
from trioproto.endpoints.tcp import TCPServerEndpoint
from trioproto.endpoints.words import Words, split


def parse_endpoint(text: str) -> ServerEndpoint:
    """Make an endpoint of a string.

    Raises:
        EndpointError: the string is none; the message shows where.
    """
    words = split(text)
    kind = words.positional.pop(0) if words.positional else ""
    try:
        parse = _KINDS[kind]
    except KeyError:
        known = ", ".join(sorted(_KINDS))
        raise words.error(f"unknown kind {kind!r} at the start; known are: {known}") from None
    return parse(words)


def _parse_tcp(words: Words, *, ipv6: bool) -> TCPServerEndpoint:
    words.name_positional("port", "interface", "backlog")
    port = words.take_number("port", 0, 65535)
    if port is None:
        raise words.error("the port is missing")
    backlog = words.take_number("backlog", 1, 2**31 - 1)
    interface = words.keywords.pop("interface", "")
    words.check_all_taken("port", "interface", "backlog")
    return TCPServerEndpoint(port, interface, backlog=backlog, ipv6=ipv6, text=words.text)


_KINDS: dict[str, Callable[[Words], ServerEndpoint]] = {
    "tcp": lambda words: _parse_tcp(words, ipv6=False),
    "tcp6": lambda words: _parse_tcp(words, ipv6=True),
}
