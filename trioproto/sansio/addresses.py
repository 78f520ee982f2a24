"""Where a peer, or our own end, is: frozen values that print as endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class TCPAddress:
    """An IPv4 or IPv6 address and port.

    Attributes:
        host: the numeric address, with its zone where it has one.
        port: 0 to 65535.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp:{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnknownAddress:
    """The end of a stream that has no network address.

    Attributes:
        description: what is known of it, for logs.
    """

    description: str = "stream"

    def __str__(self) -> str:
        return self.description


Address: TypeAlias = TCPAddress | UnknownAddress


def address_from_sockaddr(sockaddr: Any) -> Address:
    """Make an address of what the socket module calls one.

    IPv4 gives ``(host, port)`` and IPv6 ``(host, port, flow, scope)``; anything
    else is kept as its text.
    """
    if isinstance(sockaddr, tuple):
        if len(sockaddr) in (2, 4) and isinstance(sockaddr[0], str):
            return TCPAddress(sockaddr[0], sockaddr[1])
        return UnknownAddress(str(sockaddr))
    if isinstance(sockaddr, bytes):
        return UnknownAddress(f"unix:{sockaddr!r}")
    return UnknownAddress(f"unix:{sockaddr}" if sockaddr else "unix")
