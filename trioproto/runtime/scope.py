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
from typing import TYPE_CHECKING, Any

import trio

from trioproto.runtime.admission import Admission
from trioproto.runtime.deadlines import Deadlines
from trioproto.runtime.flusher import Flusher
from trioproto.runtime.poller import Poller
from trioproto.runtime.user_code import shielded
from trioproto.runtime.watchdog import Watchdog
from trioproto.sansio.errors import ServerCancelled

if TYPE_CHECKING:
    from trioproto.factory import Factory
    from trioproto.runtime.driver import BaseDriver
    from trioproto.sansio.connection import Connection


class Scope:
    """The shared machinery of one factory's connections.

    Attributes:
        factory: whose scope this is.
        admission: the limits.
        watchdog: tells of slow callbacks.
        flusher: turns for connections that were changed from outside.
        deadlines: their deadlines.
        time: ``trio.current_time`` without the way to the clock, which costs more.
        draining: whether a drain has begun; connections then drain from the start.
        ended: whether nothing may be begun in it any more.
    """

    def __init__(self, factory: Factory[Any], services: trio.Nursery) -> None:
        self.factory = factory
        self.admission = Admission(factory)
        self.watchdog = Watchdog(factory)
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
        """Return the connections that have begun, open or not yet; without those being refused."""
        return [each.connection for each in self._drivers if each.begun and not each.refused]

    def refused(self) -> list[Connection]:
        """Return the connections that only tell their peers that they are refused."""
        return [each.connection for each in self._drivers if each.begun and each.refused]

    def turn_arrivals_away(self, *, silent_only: bool) -> None:
        """Wait no longer for places and PROXY headers, or only for headers that have begun."""
        self.admission.turn_away()
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

    async def end(self) -> None:
        """End all connections at once, in whichever nurseries they run; begin none any more.

        Can be repeated.
        """
        self.ended = True
        with shielded(2 * self.factory.settings.cleanup_timeout):
            await self._cancel()

    async def _cancel(self) -> None:
        for each in list(self._drivers):
            if each.begun:
                each.connection.abort(ServerCancelled())
        self.turn_arrivals_away(silent_only=False)
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
                    await scope.end()
            services.cancel_scope.cancel()
        finally:
            scope.close()
