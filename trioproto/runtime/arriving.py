"""What is received before a protocol can be built: the PROXY header.

It says who the client is, which ``build_protocol`` wants to know; so it is read
by the connection's task itself, in its own time, before there is a connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn

import trio

from trioproto.layers.networks import is_trusted
from trioproto.layers.proxy_header import ProxyHeaderDecoder
from trioproto.sansio.errors import (
    ConnectionLost,
    HandshakeFailed,
    HandshakeTimeout,
    ServerDraining,
)

if TYPE_CHECKING:
    from trioproto.layers.opening import Networks
    from trioproto.layers.proxy_header import ProxyHeader
    from trioproto.sansio.addresses import Address


class Arrival:
    """A connection whose header is being received.

    Args:
        receive: waits for bytes; ``b""`` is the peer's EOF.
        timeout: seconds for the whole header, or ``None``.
    """

    def __init__(
        self, receive: Callable[[], Awaitable[bytes | bytearray]], timeout: float | None
    ) -> None:
        self._receive = receive
        self._timeout = timeout
        self._decoder = ProxyHeaderDecoder()
        self._scope = trio.CancelScope()
        self._turned_away = False

    def turn_away(self, *, silent_only: bool = False) -> None:
        """Wait no longer, because the server drains."""
        if not (silent_only and self._decoder.pending):
            self._turned_away = True
            self._scope.cancel()

    async def header(self, peer: Address, trusted: Networks) -> tuple[ProxyHeader, bytes]:
        """Receive the header; return it, and what came after it.

        Raises:
            ProxyHeaderError: the connection begins with something else.
            HandshakeFailed: *peer* is not trusted.
            HandshakeTimeout: it did not come in time.
            ConnectionLost: the peer ended the connection before its first byte.
            ServerDraining: the server drains, and nothing had come.
            OSError, BrokenResourceError: the stream broke.
        """
        if not is_trusted(peer, trusted):
            raise HandshakeFailed("the peer is not trusted to send a PROXY header")
        if self._timeout is not None:
            self._scope.deadline = trio.current_time() + self._timeout
        with self._scope:
            while True:
                data = await self._receive()
                if not data:
                    self._check_begun()
                header = self._decoder.feed(bytes(data))
                if header is not None:
                    return header, self._decoder.rest
        if self._turned_away:
            raise ServerDraining
        raise HandshakeTimeout(self._timeout or 0)

    def _check_begun(self) -> NoReturn:
        """Take the end of input."""
        if self._decoder.pending:
            self._decoder.check_end()
        raise ConnectionLost("end of input before the connection was open")
