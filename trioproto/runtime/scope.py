"""What a factory owns while it serves: limits, shared tasks, its lifespan.

A scope is entered once for a whole server (or by hand, ``async with factory``),
and everything in it ends with it::

    services nursery        poller, flusher, deadlines: outlive the connections
      lifespan              the user's resources
        the connections     in the server's nursery, or the caller's

"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import trio

from trioproto.runtime.admission import Admission
from trioproto.runtime.deadlines import Deadlines
from trioproto.runtime.flusher import Flusher
from trioproto.runtime.poller import SUPPORTED, Poller
from trioproto.runtime.user_code import shielded
from trioproto.sansio import holds
from trioproto.sansio.errors import ServerCancelled, ServerDraining

if TYPE_CHECKING:
    from trioproto.factory import Factory


@dataclass(frozen=True, slots=True)
class DrainReport:
    """How the connections ended that were open when a drain began.

    Attributes:
        finished: by themselves, within the grace.
        cancelled: because their async callback was cancelled after it.
        aborted: because they could not even be flushed in time.
    """

    finished: int
    cancelled: int
    aborted: int


class Scope:
    """The shared machinery of one factory's connections.

    Attributes:
        factory: whose scope this is.
        admission: the limits.
        flusher: turns for connections that were changed from outside.
        deadlines: their deadlines.
        poller: their sockets, or ``None`` where there is no epoll.
        draining: whether a drain has begun; connections then drain from the start.
    """

    def __init__(self, factory: Factory[Any]) -> None:
        self.factory = factory
        self.admission = Admission(factory.settings.max_connections)
        self.flusher = Flusher()
        self.deadlines = Deadlines()
        self.poller = Poller(self.flusher) if SUPPORTED else None
        self.draining = False
        self._running = 0
        self._empty: trio.Event | None = None

    def entered(self) -> None:
        """A connection's task has begun."""
        self._running += 1

    def left(self) -> None:
        """A connection's task has ended."""
        self._running -= 1
        if not self._running and self._empty is not None:
            self._empty.set()

    async def wait_empty(self) -> None:
        """Wait until no connection's task runs."""
        await trio.lowlevel.checkpoint()
        while self._running:
            self._empty = trio.Event()
            await self._empty.wait()

    async def drain(self, grace: trio.CancelScope, force: float) -> DrainReport:
        """End all connections, first gently, then not.

        Args:
            grace: a scope, not entered yet, whose deadline ends the gentle part.
            force: seconds after it until what is left is aborted.
        """
        self.draining = True
        before = self._running
        for connection in self.factory.live():
            connection.drain()
        with grace:
            await self.wait_empty()
        finished = before - self._running
        cancelled = 0
        for connection in self.factory.live():
            if connection.holds & holds.BUSY:
                connection.abort(ServerDraining())
                cancelled += 1
            else:
                connection.close(ServerDraining())
        with trio.move_on_after(force):
            await self.wait_empty()
        aborted = 0
        for connection in self.factory.live():
            connection.abort(ServerDraining())
            aborted += 1
        await self.wait_empty()
        return DrainReport(max(finished, 0), cancelled, aborted)

    async def cancel(self) -> None:
        """End all connections at once, in whichever nurseries they run."""
        for connection in self.factory.live():
            connection.abort(ServerCancelled())
        # The flusher's task may have been cancelled already.
        self.flusher.give_turns()
        await self.wait_empty()


@asynccontextmanager
async def open_scope(factory: Factory[Any]) -> AsyncIterator[Scope]:
    """Run a factory's services and its lifespan around a block."""
    scope = Scope(factory)
    try:
        async with trio.open_nursery() as services:
            services.start_soon(scope.flusher.run)
            services.start_soon(scope.deadlines.run)
            if scope.poller is not None:
                services.start_soon(scope.poller.run)
            async with factory.lifespan():
                try:
                    yield scope
                finally:
                    with shielded(2 * factory.settings.cleanup_timeout):
                        await scope.cancel()
            services.cancel_scope.cancel()
    finally:
        if scope.poller is not None:
            scope.poller.close()
        factory.flush_error_log()
