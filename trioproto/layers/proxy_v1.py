r"""Version 1 of the PROXY header: a line of text.

``PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n``

Origin: the PROXY protocol, section 2.1.
"""

from __future__ import annotations

import re
from typing import Final

from trioproto.layers.proxy_ends import (
    FAMILIES,
    Transport,
    check_end,
    check_no_ends,
    check_start,
    parse_host,
    shown,
)
from trioproto.sansio.addresses import Address, TCPAddress
from trioproto.sansio.errors import ProxyHeaderError

START = b"PROXY "
LONGEST = 107
"""Bytes of a line with its CRLF: ``UNKNOWN`` with two long IPv6 addresses."""

_KEYWORDS: Final[dict[bytes, Transport]] = {b"TCP4": "TCP4", b"TCP6": "TCP6"}
_UNKNOWN = b"UNKNOWN"
_WORDS = 5
"""Words behind ``PROXY``."""
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
_LINE_END = re.compile(rb"\r\n?|\n")


def find_end(begun: bytes) -> int | None:
    """Return how long the line is, once it has come whole.

    Args:
        begun: what has arrived from the start of the connection on. More than
            the longest line is not looked at.

    Raises:
        ProxyHeaderError: it begins otherwise, has a CR or LF that is not part
            of a CRLF, or is too long.
    """
    check_start(begun, START, "not PROXY and a space")
    begun = begun[:LONGEST]
    found = _LINE_END.search(begun)
    if found is not None:
        end = found.end()
        if found.group() == b"\r\n":
            return end
        if found.group() == b"\n":
            raise ProxyHeaderError("an LF without a CR", end - 1, b"\n")
        if end < len(begun):
            raise ProxyHeaderError("a CR without an LF", end, begun[end : end + 1])
    if len(begun) == LONGEST:
        raise ProxyHeaderError(f"no CRLF in {LONGEST} bytes", LONGEST - 1, begun[-1:])
    return None


def read(line: bytes) -> tuple[Transport, Address | None, Address | None]:
    """Return what a whole line says: the transport, the source and the destination.

    What follows ``UNKNOWN`` is ignored.

    Raises:
        ProxyHeaderError: any word is not exactly as it must be, one is missing,
            or there is one more.
    """
    words = _words(line.removesuffix(b"\r\n"))[1:]
    keyword, offset = words[0]
    if keyword == _UNKNOWN:
        return "UNSPEC", None, None
    if keyword not in _KEYWORDS:
        raise ProxyHeaderError("not TCP4, TCP6 or UNKNOWN", offset, keyword)
    transport = _KEYWORDS[keyword]
    hosts = [_host(word, offset, transport) for word, offset in words[1:3]]
    ports = [_port(word, offset) for word, offset in words[3:_WORDS]]
    if len(words) > _WORDS:
        word, offset = words[_WORDS]
        raise ProxyHeaderError("something after the ports", offset - 1, b" " + word)
    if len(words) < _WORDS:
        raise ProxyHeaderError("not two addresses and two ports", len(line) - 2, b"\r\n")
    return transport, TCPAddress(hosts[0], ports[0]), TCPAddress(hosts[1], ports[1])


def write(transport: Transport, source: Address | None, destination: Address | None) -> bytes:
    """Return the line that says this.

    Raises:
        ValueError: version 1 has no such transport, or an end is no address of it.
    """
    if transport == "UNSPEC":
        check_no_ends(source, destination)
        return b"PROXY UNKNOWN\r\n"
    if transport not in _KEYWORDS.values():
        raise ValueError(f"version 1 cannot say {transport}")
    family = FAMILIES[transport]
    from_ip, from_port = check_end(source, family)
    to_ip, to_port = check_end(destination, family)
    line = f"PROXY {transport} {shown(from_ip)} {shown(to_ip)} {from_port} {to_port}\r\n"
    return line.encode("ascii")


def _words(line: bytes) -> list[tuple[bytes, int]]:
    """Cut a line at each single space, and say where each word begins."""
    words: list[tuple[bytes, int]] = []
    offset = 0
    for word in line.split(b" "):
        words.append((word, offset))
        offset += len(word) + 1
    return words


def _host(word: bytes, offset: int, transport: Transport) -> str:
    try:
        return shown(parse_host(word.decode("latin-1"), FAMILIES[transport]))
    except ValueError:
        raise ProxyHeaderError(f"no address of {transport}", offset, word) from None


def _port(word: bytes, offset: int) -> int:
    if _PORT.fullmatch(word) is None or int(word) > 65535:
        raise ProxyHeaderError("no port from 0 to 65535 in plain digits", offset, word)
    return int(word)
