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
import struct
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import Any

import trio
import trio.testing

from tests.behaviour.tls_peers import TLSPeer, server_context
from trioproto import Factory, Protocol, Server, TCPAddress, serve
from trioproto.endpoints import Bound, ServerEndpoint, parse_endpoint
from trioproto.errors import CallbackError
from trioproto.layers.opening import Opening
from trioproto.layers.tls import TLSLayer
from trioproto.sansio.addresses import Address, address_from_sockaddr
from trioproto.testing import Harness, MemoryListener, MemoryStream, conformance, memory_stream_pair
from trioproto.testing.conformance import (
    MORE_THAN_FITS,
    SMALL,
    Feature,
    Peer,
    PeerWasReset,
    Service,
)
from trioproto.testing.conformance.service import UNMARKED, Connecting, Serving, patience

# Of the contract, what the tests beside these import together with the drivers.
__all__ = [
    "MORE_THAN_FITS",
    "SMALL",
    "UNMARKED",
    "Connecting",
    "Service",
    "Serving",
    "patience",
]

ALL = ("harness", "memory", "stream", "listener", "poll", "tls_memory", "tls")
ASYNC = ALL[1:]  # there is a loop: async callbacks and tasks run
PLAIN = ("memory", "stream", "listener", "poll")  # those of them without TLS
SOCKETS = ("stream", "poll", "tls")  # a reset, a FIN and an errno are seen as they happen
SERVED = ("listener", "poll", "tls")  # there is a server: drains, limits
SERVED_OR_HARNESS = ("harness", *SERVED)  # the harness drains as a server does
KERNEL_SECONDS = 0.3
STEP = 0.01  # seconds that pass at once in harnesses that share a rate
IN_MEMORY = ("memory", "listener", "tls_memory")

ROOMY = 1 << 20


PLAIN_FEATURES = frozenset({Feature.HALF_CLOSE, Feature.RATES})
LOOP_FEATURES = PLAIN_FEATURES | {Feature.ASYNC_CODE}
SERVER_FEATURES = LOOP_FEATURES | {Feature.DRAINS, Feature.SERVER}
SOCKET_FEATURES = {Feature.ERROR_NUMBERS, Feature.SOCKET_OPTIONS, Feature.ADDRESSES}
POLLED_FEATURES = {Feature.SEES_RESETS, Feature.SENDS_AT_ONCE, Feature.READS_ON}


class HarnessService(Service):
    name = "harness"
    features = PLAIN_FEATURES | {
        Feature.DRAINS,
        Feature.SEES_RESETS,
        Feature.SENDS_AT_ONCE,
        Feature.EXACT_WINDOW,
        Feature.ERROR_NUMBERS,
    }

    def __init__(self, factory: Factory[Any], *, small_buffers: bool, half_close: bool) -> None:
        super().__init__(factory, small_buffers=small_buffers, half_close=half_close)
        self.harnesses: list[HarnessPeer] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        yield

    async def new_peer(self) -> Peer:
        window = SMALL if self.small_buffers else None
        errors = self.factory.settings.callback_errors
        harness = Harness(self.factory, window=window, callback_errors=errors)
        peer = HarnessPeer(self, harness, window)
        try:
            self.do(harness.connect)
            _ = harness.transport
        except (ConnectionRefusedError, CallbackError, RuntimeError):
            return RefusedPeer()  # nothing was built, so nothing connected
        self.harnesses.append(peer)
        return peer

    def do(self, call: Callable[[], object]) -> None:
        try:
            call()
        except (ConnectionRefusedError, CallbackError):
            raise
        except BaseException as error:
            self.failures.append(error)

    async def settle(self) -> None:
        await trio.lowlevel.checkpoint()
        for peer in self.harnesses:
            peer.pump()

    async def pass_time(self, seconds: float) -> None:
        # Where there are rates the harnesses' clocks have to keep step.
        throttled = any(peer.harness.transport.throttle is not None for peer in self.harnesses)
        steps = max(1, round(seconds / STEP)) if throttled else 1
        for _ in range(steps):
            for peer in self.harnesses:
                self.do(lambda peer=peer: peer.harness.advance(seconds / steps))  # type: ignore[misc]
            await self.settle()

    def cancel(self) -> None:
        for peer in self.harnesses:
            self.do(peer.harness.cancel)

    async def start_drain(self, grace: float | None = None, force: float | None = None) -> None:
        for peer in self.harnesses:
            self.do(peer.harness.drain)

    async def wait_ended(self) -> None:
        await trio.lowlevel.checkpoint()


class HarnessPeer(Peer):
    def __init__(self, service: HarnessService, harness: Harness[Any], window: int | None) -> None:
        self.owner = service
        self.harness = harness
        self.window = window
        self.queued: deque[bytes | None] = deque()

    def pump(self) -> None:
        """Hand over what was sent, as far as the connection reads."""
        if not self.harness.lost:
            self.owner.do(lambda: self.harness.advance(0))
        while self.queued and not self.harness.lost:
            if self.queued[0] is None:
                self.owner.do(self.harness.feed_eof)
                self.queued.popleft()
            elif self.harness.reading:
                data = self._next_chunk()
                self.owner.do(lambda data=data: self.harness.feed(data))  # type: ignore[misc]
            else:
                return

    def _next_chunk(self) -> bytes:
        """As much as a driver would read, of what was sent at once."""
        data = self.queued.popleft()
        assert data is not None
        size = self.harness._open.receive_size_ahead(self.harness.time())
        if len(data) > size:
            self.queued.appendleft(data[size:])
        return data[:size]

    async def send(self, data: bytes) -> None:
        size = self.owner.factory.settings.read_size
        self.queued.extend(data[start : start + size] for start in range(0, len(data), size))
        self.pump()

    async def send_eof(self) -> None:
        self.queued.append(None)
        self.pump()

    async def reset(self) -> None:
        self.owner.do(self.harness.reset)

    async def aclose(self) -> None:
        if not self.harness.lost:
            self.queued.clear()
            self.owner.do(self.harness.feed_eof)
        if not self.harness.lost:
            self.owner.do(self.harness.reset)

    async def receive_some(self) -> bytes:
        await self.owner.settle()
        taken = self._take_freely()
        if not taken and self.harness.lost and not self.harness.write_closed:
            raise PeerWasReset
        assert taken or self.harness.write_closed, "nothing will ever come"
        return taken

    def _take_freely(self) -> bytes:
        taken = self.harness.take()
        if self.window is not None and not self.harness.lost:
            self.owner.do(lambda: setattr(self.harness, "window", None))
            taken += self.harness.take()
            self.owner.do(lambda: setattr(self.harness, "window", self.window))
        return taken

    def take(self) -> bytes:
        return self._take_freely()

    def allow(self, count: int) -> None:
        self.window = None  # what has come is taken as it is, and makes no room
        self.owner.do(lambda: setattr(self.harness, "window", count))


class RefusedPeer(Peer):
    """Whom the harness refused: it has no connection to see that by."""

    async def send(self, data: bytes) -> None: ...

    async def send_eof(self) -> None: ...

    async def reset(self) -> None: ...

    async def aclose(self) -> None: ...

    async def receive_some(self) -> bytes:
        raise PeerWasReset

    def take(self) -> bytes:
        return b""


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


class MemoryPeer(Peer):
    """The client's end of a memory stream."""

    def __init__(self, ours: MemoryStream) -> None:
        self.ours = ours

    async def send(self, data: bytes) -> None:
        await self.ours.send_all(data)

    async def send_eof(self) -> None:
        with suppress(trio.BrokenResourceError):
            await self.ours.send_eof()

    async def reset(self) -> None:
        self.ours.reset()

    async def aclose(self) -> None:
        await self.ours.aclose()

    async def receive_some(self) -> bytes:
        try:
            return await self.ours.receive_some()
        except trio.BrokenResourceError:
            raise PeerWasReset from None

    def take(self) -> bytes:
        received = bytearray()
        with suppress(trio.WouldBlock, trio.BrokenResourceError):
            while more := self.ours.receive_nowait():
                received += more
        return bytes(received)


@contextmanager
def real_time() -> Iterator[None]:
    """Give the kernel a moment before virtual time goes on.

    Bytes that are under way in it, behind a full window, may need a timer of its
    own (of 40 or 200 ms), while all tasks wait: a virtual clock would jump ahead.
    """
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, trio.testing.MockClock):
        yield
        return
    before = clock.autojump_threshold
    clock.autojump_threshold = max(before, KERNEL_SECONDS)
    try:
        yield
    finally:
        clock.autojump_threshold = before


class SocketPeer(Peer):
    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.raw = connected
        self.sock = trio.socket.from_stdlib_socket(connected)
        self.was_reset = False

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[await self.sock.send(rest) :]

    async def send_eof(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    async def reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.sock.close()

    async def aclose(self) -> None:
        self.sock.close()

    def discard(self) -> None:
        self.raw.close()

    @property
    def address(self) -> Address:
        return address_from_sockaddr(self.raw.getsockname())

    @property
    def server_address(self) -> Address:
        return address_from_sockaddr(self.raw.getpeername())

    async def receive_some(self) -> bytes:
        if self.was_reset:
            raise PeerWasReset
        try:
            with real_time():
                return await self.sock.recv(1 << 16)
        except (ConnectionResetError, BrokenPipeError):
            self.was_reset = True  # the kernel says so only once
            raise PeerWasReset from None

    def take(self) -> bytes:
        received = bytearray()
        try:
            while more := self.raw.recv(1 << 16):
                received += more
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.was_reset = True
        return bytes(received)


def capacity(service: Service) -> int:
    return SMALL if service.small_buffers else ROOMY


def small_socket() -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    return made


def small_listener() -> trio.SocketListener:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    listening.setblocking(False)
    return trio.SocketListener(trio.socket.from_stdlib_socket(listening))


def tcp_pair(buffers: int | None) -> tuple[socket.socket, socket.socket]:
    """Two connected sockets: the peer's and the server's."""
    with socket.socket() as listening:
        if buffers is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        client = socket.socket() if buffers is None else small_socket()
        client.connect(listening.getsockname())
        server, _ = listening.accept()
    server.setblocking(False)
    return client, server


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
