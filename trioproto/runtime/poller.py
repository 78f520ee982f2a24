"""One epoll for all sockets of a scope.

Waiting through trio for each socket costs more than the work that an event
leads to. So one task waits, with ``wait_readable`` on the epoll's own
descriptor, and hands each event to its driver at once, in batches.

A batch is one synchronous pass over at most 64 events or 5 ms. It ends with a
checkpoint, so that other tasks are never kept waiting longer by the number of
connections. Events left over when the time is up go first in the next batch;
every connection does one ``recv`` a turn. The order is the kernel's, which
takes level-triggered descriptors in rotation.
"""

from __future__ import annotations

import select
from time import perf_counter
from typing import TYPE_CHECKING

import trio

from trioproto.runtime.flusher import LONGEST_PASS, Flusher

if TYPE_CHECKING:
    from trioproto.runtime.poll_driver import PollDriver

BATCH = 64
"""Events in one pass."""

SUPPORTED = hasattr(select, "epoll")
"""Whether this system has epoll."""


class Poller:
    """The sockets of one scope and their drivers."""

    def __init__(self, flusher: Flusher) -> None:
        self._epoll = select.epoll()
        self._drivers: dict[int, PollDriver] = {}
        self._flusher = flusher

    def register(self, fd: int, driver: PollDriver, events: int) -> None:
        """Watch a descriptor."""
        self._epoll.register(fd, events)
        self._drivers[fd] = driver

    def modify(self, fd: int, events: int) -> None:
        """Watch it for other events."""
        self._epoll.modify(fd, events)

    def unregister(self, fd: int) -> None:
        """Watch it no more; before it is closed."""
        del self._drivers[fd]
        self._epoll.unregister(fd)

    def close(self) -> None:
        """Close the epoll."""
        self._epoll.close()

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Hand out events; for ever."""
        epoll = self._epoll
        fd = epoll.fileno()
        events: list[tuple[int, int]] = []
        while True:
            if not events:
                events = epoll.poll(0, BATCH)
            if events:
                events = self._batch(events)
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(fd)

    def _batch(self, events: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Hand out *events*; return those for which there was no time."""
        drivers = self._drivers
        flusher = self._flusher
        flusher.begin_batch()
        now = trio.current_time()
        ends = perf_counter() + LONGEST_PASS
        done = 0
        for fd, mask in events:
            driver = drivers.get(fd)
            if driver is not None:
                driver.event(mask, now)
            done += 1
            if perf_counter() > ends:
                break
        flusher.end_batch()
        return events[done:]
