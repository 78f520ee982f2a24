"""What others wait for a connection to do."""

from __future__ import annotations

from collections.abc import Callable

import trio

from trioproto.runtime.user_code import UserCode
from trioproto.sansio.lifecycle import State


class Waiting(UserCode):
    """The part of a driver that lets tasks wait; each turn tells them to look again."""

    __slots__ = ("_closed", "_draining", "_opened", "_progress")

    def __init__(self) -> None:
        super().__init__()
        self._opened: trio.Event | None = None
        self._progress: trio.Event | None = None
        self._closed: trio.Event | None = None
        self._draining: trio.Event | None = None

    def offer(self, *, one_turn: bool = False) -> None:
        """Send at once what can be sent without waiting: nothing, in general."""

    async def wait_writable(self) -> None:
        """Wait until less than ``high_water`` bytes wait, sending meanwhile."""
        connection = self.connection
        await trio.lowlevel.checkpoint_if_cancelled()
        self.offer()
        if not connection.closing and connection.buffered < connection.settings.high_water:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        await self._wait_until(
            lambda: connection.closing or connection.buffered < connection.settings.high_water
        )
        if connection.closing:
            raise connection.end_as_error()

    async def wait_closed(self) -> None:
        """Wait until ``connection_lost`` has returned."""
        if self._closed is None:
            self._closed = trio.Event()
        await self._closed.wait()

    async def wait_draining(self) -> None:
        """Wait until the server drains, or the connection ends."""
        if self._draining is None:
            self._draining = trio.Event()
            if self.connection.draining:
                self._draining.set()
        await self._draining.wait()

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that a turn brings about, or for the end."""
        await trio.lowlevel.checkpoint()
        while not condition() and self.connection.state < State.ENDED:
            if self._progress is None:
                self._progress = trio.Event()
            await self._progress.wait()

    def _notify_waiters(self) -> None:
        """Have those who wait look again."""
        if self._progress is not None:
            self._progress.set()
            self._progress = None
        if self._draining is not None and self.connection.draining:
            self._draining.set()
        if self._opened is not None and self.connection.state > State.OPENING:
            self._opened.set()

    def _release_waiters(self) -> None:
        """Have nobody wait any longer: the connection has ended."""
        for event in (self._progress, self._draining, self._closed):
            if event is not None:
                event.set()
