"""Where a peer, or our own end, is: frozen values that print as endpoints."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias


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
class Credentials:
    """Who the process at the other end of a Unix socket was when it connected.

    Attributes:
        pid: its process; 0 if it lies outside of our namespace.
        uid: its effective user.
        gid: its effective group.
    """

    pid: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket's path or abstract name.

    Attributes:
        path: the path; ``@name`` for an abstract name; empty for a socket without
            a name, as clients' mostly are. Bytes that are no UTF-8 are escaped as
            in file names (``os.fsdecode``).
        credentials: who connected, if this is a peer.
    """

    path: str
    credentials: Credentials | None = None

    def __str__(self) -> str:
        if self.path or self.credentials is None:
            # A client chooses its path: no line ends of its own in our log.
            return f"unix:{self.path if self.path.isprintable() else ascii(self.path)}"
        return f"unix: (pid {self.credentials.pid})"


@dataclass(frozen=True, slots=True)
class UnknownAddress:
    """The end of a stream that has no network address.

    Attributes:
        description: what is known of it, for logs.
    """

    description: str = "stream"

    def __str__(self) -> str:
        return self.description


Address: TypeAlias = TCPAddress | UnixAddress | UnknownAddress


class Addressed(Protocol):
    """What a stream may have: its addresses, which the protocol then sees.

    Give a stream of your own these attributes, if it knows where it leads to (a
    tunnel, say), and serve it: ``transport.peer``, ``build_protocol(peer)`` and the
    limits of each peer take them from there. What is no :data:`Address` is passed
    over, and so is an attribute that is missing.
    """

    @property
    def peer(self) -> Address:
        """Where the other end is."""
        ...

    @property
    def local(self) -> Address:
        """Where our end is."""
        ...


def address_from_sockaddr(sockaddr: Any) -> Address:
    """Make an address of what the socket module calls one.

    IPv4 gives ``(host, port)`` and IPv6 ``(host, port, flow, scope)``, a Unix
    socket its path as ``str``, or its abstract name as ``bytes`` that begin with
    a zero; anything else is kept as its text.
    """
    if isinstance(sockaddr, tuple):
        if len(sockaddr) in (2, 4) and isinstance(sockaddr[0], str):
            return TCPAddress(sockaddr[0], sockaddr[1])
        return UnknownAddress(str(sockaddr))
    if isinstance(sockaddr, bytes):
        name = os.fsdecode(sockaddr)
        return UnixAddress("@" + name[1:] if name.startswith("\0") else name)
    return UnixAddress(sockaddr)
