"""The handle of a factory that is served in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeAlias

import trio

from trioproto.endpoints.endpoint import Bound, ServerEndpoint
from trioproto.endpoints.tls import TLSServerEndpoint
from trioproto.factory import P
from trioproto.runtime.factory import Factory
from trioproto.runtime.server import Server
from trioproto.testing.contexts import SERVER_NAME, TLSContexts
from trioproto.testing.faults import NONE, Faults
from trioproto.testing.memory import MEMORY, MemoryStream
from trioproto.testing.memory_listener import MemoryListener

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from trioproto.sansio.addresses import Address
    from trioproto.sansio.counts import Statistics

    S = TypeVar("S", bound=trio.abc.Stream, default=MemoryStream)
else:
    from typing import TypeVar

    S = TypeVar("S", bound=trio.abc.Stream)

TLSStream: TypeAlias = "trio.SSLStream[MemoryStream]"

_TIME_TO_CLOSE = 1.0
"""Seconds for closing the clients' ends, and for the server to read what they have sent."""


class MemoryServer(Generic[P, S]):
    """A factory that is being served in memory; see :func:`serving`.

    Attributes:
        factory: the factory.
        listener: what it is served on.
        server: the real handle, as ``open_server`` gives it.
    """

    server: Server[P]

    def __init__(
        self,
        factory: Factory[P],
        listener: MemoryListener,
        tls: TLSContexts | None = None,
        server_hostname: str = SERVER_NAME,
    ) -> None:
        self.factory = factory
        self.listener = listener
        self._tls = tls
        self._server_hostname = server_hostname
        self._streams: list[MemoryStream | TLSStream] = []

    async def connect(
        self,
        *,
        to_server: Faults = NONE,
        to_client: Faults = NONE,
        peer: Address = MEMORY,
    ) -> S:
        """Connect, and return the client's end, which is closed at the end of the block.

        As with TCP, ``connection_made`` need not have been called then. Over TLS the
        hands have been shaken.

        Args:
            to_server: what happens to the bytes on that way.
            to_client: the same on the way back.
            peer: the client's address, as the protocol is to see it.

        Raises:
            ConnectionRefusedError: the server accepts no more.
            BrokenResourceError: the TLS handshake failed.
        """
        stream = await self.listener.connect(to_server=to_server, to_client=to_client, peer=peer)
        if self._tls is None:
            self._streams.append(stream)
            return stream  # type: ignore[return-value]
        over_tls = trio.SSLStream(stream, self._tls[1], server_hostname=self._server_hostname)
        self._streams.append(over_tls)
        await over_tls.do_handshake()
        return over_tls  # type: ignore[return-value]

    def statistics(self) -> Statistics:
        """Return what was counted since the factory was made."""
        return self.factory.statistics()

    def endpoint(self) -> ServerEndpoint:
        """Return where it is to be served."""
        endpoint = _MemoryEndpoint(self.listener)
        return endpoint if self._tls is None else TLSServerEndpoint(endpoint, self._tls[0])

    async def close_streams(self) -> None:
        """Close the clients' ends, and let the server read what they have sent."""
        with trio.move_on_after(_TIME_TO_CLOSE):
            for stream in self._streams:
                await stream.aclose()
        with trio.move_on_after(_TIME_TO_CLOSE):
            for stream in self._streams:
                below = stream if isinstance(stream, MemoryStream) else stream.transport_stream
                await below.wait_all_read()


class _MemoryEndpoint(ServerEndpoint):
    """A memory listener with its address."""

    text = "memory"

    def __init__(self, listener: MemoryListener) -> None:
        self._listener = listener

    async def bind(self) -> list[Bound]:
        """Take hold of the listener."""
        return [Bound(self._listener, self._listener.address, self.text, listens=True)]
