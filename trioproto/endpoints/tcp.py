"""TCP over IPv4 and IPv6."""

from __future__ import annotations

import errno
import socket
from typing import Any

import trio

from trioproto.endpoints.endpoint import MAX_BACKLOG, Bound, ServerEndpoint, listen_error
from trioproto.endpoints.words import Words, quote
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
        reuse_port: whether other processes of the same user may bind the port
            too; the kernel then spreads connections over them.
        text: the endpoint as the user wrote it, for messages.

    Raises:
        ValueError: the port is out of range, or this system cannot share ports.
    """

    def __init__(
        self,
        port: int,
        interface: str = "",
        *,
        backlog: int | None = None,
        ipv6: bool = False,
        reuse_port: bool = False,
        text: str | None = None,
    ) -> None:
        if not 0 <= port <= 65535:
            raise ValueError(f"port must be from 0 to 65535, not {port}")
        if reuse_port and not hasattr(socket, "SO_REUSEPORT"):
            raise ValueError("reuse_port: this system has no SO_REUSEPORT")
        self.port = port
        self.interface = interface
        self.backlog = backlog
        self.ipv6 = ipv6
        self.reuse_port = reuse_port
        self.text = text or f"{'tcp6' if ipv6 else 'tcp'}:{port}:interface={quote(interface)}"

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
                if self.reuse_port:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
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


def parse(words: Words, *, ipv6: bool = False) -> TCPServerEndpoint:
    """Make an endpoint of ``tcp:PORT[:interface=][:backlog=][:reuse_port=yes]``.

    Raises:
        EndpointError: something is missing, unknown or wrong.
    """
    words.name_positional("port", "interface", "backlog")
    port = words.take_number("port", 0, 65535)
    if port is None:
        raise words.error("the port is missing: write tcp:8007, say")
    backlog = words.take_number("backlog", 1, MAX_BACKLOG)
    interface = words.keywords.pop("interface", "")
    reuse_port = words.take_flag("reuse_port")
    words.check_all_taken("port", "interface", "backlog", "reuse_port")
    try:
        return TCPServerEndpoint(
            port, interface, backlog=backlog, ipv6=ipv6, reuse_port=reuse_port, text=words.text
        )
    except ValueError as exc:
        raise words.error(str(exc)) from exc


def parse_ipv6(words: Words) -> TCPServerEndpoint:
    """The same of ``tcp6:``, for IPv6 addresses only."""
    return parse(words, ipv6=True)
