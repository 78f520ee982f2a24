"""A factory that is served on real sockets, with a healthy client who is there all the while.

- ``poll``: ``open_server``, by the shared poller; ``tls`` is the same with TLS.
- ``stream``: ``factory.handle`` under ``trio.serve_listeners``; ``tls_stream`` with TLS.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import trio
import trio.testing

from tests.behaviour.drivers import OverTLS, patience
from tests.behaviour.tls_peers import TLSPeer, server_context
from tests.hostile.callers import BAD, HEALTHY, LATE, Caller, Healthy, call
from tests.hostile.left_overs import check_nothing_held, held_by, held_by_process
from trioproto import Factory, Protocol, Server, TCPAddress, open_server
from trioproto.framing import LineReceiver
from trioproto.runtime.admission import Admission
from trioproto.testing.conformance.peer import Peer

PLAIN = ("poll", "stream")
OVER_TLS = ("tls", "tls_stream")
DRIVERS = PLAIN + OVER_TLS

LONGEST_WAIT = 5.0
"""Seconds, virtual ones, that a healthy client may wait: less than any deadline of these tests.

On a virtual clock an answer comes at once: time only goes on when nobody can do anything. If
the healthy client had to wait for a bad one, it would wait for that one's deadline.
"""
_A_MOMENT = 0.001
"""Real seconds without news after which virtual time goes on: the kernel may be busy."""
_LOOK_AGAIN = 2
"""Seconds until something is looked at again, if they cost nothing."""
_OVER_SOON = 300
"""Seconds after which nothing may be left of anybody."""


def is_virtual() -> bool:
    """Whether time is."""
    return isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock)


class Echo(Protocol):
    def data_received(self, data: bytes) -> Any:
        self.transport.write(data)


class Lines(LineReceiver):
    """Repeats lines."""

    def line_received(self, line: bytes) -> Any:
        self.send_line(line)


class Place:
    """Where a factory is served.

    Attributes:
        healthy: a client that is served all the while.
        server: what serves, if it is a server of ours.
        callers: all clients' sockets.
        handlers: scopes in which streams are handled, and the hosts at their other ends.
    """

    healthy: Healthy

    def __init__(
        self,
        factory: Factory[Any],
        address: tuple[str, int],
        *,
        tls: bool,
        server: Server[Any] | None = None,
    ) -> None:
        self.factory = factory
        self.address = address
        self.tls = tls
        self.server = server
        self.callers: list[Caller] = []
        self.handlers: dict[trio.CancelScope, str] = {}
        scope = factory._scope
        assert scope is not None
        self.admission: Admission = scope.admission

    async def dial(self, source: str = BAD) -> Caller:
        """Connect, and say nothing."""
        caller = await call(self.address, source)
        self.callers.append(caller)
        return caller

    async def crowd(self, count: int, source: str = BAD) -> list[Caller]:
        """Connect so often."""
        return [await self.dial(source) for _ in range(count)]

    async def connect(self, source: str = BAD) -> Peer:
        """Connect, and shake hands if that is the custom."""
        caller = await self.dial(source)
        return await self.over_tls(caller) if self.tls else caller

    async def over_tls(self, caller: Caller) -> TLSPeer:
        """Shake hands."""
        peer = TLSPeer(caller)
        await peer.handshake()
        return peer

    async def newcomer(self) -> Healthy:
        """Connect as somebody who means well, be answered, and leave."""
        healthy = Healthy(await self.connect(LATE))
        await healthy.ask()
        await healthy.peer.aclose()
        return healthy

    async def settle(self) -> None:
        """Let all happen that needs no time to pass."""
        await trio.testing.wait_all_tasks_blocked()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for what has to come soon."""
        with trio.fail_after(_OVER_SOON):
            while not holds():  # noqa: ASYNC110 - nobody tells
                await trio.sleep(_LOOK_AGAIN if is_virtual() else _LOOK_AGAIN / 100)

    def count(self, reason: str) -> int:
        """How many connections have ended for that reason."""
        return self.factory.statistics().closed.get(reason, 0)

    @property
    def connections(self) -> int:
        """How many there are besides the healthy client's."""
        return len(self.factory.connections) - 1

    async def clear(self) -> None:
        """Have all clients gone, and see that nothing of them is left."""
        for caller in self.callers:
            caller.discard()
        await self.until(lambda: not any(held_by(self.factory, self.admission).values()))


@asynccontextmanager
async def _by_server(factory: Factory[Any], *, tls: bool) -> AsyncIterator[Place]:
    endpoint: Any = "tcp:0:interface=127.0.0.1"
    async with open_server(factory, OverTLS(endpoint) if tls else endpoint) as server:
        (address,) = server.addresses
        assert isinstance(address, TCPAddress)
        yield Place(factory, (address.host, address.port), tls=tls, server=server)


@asynccontextmanager
async def _by_handler(factory: Factory[Any], *, tls: bool) -> AsyncIterator[Place]:
    context: ssl.SSLContext | None = server_context() if tls else None

    async def handle(stream: trio.SocketStream) -> None:
        with trio.CancelScope() as scope:
            place.handlers[scope] = _host(stream)
            try:
                await factory.handle(stream, tls=context)
            finally:
                del place.handlers[scope]

    async with factory, trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        place = Place(factory, listeners[0].socket.getsockname(), tls=tls)
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        yield place
        nursery.cancel_scope.cancel()


def _host(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return "gone"


_WAYS: dict[str, Callable[[Factory[Any]], AbstractAsyncContextManager[Place]]] = {
    "poll": partial(_by_server, tls=False),
    "tls": partial(_by_server, tls=True),
    "stream": partial(_by_handler, tls=False),
    "tls_stream": partial(_by_handler, tls=True),
}


@asynccontextmanager
async def serving(
    driver: str, factory: Factory[Any], within: float | None = None
) -> AsyncIterator[Place]:
    """Serve *factory*, with a healthy client; in the end nothing may be left of anybody.

    Args:
        driver: over what.
        factory: what is served.
        within: seconds after which the test must hang.
    """
    clock = trio.lowlevel.current_clock()
    if isinstance(clock, trio.testing.MockClock):
        clock.autojump_threshold = _A_MOMENT
    before = held_by_process()
    with trio.fail_after(within or patience()):
        async with _WAYS[driver](factory) as place:
            try:
                place.healthy = Healthy(await place.connect(HEALTHY))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(place.healthy.run)
                    await place.healthy.served(1)
                    yield place
                    await place.newcomer()
                    await place.healthy.served(1)
                    nursery.cancel_scope.cancel()
                await place.clear()
            finally:
                for caller in place.callers:
                    caller.discard()
        check_nothing_held(factory, place.admission)
    assert not is_virtual() or place.healthy.longest <= LONGEST_WAIT
    assert held_by_process() == before
