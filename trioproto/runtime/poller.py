"""One epoll for all sockets of a scope.

Waiting through trio for each socket costs more than the work that an event
leads to. So one task waits, with ``wait_readable`` on the epoll's own
descriptor, and hands each event to its driver at once, in batches.

A batch is one synchronous pass over at most 64 events or 5 ms, asking the epoll
again as long as it has some at once. It ends with a checkpoint, so that other
tasks are never kept waiting longer by the number of connections. Events left
over when the time is up go first in the next batch; a connection does one
``recv`` for each event. The order is the kernel's, which takes level-triggered
descriptors in rotation.
"""

from __future__ import annotations

import select
from time import perf_counter
from typing import TYPE_CHECKING, cast

import trio

from trioproto.runtime.flusher import LONGEST_PASS, Flusher

if TYPE_CHECKING:
    from trioproto.runtime.socket_driver import SocketDriver
    from trioproto.runtime.watchdog import Watchdog

BATCH = 64
"""Events in one pass."""

SUPPORTED = hasattr(select, "epoll")
"""Whether this system has epoll."""


class _ErrorWatch:
    """Takes the place of a driver where there is none yet."""

    begun = False

    def __init__(self) -> None:
        self.seen = trio.Event()

    def event(self, mask: int, now: float) -> None:
        """Note an error; a hang-up alone is what a peer leaves behind that has said all."""
        if mask & select.EPOLLERR:
            self.seen.set()


class Poller:
    """The sockets of one scope and their drivers."""

    def __init__(self, flusher: Flusher, watchdog: Watchdog) -> None:
        self._epoll = select.epoll()
        self._drivers: dict[int, SocketDriver] = {}
        self._left: list[tuple[int, int]] = []
        self._flusher = flusher
        self._watchdog = watchdog

    def register(self, fd: int, driver: SocketDriver, events: int) -> None:
        """Watch a descriptor."""
        self._epoll.register(fd, events)
        self._drivers[fd] = driver

    def modify(self, fd: int, events: int) -> None:
        """Watch it for other events."""
        self._epoll.modify(fd, events)

    def unregister(self, fd: int) -> None:
        """Watch it no more; before it is closed."""
        del self._drivers[fd]
        if self._left:
            self._left = [event for event in self._left if event[0] != fd]
        self._epoll.unregister(fd)

    async def wait_error(self, fd: int) -> None:
        """Wait until a socket has an error, such as a reset, whatever has come before it."""
        watch = _ErrorWatch()
        try:
            # Errors are told whatever is asked for, and with this not again and again.
            self.register(fd, cast("SocketDriver", watch), select.EPOLLONESHOT)
        except OSError:
            await trio.sleep_forever()  # the system has no room for one more: it is not seen
        try:
            await watch.seen.wait()
        finally:
            self.unregister(fd)

    def close(self) -> None:
        """Close the epoll."""
        self._epoll.close()

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Hand out events; for ever."""
        while True:
            if self._batch():
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(self._epoll.fileno())

    def _batch(self) -> bool:
        """Hand out events, asking for more until a limit; say whether one was reached."""
        ends = perf_counter() + LONGEST_PASS
        now = trio.current_time()
        handed_out = 0
        while handed_out < BATCH:
            events = self._left or self._epoll.poll(0, BATCH - handed_out)
            if not events:
                break
            self._left = events
            self._flusher.begin_batch()
            handed_out += self._hand_out(now, ends)
            self._flusher.end_batch()
            if perf_counter() > ends:
                handed_out = BATCH
        return handed_out >= BATCH

    def _hand_out(self, now: float, ends: float) -> int:
        """Hand out the events at hand until the time is up; return how many."""
        drivers = self._drivers
        events, self._left = self._left, []
        done = 0
        before = ends - LONGEST_PASS
        for fd, mask in events:
            done += 1
            try:
                driver = drivers[fd]
            except KeyError:
                continue  # it has gone by an event before
            driver.event(mask, now)
            after = perf_counter()
            if after > ends:
                self._watchdog.look(driver, after - before)
                self._left = events[done:]
                break
            before = after
        return done
