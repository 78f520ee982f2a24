"""TCP over IPv4 and IPv6."""

from __future__ import annotations

import errno
import socket
from typing import Any

import trio

from trioproto.endpoints.endpoint import Bound, ServerEndpoint, listen_error
from trioproto.sansio.addresses import address_from_sockaddr
from trioproto.sansio.errors import ListenError

_PORT_TRIES = 8
"""Free ports tried until one is free on all addresses of a name."""


class TCPServerEndpoint(ServerEndpoint):
    """A port on one interface, or on all.

    Args:
        port: 0 to 65535; 0 takes a free one, the same on all addresses.
        interface: an address, or a name, of which every address is bound. By
            default all IPv4 interfaces, or all IPv6 interfaces.
        backlog: connections that the kernel keeps; by default the factory's.
        ipv6: whether to bind IPv6 addresses only (never both in one socket).
        text: the endpoint as the user wrote it, for messages.

    Raises:
        ValueError: the port is out of range.
    """

    def __init__(
        self,
        port: int,
        interface: str = "",
        *,
        backlog: int | None = None,
        ipv6: bool = False,
        text: str | None = None,
    ) -> None:
        if not 0 <= port <= 65535:
            raise ValueError(f"port must be from 0 to 65535, not {port}")
        self.port = port
        self.interface = interface
        self.backlog = backlog
        self.ipv6 = ipv6
        self.text = text or f"{'tcp6' if ipv6 else 'tcp'}:{port}:interface={interface}"

    async def bind(self) -> list[Bound]:
        """Bind a socket for each address.

        Raises:
            ListenError: an address cannot be bound, or the name not be looked
                up; nothing stays bound.
        """
        addresses = await self._resolve()
        for _ in range(_PORT_TRIES - 1):
            try:
                return self._bind_all(addresses)
            except OSError as exc:
                if self.port or len(addresses) == 1 or exc.errno != errno.EADDRINUSE:
                    raise listen_error(self.text, exc) from exc
        try:
            return self._bind_all(addresses)
        except OSError as exc:
            raise listen_error(self.text, exc) from exc

    async def _resolve(self) -> list[tuple[int, Any]]:
        """Look up the addresses, each once, as family and socket address."""
        host = self.interface or ("::" if self.ipv6 else "0.0.0.0")
        family = socket.AF_INET6 if self.ipv6 else socket.AF_UNSPEC
        try:
            found = await trio.socket.getaddrinfo(
                host, self.port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except (OSError, UnicodeError) as exc:
            problem = getattr(exc, "strerror", None) or str(exc)
            raise ListenError(self.text, None, f"host {host!r}: {problem}") from exc
        return list(dict.fromkeys((family, address) for family, *_, address in found))

    def _bind_all(self, addresses: list[tuple[int, Any]]) -> list[Bound]:
        sockets: list[socket.socket] = []
        port = self.port
        try:
            for family, (host, _, *more) in addresses:
                sock = socket.socket(family, socket.SOCK_STREAM)
                sockets.append(sock)
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((host, port, *more))
                port = sock.getsockname()[1]
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        return [
            Bound(sock, address_from_sockaddr(sock.getsockname()), self.text, self.backlog)
            for sock in sockets
        ]
