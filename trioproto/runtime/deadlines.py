"""One task that keeps the deadlines of many connections.

A heap holds at most one live entry for each connection. Data that arrives only
moves a timestamp in the connection; when an entry's time has come, the deadline
is asked for again, and the entry goes back or is acted upon. A cancel scope for
each connection would cost more, cannot be re-armed once it has fired, and would
cancel whatever callback happens to run.

Entries that an earlier deadline has replaced stay in the heap until their time
comes, or until they are the larger part of it.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from trioproto.runtime.driver import BaseDriver


class Entry:
    """A time at which to look at a connection.

    Attributes:
        when: in trio's time.
        driver: whose; ``None`` once the entry is dead.
    """

    __slots__ = ("driver", "number", "when")

    def __init__(self, when: float, number: int, driver: BaseDriver) -> None:
        self.when = when
        self.number = number
        self.driver: BaseDriver | None = driver

    def __lt__(self, other: Entry) -> bool:
        return (self.when, self.number) < (other.when, other.number)


class Deadlines:
    """The deadlines of one scope's connections."""

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._dead = 0
        self._numbers = count()
        self._sleep = trio.CancelScope()

    def arm(self, driver: BaseDriver, when: float) -> None:
        """Look at *driver* at *when*, unless it is looked at earlier anyway."""
        entry = driver.deadline_entry
        if when == inf or (entry is not None and entry.when <= when):
            return
        self.disarm(driver)
        entry = driver.deadline_entry = Entry(when, next(self._numbers), driver)
        heappush(self._heap, entry)
        if entry is self._heap[0]:
            self._sleep.deadline = when

    def disarm(self, driver: BaseDriver) -> None:
        """Forget *driver*'s entry."""
        if driver.deadline_entry is not None:
            driver.deadline_entry.driver = None
            driver.deadline_entry = None
            self._dead += 1
            if self._dead > 64 and self._dead > len(self._heap) // 2:
                self._heap = [entry for entry in self._heap if entry.driver is not None]
                heapify(self._heap)
                self._dead = 0

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Sleep until the next deadline, and act; for ever."""
        while True:
            self._fire(trio.current_time())
            self._sleep = trio.CancelScope()
            with self._sleep:
                self._sleep.deadline = self._heap[0].when if self._heap else inf
                await trio.sleep_forever()

    def _fire(self, now: float) -> None:
        while self._heap and self._heap[0].when <= now:
            driver = heappop(self._heap).driver
            if driver is None:
                self._dead -= 1
            else:
                driver.deadline_entry = None
                driver.deadline_passed(now)
