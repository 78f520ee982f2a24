"""Who is at the other end of a connection."""

from __future__ import annotations

import socket
import struct
from typing import Any

import trio

from trioproto.sansio.addresses import (
    Address,
    Credentials,
    UnixAddress,
    UnknownAddress,
    address_from_sockaddr,
)

_UCRED = struct.Struct("=iII")
"""Linux's ``struct ucred``: process, user and group."""


def peer_address(sock: socket.socket | trio.socket.SocketType, sockaddr: Any) -> Address:
    """Make an address of a peer's socket address; a Unix peer's with its credentials."""
    address = address_from_sockaddr(sockaddr)
    if isinstance(address, UnixAddress):
        return UnixAddress(address.path, _credentials(sock))
    return address


def stream_addresses(stream: trio.abc.Stream) -> tuple[Address, Address]:
    """Return the addresses of the peer and of our end of a stream.

    They are a socket's, or those that the stream has, as :class:`Addressed` says.
    """
    if isinstance(stream, trio.SocketStream):
        try:
            peer = peer_address(stream.socket, stream.socket.getpeername())
            return peer, address_from_sockaddr(stream.socket.getsockname())
        except OSError:
            return UnknownAddress("disconnected socket"), UnknownAddress("disconnected socket")
    unknown = UnknownAddress(type(stream).__name__)
    own = (getattr(stream, name, None) for name in ("peer", "local"))
    peer, local = (each if isinstance(each, Address) else unknown for each in own)
    return peer, local


def _credentials(sock: socket.socket | trio.socket.SocketType) -> Credentials | None:
    """Ask the kernel who connected: as it was then, not as it is now; see unix(7)."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    try:
        packed = sock.getsockopt(socket.SOL_SOCKET, option, _UCRED.size)
        return Credentials(*_UCRED.unpack(packed))
    except (OSError, struct.error):
        return None
