"""Our drivers, as ``trioproto.testing.conformance`` needs them: a service for each.

All of them run its suite, in ``test_conformance.py``. What else is in this folder
looks into them, or needs a certain one. The drivers:

- ``harness``: the pure connection, with no event loop; no async user code.
- ``memory``: ``factory.handle`` over a stream in memory.
- ``stream``: ``factory.handle`` over a socket, as ``trio.SocketStream``.
- ``listener``: ``serve`` over a ready-made listener of streams in memory.
- ``poll``: ``serve`` over sockets, by the shared poller.
- ``tls_memory`` and ``tls``: the same as ``memory`` and ``poll``, with TLS.
"""

from __future__ import annotations

import socket
import ssl
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import trio
import trio.testing

from tests.behaviour.harness_service import HarnessService
from tests.behaviour.peers import (
    MemoryPeer,
    SocketPeer,
    real_time,
    small_listener,
    small_socket,
    tcp_pair,
)
from tests.behaviour.tls_peers import TLSPeer, server_context
from trioproto import Factory, Protocol, Server, TCPAddress, serve
from trioproto.endpoints import Bound, ServerEndpoint, parse_endpoint
from trioproto.layers.opening import Opening
from trioproto.layers.tls import TLSLayer
from trioproto.sansio.addresses import address_from_sockaddr
from trioproto.testing import MemoryListener, conformance, memory_stream_pair
from trioproto.testing.conformance import MORE_THAN_FITS, SMALL, Feature, Peer, Service
from trioproto.testing.conformance.service import Serving, patience

# What tests import together with the drivers.
__all__ = [
    "MORE_THAN_FITS",
    "SMALL",
    "MemoryPeer",
    "Service",
    "Serving",
    "SocketPeer",
    "patience",
    "real_time",
    "small_listener",
    "tcp_pair",
]

ASYNC = ("memory", "stream", "listener", "poll", "tls_memory", "tls")  # all that have a loop
PLAIN = ("memory", "stream", "listener", "poll")  # those of them without TLS

ROOMY = 1 << 20


PLAIN_FEATURES = frozenset({Feature.HALF_CLOSE, Feature.RATES})
LOOP_FEATURES = PLAIN_FEATURES | {Feature.ASYNC_CODE}
SERVER_FEATURES = LOOP_FEATURES | {Feature.DRAINS, Feature.SERVER}
SOCKET_FEATURES = {Feature.ERROR_NUMBERS, Feature.SOCKET_OPTIONS, Feature.ADDRESSES}
POLLED_FEATURES = {Feature.SEES_RESETS, Feature.SENDS_AT_ONCE, Feature.READS_ON}


class LoopService(Service):
    """Serves in a task of its own, which the test can cancel."""

    background: trio.Nursery

    def __init__(self, factory: Factory[Any], *, small_buffers: bool, half_close: bool) -> None:
        super().__init__(factory, small_buffers=small_buffers, half_close=half_close)
        self.scope = trio.CancelScope()
        self.ended = trio.Event()

    async def settle(self) -> None:
        await trio.testing.wait_all_tasks_blocked()

    async def pass_time(self, seconds: float) -> None:
        await trio.sleep(seconds)
        await self.settle()

    def cancel(self) -> None:
        self.scope.cancel()

    async def wait_ended(self) -> None:
        await self.ended.wait()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as self.background:
            await self.background.start(self.run)
            yield
            await self.settle()
            self.finish()
            await self.ended.wait()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            with self.scope:
                await self._run(task_status)
        except trio.Cancelled:
            raise
        except BaseException as error:
            self.failures.append(error)
        finally:
            self.ended.set()

    @abstractmethod
    async def _run(self, task_status: trio.TaskStatus[None]) -> None: ...

    @abstractmethod
    def finish(self) -> None:
        """Let it end once its connections have."""


class HandleService(LoopService):
    """The factory's scope, entered by hand; each stream is given to ``handle``."""

    def __init__(self, factory: Factory[Any], *, small_buffers: bool, half_close: bool) -> None:
        super().__init__(factory, small_buffers=small_buffers, half_close=half_close)
        self._finished = trio.Event()
        self._nursery: trio.Nursery | None = None

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        async with self.factory, trio.open_nursery() as self._nursery:
            task_status.started()
            await self._finished.wait()

    tls: ssl.SSLContext | None = None

    def handle(self, stream: trio.abc.Stream) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._handle, stream)

    async def _handle(self, stream: trio.abc.Stream) -> None:
        try:
            await self.factory.handle(stream, tls=self.tls)
        except trio.Cancelled:
            raise
        except BaseException as error:
            self.failures.append(error)
            self.finish()

    def finish(self) -> None:
        self._finished.set()


class MemoryService(HandleService):
    name = "memory"
    features = LOOP_FEATURES | {Feature.HALF_CLOSE_IS_OPTIONAL}

    async def new_peer(self) -> Peer:
        ours, stream = memory_stream_pair(capacity=capacity(self), half_close=self.half_close)
        self.handle(stream)
        return MemoryPeer(ours)


class TLSMemoryService(MemoryService):
    name = "tls_memory"
    features = MemoryService.features | {Feature.ENCRYPTS}

    def __init__(self, factory: Factory[Any], *, small_buffers: bool, half_close: bool) -> None:
        super().__init__(factory, small_buffers=small_buffers, half_close=half_close)
        self.tls = server_context()

    async def new_peer(self) -> Peer:
        return await over_tls(self, await super().new_peer())


class StreamService(HandleService):
    name = "stream"
    features = LOOP_FEATURES | SOCKET_FEATURES

    async def new_peer(self) -> Peer:
        sizes = SMALL if self.small_buffers else None
        client, server = tcp_pair(sizes)
        self.handle(trio.SocketStream(trio.socket.from_stdlib_socket(server)))
        return SocketPeer(client)


class ServerService(LoopService):
    def __init__(self, factory: Factory[Any], *, small_buffers: bool, half_close: bool) -> None:
        super().__init__(factory, small_buffers=small_buffers, half_close=half_close)
        self._server: Server[Any] | None = None

    @property
    def server(self) -> Server[Any]:
        assert self._server is not None
        return self._server

    @abstractmethod
    def endpoint(self) -> Any: ...

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        await serve(self.factory, self.endpoint(), task_status=Started(self, task_status))

    def started(self, server: Server[Any]) -> None:
        self._server = server

    def finish(self) -> None:
        self.server.stop()

    async def start_drain(self, grace: float | None = None, force: float | None = None) -> None:
        self.background.start_soon(self._drain, grace, force)
        await self.settle()

    async def _drain(self, grace: float | None, force: float | None) -> None:
        with suppress(trio.ClosedResourceError):  # the server failed meanwhile
            await self.server.drain(grace=grace, force=force)


class Started:
    """Takes the server that ``serve`` reports."""

    def __init__(self, service: ServerService, outer: trio.TaskStatus[None]) -> None:
        self.service = service
        self.outer = outer

    def started(self, value: Any = None) -> None:
        self.service.started(value)
        self.outer.started()


class ListenerService(ServerService):
    name = "listener"
    features = SERVER_FEATURES | {Feature.HALF_CLOSE_IS_OPTIONAL}

    def endpoint(self) -> MemoryListener:
        self.listener = MemoryListener(capacity=capacity(self), half_close=self.half_close)
        return self.listener

    async def new_peer(self) -> Peer:
        return MemoryPeer(await self.listener.connect())


class PollService(ServerService):
    name = "poll"
    features = SERVER_FEATURES | SOCKET_FEATURES | POLLED_FEATURES

    def endpoint(self) -> Any:
        if self.small_buffers:
            return small_listener()
        return "tcp:0:interface=127.0.0.1"

    async def new_peer(self) -> Peer:
        (address,) = self.server.addresses
        assert isinstance(address, TCPAddress)
        client = small_socket() if self.small_buffers else socket.socket()
        client.connect((address.host, address.port))
        return SocketPeer(client)


class TLSService(PollService):
    name = "tls"
    features = PollService.features | {Feature.ENCRYPTS}

    def endpoint(self) -> Any:
        return OverTLS(super().endpoint())

    async def new_peer(self) -> Peer:
        return await over_tls(self, await super().new_peer())


class OverTLS(ServerEndpoint):
    def __init__(self, inner: str | trio.SocketListener) -> None:
        self.text = "tls"
        self.inner = inner

    async def bind(self) -> list[Bound]:
        if isinstance(self.inner, str):
            bound = await parse_endpoint(self.inner).bind()
        else:
            sock = socket.socket(fileno=self.inner.socket.detach())
            bound = [Bound(sock, address_from_sockaddr(sock.getsockname()), "tls", listens=True)]
        for each in bound:
            each.opening = Opening(layers=lambda: (TLSLayer(server_context(), server_side=True),))
        return bound


async def over_tls(service: Service, below: Peer) -> Peer:
    below.service = service
    peer = TLSPeer(below)
    await peer.handshake()
    return peer


def capacity(service: Service) -> int:
    return SMALL if service.small_buffers else ROOMY


SERVICES: dict[str, type[Service]] = {
    service.name: service
    for service in (
        HarnessService,
        MemoryService,
        StreamService,
        ListenerService,
        PollService,
        TLSMemoryService,
        TLSService,
    )
}


OURS = list(SERVICES.values())
"""For a module of tests that, as the suite's, is run over each that has what a test needs."""


def serving(
    driver: str, protocol: Factory[Any] | Protocol, **options: Any
) -> AbstractAsyncContextManager[Service]:
    """Serve a factory, or a factory of this one protocol, over the driver of this name."""
    return conformance.serving(SERVICES[driver], protocol, **options)


def connecting(
    driver: str, protocol: Factory[Any] | Protocol, **options: Any
) -> AbstractAsyncContextManager[Peer]:
    """Serve as ``serving`` does, with one peer connected."""
    return conformance.connecting(SERVICES[driver], protocol, **options)
