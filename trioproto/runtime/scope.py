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
from trioproto.runtime.poller import Poller
from trioproto.runtime.user_code import shielded
from trioproto.sansio import holds
from trioproto.sansio.errors import ServerCancelled, ServerDraining
from trioproto.sansio.lifecycle import State

if TYPE_CHECKING:
    from trioproto.factory import Factory
    from trioproto.runtime.driver import BaseDriver
    from trioproto.sansio.connection import Connection


@dataclass(frozen=True, slots=True)
class DrainReport:
    """How the connections ended that were open when a drain began.

    Attributes:
        finished: by themselves within the grace, or flushed soon after it.
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
        time: ``trio.current_time`` without the way to the clock, which costs more.
        draining: whether a drain has begun; connections then drain from the start.
        ended: whether nothing may be begun in it any more.
    """

    def __init__(self, factory: Factory[Any], services: trio.Nursery) -> None:
        self.factory = factory
        self.admission = Admission(factory)
        self.flusher = Flusher()
        self.deadlines = Deadlines()
        self.time = trio.lowlevel.current_clock().current_time
        self.draining = False
        self.ended = False
        self._services = services
        self._poller: Poller | None = None
        self._drivers: set[BaseDriver] = set()
        self._empty: trio.Event | None = None

    @property
    def poller(self) -> Poller:
        """The poller of their sockets, made when it is first needed."""
        if self._poller is None:
            self._poller = Poller(self.flusher)
            self._services.start_soon(self._poller.run)
        return self._poller

    def close(self) -> None:
        """Let go of what is no task."""
        if self._poller is not None:
            self._poller.close()
        self.factory.flush_error_log()

    def entered(self, driver: BaseDriver) -> None:
        """A connection's task has begun, or is about to."""
        self._drivers.add(driver)

    def left(self, driver: BaseDriver) -> None:
        """A connection's task has ended."""
        self._drivers.discard(driver)
        if not self._drivers and self._empty is not None:
            self._empty.set()
            self._empty = None

    def live(self) -> list[Connection]:
        """Return the connections that have begun, whether open or not yet."""
        return [each.connection for each in self._drivers if each.begun]

    def _turn_arrivals_away(self, *, silent_only: bool) -> None:
        for each in list(self._drivers):
            if each.arrival is not None:
                each.arrival.turn_away(silent_only=silent_only)

    async def wait_empty(self) -> None:
        """Wait until no connection's task runs."""
        await trio.lowlevel.checkpoint()
        while self._drivers:
            if self._empty is None:
                self._empty = trio.Event()
            await self._empty.wait()

    async def drain(self, grace: trio.CancelScope, force: float) -> DrainReport:
        """End all connections, first gently, then not.

        Args:
            grace: a scope, not entered yet, whose deadline ends the gentle part.
            force: seconds after it until what is left is aborted.
        """
        self.draining = True
        begun = {each for each in self.live() if each.state >= State.OPEN}
        for connection in self.live():
            connection.drain()
        self._turn_arrivals_away(silent_only=True)
        with grace:
            await self.wait_empty()
        self._turn_arrivals_away(silent_only=False)
        cancelled = {each for each in self.live() if each.holds & holds.BUSY}
        for connection in self.live():
            if connection in cancelled:
                connection.abort(ServerDraining())
            else:
                connection.close(ServerDraining())
        with trio.move_on_after(force):
            await self.wait_empty()
        aborted = set(self.live()) - cancelled
        for connection in aborted:
            connection.abort(ServerDraining())
        await self.wait_empty()
        finished = begun - cancelled - aborted
        return DrainReport(len(finished), len(cancelled & begun), len(aborted & begun))

    async def cancel(self) -> None:
        """End all connections at once, in whichever nurseries they run."""
        for connection in self.live():
            connection.abort(ServerCancelled())
        self._turn_arrivals_away(silent_only=False)
        # The flusher's task may have been cancelled already.
        self.flusher.give_all_turns()
        await self.wait_empty()


@asynccontextmanager
async def open_scope(factory: Factory[Any]) -> AsyncIterator[Scope]:
    """Run a factory's services and its lifespan around a block."""
    async with trio.open_nursery() as services:
        scope = Scope(factory, services)
        try:
            services.start_soon(scope.flusher.run)
            services.start_soon(scope.deadlines.run)
            async with factory.lifespan():
                try:
                    yield scope
                finally:
                    scope.ended = True
                    with shielded(2 * factory.settings.cleanup_timeout):
                        await scope.cancel()
            services.cancel_scope.cancel()
        finally:
            scope.close()
