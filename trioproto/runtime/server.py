"""Serving a factory on endpoints: opening, the handle, and the end."""

from __future__ import annotations

import operator
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias

import trio

from trioproto.endpoints import parse_endpoint
from trioproto.endpoints.endpoint import Bound, ServerEndpoint, close_all
from trioproto.factory import Connections, P
from trioproto.runtime.acceptor import Doorman, SocketAcceptor, StreamAcceptor
from trioproto.runtime.drain import drain
from trioproto.runtime.groups import ungrouped, users_block
from trioproto.runtime.poller import SUPPORTED
from trioproto.runtime.user_code import shielded
from trioproto.sansio.addresses import Address, UnknownAddress, address_from_sockaddr

if TYPE_CHECKING:
    from trioproto.runtime.drain import DrainReport
    from trioproto.runtime.factory import Factory
    from trioproto.runtime.scope import Scope
    from trioproto.sansio.connection_info import ConnectionInfo
    from trioproto.sansio.counts import Statistics
    from trioproto.sansio.events import Event
    from trioproto.sansio.subscriptions import Subscription

Endpoint: TypeAlias = str | ServerEndpoint | trio.abc.Listener[Any]
"""Where to listen: a string, an endpoint object, or a ready-made listener."""

Acceptor: TypeAlias = SocketAcceptor | StreamAcceptor

_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}
_CLOSE_TIME = 1.0
"""Seconds for closing the listeners."""


class Server(Generic[P]):
    """A factory that is being served.

    Attributes:
        factory: the factory.
        addresses: what was bound, in the order of the endpoints.
        connections: the factory's live protocols.
    """

    def __init__(
        self,
        factory: Factory[P],
        scope: Scope,
        addresses: tuple[Address, ...],
        grace: float | None,
        force: float | None,
    ) -> None:
        self.factory = factory
        self.addresses = addresses
        self._scope = scope
        self._grace = grace
        self._force = force
        self._stop = trio.Event()
        self._closed = trio.Event()
        self._grace_scope = trio.CancelScope()
        self._report: DrainReport | None = None
        self._accepting = trio.CancelScope()
        self._accepted = trio.Event()
        self._waiting: set[trio.Event] = set()

    @property
    def connections(self) -> Connections[P]:
        """The live protocols."""
        return self.factory.connections

    def statistics(self) -> Statistics:
        """Return what was counted since the factory was made; in any thread."""
        return self.factory._monitor.statistics(self.factory._buffered)

    def connection_info(self) -> tuple[ConnectionInfo, ...]:
        """Describe each live connection, as ``factory.connection_info`` does."""
        return self.factory._monitor.connection_info()

    def subscribe(self, callback: Callable[[Event], object]) -> Subscription:
        """Have *callback* called with each event, as ``factory.subscribe`` does."""
        return self.factory._monitor.subscribe(callback)

    @property
    def closed(self) -> bool:
        """Whether all connections have ended, in whichever way."""
        return self._closed.is_set()

    def stop(self) -> None:
        """Ask the server to drain and end; returns at once.

        Origin: Twisted's ``reactor.stop``.
        """
        self._stop.set()

    async def drain(self, grace: float | None = None, force: float | None = None) -> DrainReport:
        """Stop, wait for the connections, and return how they ended.

        Listening ends first. Each connection is read from no more, gets what
        was received, and is asked to ``quiesce``. After *grace* seconds async
        callbacks that still run are cancelled and their connections reset;
        after *force* more, what could not be flushed is reset too.

        While one is under way this joins it, and may shorten the grace. If
        cancelled, the drain goes on. When it returns, all that ``wait_closed``
        waits for is over.

        Args:
            grace: seconds; by default what the server was opened with, or the
                setting ``drain_grace``.
            force: seconds; the same with ``drain_force``.
        """
        if not self._scope.draining:
            self._grace = self._grace if grace is None else grace
            self._force = self._force if force is None else force
            self._stop.set()
        elif grace is not None:
            ends = trio.current_time() + grace
            self._grace_scope.deadline = min(self._grace_scope.deadline, ends)
        await self._closed.wait()
        if self._report is None:
            raise trio.ClosedResourceError("the server was cancelled")
        return self._report

    def suspend(self) -> None:
        """Accept nothing until ``resume``: newcomers wait in the kernel's backlog.

        Whatever ``at_limit`` says. Those who are connected are served as before.
        """
        if not self._stop.is_set() and self._scope.admission.suspend():
            self.factory._monitor.suspended()

    def resume(self) -> None:
        """Accept again, first those who have waited."""
        if self._scope.admission.resume():
            self.factory._monitor.resumed()

    async def wait_connections(
        self, comparison: Literal["<", "<=", "==", ">=", ">"], count: int
    ) -> None:
        """Wait until the number of connections compares so with *count*.

        ``await server.wait_connections("<=", 10)``, say, after ``suspend``. It may
        be another number again when the waiting task runs.

        Raises:
            ClosedResourceError: the server has ended, and it does not.
            ValueError: *comparison* is none.
        """
        holds = _COMPARISONS.get(comparison)
        if holds is None:
            raise ValueError(
                f"{comparison!r} is no comparison; there are {', '.join(_COMPARISONS)}"
            )
        reached = False
        awaken = trio.Event()

        def look(_event: object = None) -> None:
            nonlocal reached
            if holds(len(self.connections), count):
                reached = True
                awaken.set()

        with self.subscribe(look):
            look()
            if self._closed.is_set():
                awaken.set()
            self._waiting.add(awaken)
            try:
                await awaken.wait()
            finally:
                self._waiting.discard(awaken)
        look()
        if not reached:
            raise trio.ClosedResourceError("the server has ended")

    async def wait_closed(self) -> None:
        """Wait until all connections have ended, in whichever way, and nothing listens any more.

        So what was bound can be bound again. The factory's ``lifespan`` is left after
        that, as this may be called inside of it: the server has ended when ``serve``
        returns, or the block of ``open_server`` is left.
        """
        await self._closed.wait()

    async def _accept(self, acceptors: list[Acceptor], bound: list[Bound]) -> None:
        """Accept until the drain begins; drain when nothing is left to be accepted.

        What was bound is given up then, so that a successor can have it meanwhile.
        """
        monitor = self.factory._monitor
        for each in bound:
            monitor.listener_started(each.address, each.text)
        try:
            with self._accepting:
                async with trio.open_nursery() as services:
                    for each in bound:
                        for service in each.services:
                            services.start_soon(service)
                    async with trio.open_nursery() as nursery:
                        for acceptor in acceptors:
                            nursery.start_soon(acceptor.run)
                    services.cancel_scope.cancel()
                await self._scope.wait_empty()
        finally:
            for each in bound:
                each.close()
                monitor.listener_stopped(each.address, each.text)
            self._accepted.set()
        self.stop()

    def _close(self) -> None:
        """Have nobody wait any longer."""
        self._closed.set()
        for event in self._waiting:
            event.set()

    async def _run(self) -> None:
        """Wait to be stopped, then drain."""
        await self._stop.wait()
        self._scope.draining = True
        self._scope.admission.resume()
        self._accepting.cancel()
        settings = self.factory.settings
        grace = settings.drain_grace if self._grace is None else self._grace
        force = settings.drain_force if self._force is None else self._force
        ends = trio.current_time() + grace
        self._grace_scope.deadline = min(self._grace_scope.deadline, ends)
        self._report = await drain(self._scope, self._grace_scope, force, self._accepted)
        self._close()


@asynccontextmanager
async def open_server(
    factory: Factory[P],
    *endpoints: Endpoint,
    grace: float | None = None,
    force: float | None = None,
) -> AsyncIterator[Server[P]]:
    """Serve *factory* on *endpoints* while the block runs.

    The sockets are bound first, then the factory's ``lifespan`` is entered, then
    they listen, then connections are accepted. Leaving the block drains; leaving
    it by an exception or a cancellation ends everything at once.

    Args:
        factory: what to serve; it can be served once at a time.
        endpoints: at least one; ready-made listeners are closed at the end.
        grace: seconds, in place of the setting ``drain_grace``.
        force: seconds, in place of the setting ``drain_force``.

    Raises:
        EndpointError: a bad string.
        ListenError: an endpoint cannot be bound.
        RuntimeError: the factory is being served already.
        Exception: what ``lifespan`` or the block raised, as it was.
    """
    if not endpoints:
        raise ValueError("at least one endpoint is needed")
    with ungrouped():
        async with (
            _bound(endpoints) as bound,
            factory.open_scope() as scope,
            _ending(Server(factory, scope, _addresses(bound), grace, force)) as server,
            trio.open_nursery() as nursery,
        ):
            doorman = Doorman(scope, nursery)
            acceptors = [_listen(doorman, each) for each in bound]
            nursery.start_soon(server._accept, acceptors, bound)
            nursery.start_soon(server._run)
            factory._server = server
            try:
                with users_block():
                    yield server
                server.stop()
                await server.wait_closed()
            finally:
                factory._server = None


@asynccontextmanager
async def _ending(server: Server[P]) -> AsyncIterator[Server[P]]:
    """Let those who wait for the end of *server* go on when all connections have ended."""
    try:
        yield server
    finally:
        # Those that were not drained, and do not run in the server's nursery.
        await server._scope.end()
        server._close()


async def serve(
    factory: Factory[P],
    *endpoints: Endpoint,
    grace: float | None = None,
    force: float | None = None,
    task_status: trio.TaskStatus[Server[P]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve *factory* on *endpoints* until ``server.stop()``, and drain.

    ``await nursery.start(serve, factory, ...)`` returns the :class:`Server`.

    Raises:
        Exception: as :func:`open_server`.
    """
    async with open_server(factory, *endpoints, grace=grace, force=force) as server:
        task_status.started(server)
        await server.wait_closed()


@asynccontextmanager
async def _bound(endpoints: Iterable[Endpoint]) -> AsyncIterator[list[Bound]]:
    """Bind all endpoints, or none; close them, and what was ready-made, at the end."""
    bound: list[Bound] = []
    ready_made = [each for each in endpoints if isinstance(each, trio.abc.Listener)]
    try:
        for endpoint in [_parsed(each) for each in endpoints]:
            if isinstance(endpoint, ServerEndpoint):
                bound += await endpoint.bind()
            else:
                bound.append(_take_over(endpoint))
        yield bound
    finally:
        with shielded(_CLOSE_TIME):
            await close_all(bound)
            for listener in ready_made:
                await trio.aclose_forcefully(listener)


def _addresses(bound: Iterable[Bound]) -> tuple[Address, ...]:
    return tuple(each.address for each in bound)


def _take_over(listener: trio.abc.Listener[Any]) -> Bound:
    """Take over a ready-made listener, or the socket that it is made of."""
    text = type(listener).__name__
    if SUPPORTED and isinstance(listener, trio.SocketListener):
        sock = socket.socket(fileno=listener.socket.detach())
        return Bound(sock, address_from_sockaddr(sock.getsockname()), text, listens=True)
    return Bound(listener, UnknownAddress(text), text, listens=True)


def _listen(doorman: Doorman, bound: Bound) -> Acceptor:
    """Begin to listen on a bound socket or listener; return what accepts there.

    Raises:
        ListenError: another socket listens on the same address.
    """
    backlog = doorman.scope.factory.settings.backlog
    if not isinstance(bound.source, socket.socket):
        return StreamAcceptor(doorman, bound.source, bound.opening, bound.address)
    if SUPPORTED:
        # Made before, as it sets options that only count for what comes later.
        acceptor = SocketAcceptor(doorman, bound.source, bound.opening, listens=bound.listens)
        bound.listen(backlog)
        return acceptor
    bound.listen(backlog)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(bound.source))
    return StreamAcceptor(doorman, listener, bound.opening, bound.address)


def _parsed(endpoint: Endpoint) -> ServerEndpoint | trio.abc.Listener[Any]:
    if isinstance(endpoint, str):
        return parse_endpoint(endpoint)
    if isinstance(endpoint, ServerEndpoint | trio.abc.Listener):
        return endpoint
    raise TypeError(f"an endpoint is a string, an endpoint object or a listener, not {endpoint!r}")
