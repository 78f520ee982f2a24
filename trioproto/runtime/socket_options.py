"""The options of sockets that we set ourselves."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import trio

if TYPE_CHECKING:
    from trioproto.sansio.settings import Settings

_Socket: TypeAlias = socket.socket | trio.SocketStream

_RESET = struct.pack("ii", 1, 0)
"""``SO_LINGER``: on, for no time at all."""


def reset_on_close(sock: _Socket) -> None:
    """Have the close send a reset, and drop what waits."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class TCPOptions(NamedTuple):
    """What the settings say of a TCP connection."""

    nodelay: bool
    keepalive: bool

    @classmethod
    def of(cls, settings: Settings) -> TCPOptions:
        """Take them from *settings*."""
        return cls(settings.tcp_nodelay, settings.keepalive)

    def set_on(self, sock: _Socket) -> None:
        """Set them on a socket; Linux hands a listening one's on to each that it accepts.

        Raises:
            OSError: it is no TCP socket, or some systems say so of one that has gone.
        """
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, self.nodelay)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, self.keepalive)
