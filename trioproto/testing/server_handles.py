"""The handle of a factory that is served to a test's clients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from errno import EAFNOSUPPORT
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeAlias

import trio

from trioproto.endpoints.client import ClientEndpoint, TCPClientEndpoint, UnixClientEndpoint
from trioproto.endpoints.endpoint import ServerEndpoint
from trioproto.endpoints.strings import parse_endpoint
from trioproto.endpoints.tls import TLSServerEndpoint
from trioproto.factory import P
from trioproto.runtime.user_code import close_at_once
from trioproto.sansio.addresses import TCPAddress, UnixAddress
from trioproto.testing.faults import NONE, Faults
from trioproto.testing.memory import MEMORY, MemoryStream
from trioproto.testing.memory_endpoints import MemoryServerEndpoint

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from trioproto.runtime.factory import Factory
    from trioproto.runtime.server import Server
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.counts import Statistics
    from trioproto.testing.memory_listener import MemoryListener
    from trioproto.testing.tls_contexts import TLSContexts

    S_co = TypeVar("S_co", bound=trio.abc.Stream, default=MemoryStream, covariant=True)
else:
    from typing import TypeVar

    S_co = TypeVar("S_co", bound=trio.abc.Stream, covariant=True)

TLSStream: TypeAlias = "trio.SSLStream[MemoryStream]"
"""The client's end of a connection in memory, over TLS."""

_TIME_TO_CLOSE = 1.0
"""Seconds for closing the clients' ends, and for the server to read what has arrived then."""
_TIME_TO_SHAKE_HANDS = 60.0
"""Seconds for the client's part of a TLS handshake, as what is dropped never comes."""


class ServerHandle(ABC, Generic[P, S_co]):
    """What the handles have in common.

    Args:
        factory: what is served.
        tls: the contexts of both sides; ``None``: it is not over TLS.
        server_hostname: the name that clients ask for.
    """

    server: Server[P]

    def __init__(self, factory: Factory[P], tls: TLSContexts | None, server_hostname: str) -> None:
        self.factory = factory
        self._tls = tls
        self._server_hostname = server_hostname
        self._streams: list[trio.abc.Stream] = []

    def statistics(self) -> Statistics:
        """Return what was counted since the factory was made."""
        return self.factory.statistics()

    def endpoints(self) -> list[ServerEndpoint]:
        """Return where it is to be served."""
        below = self._endpoints()
        if self._tls is None:
            return below
        return [TLSServerEndpoint(each, self._tls[0]) for each in below]

    @abstractmethod
    def _endpoints(self) -> list[ServerEndpoint]:
        """Return the same without TLS."""

    async def close_streams(self) -> None:
        """Close the clients' ends, and let the server read what they have sent."""
        with trio.move_on_after(_TIME_TO_CLOSE):
            for stream in self._streams:
                with _below_may_be_closed():
                    await stream.aclose()

    async def drop_streams(self) -> None:
        """Close what is not closed yet, without ceremony."""
        for stream in self._streams:
            with _below_may_be_closed():
                await close_at_once(stream, _TIME_TO_CLOSE)

    async def _keep(self, stream: trio.abc.Stream) -> Any:
        """Keep the client's end, to be closed; shake hands."""
        self._streams.append(stream)
        if self._tls is None:
            return stream
        over_tls = trio.SSLStream(stream, self._tls[1], server_hostname=self._server_hostname)
        self._streams[-1] = over_tls
        with trio.move_on_after(_TIME_TO_SHAKE_HANDS) as scope:
            await over_tls.do_handshake()
        if scope.cancelled_caught:
            raise trio.BrokenResourceError(f"no TLS handshake in {_TIME_TO_SHAKE_HANDS:g} s")
        return over_tls


class MemoryServer(ServerHandle[P, S_co]):
    """A factory that is served in memory; see :func:`serving`.

    Attributes:
        factory: the factory.
        server: the real handle, as ``open_server`` gives it.
        listener: what it is served on.
    """

    def __init__(
        self,
        factory: Factory[P],
        tls: TLSContexts | None,
        server_hostname: str,
        listener: MemoryListener,
    ) -> None:
        super().__init__(factory, tls, server_hostname)
        self.listener = listener

    async def connect(
        self,
        *,
        to_server: Faults = NONE,
        to_client: Faults = NONE,
        peer: Address = MEMORY,
    ) -> S_co:
        """Connect, and return the client's end, which is closed at the end of the block.

        As with TCP, ``connection_made`` need not have been called then. Over TLS,
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
        connected: S_co = await self._keep(stream)
        return connected

    def _endpoints(self) -> list[ServerEndpoint]:
        return [MemoryServerEndpoint(self.listener)]

    async def close_streams(self) -> None:
        """Close the clients' ends, and let the server read what they have sent."""
        await super().close_streams()
        below = [each for each in map(_below_tls, self._streams) if isinstance(each, MemoryStream)]
        arrived = max((each.last_arrives_at for each in below), default=-inf)
        with trio.move_on_at(max(trio.current_time(), arrived) + _TIME_TO_CLOSE):
            for stream in below:
                await stream.wait_all_read()


class SocketServer(ServerHandle[P, S_co]):
    """A factory that is served on real endpoints; see :func:`serving`.

    Attributes:
        factory: the factory.
        server: the real handle, as ``open_server`` gives it.
    """

    def __init__(
        self,
        factory: Factory[P],
        tls: TLSContexts | None,
        server_hostname: str,
        endpoints: Sequence[str | ServerEndpoint],
    ) -> None:
        super().__init__(factory, tls, server_hostname)
        self._where = endpoints

    async def connect(self, number: int = 0) -> S_co:
        """Connect to one of ``server.addresses``, and return the client's end.

        It is closed at the end of the block. Over TLS, hands have been shaken.

        Args:
            number: which of them.

        Raises:
            OSError: it cannot be reached, or is neither TCP nor Unix.
            BrokenResourceError: the TLS handshake failed.
        """
        connected: S_co = await self._keep(await _client(self.server.addresses[number]).open())
        return connected

    def _endpoints(self) -> list[ServerEndpoint]:
        return [parse_endpoint(each) if isinstance(each, str) else each for each in self._where]


def _below_may_be_closed() -> suppress:
    """Let it pass that a test has closed what is below TLS."""
    return suppress(trio.ClosedResourceError)


def _below_tls(stream: trio.abc.Stream) -> trio.abc.Stream:
    return stream.transport_stream if isinstance(stream, trio.SSLStream) else stream


def _client(address: Address) -> ClientEndpoint:
    """Return what connects to an address."""
    match address:
        case TCPAddress(host, port):
            return TCPClientEndpoint(host, port)
        case UnixAddress(path):
            return UnixClientEndpoint(path)
        case _:
            raise OSError(EAFNOSUPPORT, f"{address} is neither TCP nor Unix")
