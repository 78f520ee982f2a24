"""Who is at the other end of an accepted socket."""

from __future__ import annotations

import socket
import struct
from typing import Any

import trio

from trioproto.sansio.addresses import Address, Credentials, UnixAddress, address_from_sockaddr

_UCRED = struct.Struct("=iII")
"""Linux's ``struct ucred``: process, user and group."""


def peer_address(sock: socket.socket | trio.socket.SocketType, sockaddr: Any) -> Address:
    """Make an address of a peer's socket address; a Unix peer's with its credentials."""
    address = address_from_sockaddr(sockaddr)
    if isinstance(address, UnixAddress):
        return UnixAddress(address.path, _credentials(sock))
    return address


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
