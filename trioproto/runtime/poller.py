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
from typing import Protocol

import trio

from trioproto.runtime.flusher import LONGEST_PASS, Flusher

BATCH = 64
"""Events in one pass."""

SUPPORTED = hasattr(select, "epoll")
"""Whether this system has epoll."""


class Watcher(Protocol):
    """Who is told of a socket's events: its driver, if there is one yet."""

    def event(self, mask: int, now: float) -> None:
        """Act on events."""

    def step_took(self, seconds: float) -> None:
        """Take it that this has kept everything else waiting."""


class Poller:
    """The sockets of one scope, and who is told of their events."""

    def __init__(self, flusher: Flusher) -> None:
        self._epoll = select.epoll()
        self._watchers: dict[int, Watcher] = {}
        self._left: list[tuple[int, int]] = []
        self._flusher = flusher

    def register(self, fd: int, watcher: Watcher, events: int) -> None:
        """Watch a descriptor."""
        self._epoll.register(fd, events)
        self._watchers[fd] = watcher

    def modify(self, fd: int, events: int) -> None:
        """Watch it for other events."""
        self._epoll.modify(fd, events)

    def unregister(self, fd: int) -> None:
        """Watch it no more; before it is closed."""
        del self._watchers[fd]
        if self._left:
            self._left = [event for event in self._left if event[0] != fd]
        self._epoll.unregister(fd)

    async def wait_error(self, fd: int) -> None:
        """Wait until a socket has an error, such as a reset, whatever has come before it."""
        watcher = _ErrorWatcher()
        try:
            # Errors are told whatever is asked for, and with this not again and again.
            self.register(fd, watcher, select.EPOLLONESHOT)
        except OSError:
            await trio.sleep_forever()  # the system has no room for one more: it is not seen
        try:
            await watcher.seen.wait()
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
        watchers = self._watchers
        events, self._left = self._left, []
        done = 0
        before = ends - LONGEST_PASS
        for fd, mask in events:
            done += 1
            try:
                watcher = watchers[fd]
            except KeyError:
                continue  # it has gone by an event before
            watcher.event(mask, now)
            after = perf_counter()
            if after > ends:
                watcher.step_took(after - before)
                self._left = events[done:]
                break
            before = after
        return done


class _ErrorWatcher:
    """Is told of a socket that has no driver at work yet."""

    def __init__(self) -> None:
        self.seen = trio.Event()

    def event(self, mask: int, now: float) -> None:
        """Note an error; a hang-up alone is what a peer leaves behind that has said all."""
        if mask & select.EPOLLERR:
            self.seen.set()

    def step_took(self, seconds: float) -> None:
        """Say nothing: there was no user code."""
