"""Turns for connections that were changed from outside.

A write to another connection, or from a task, only marks that connection. The
marked ones get one turn each, together: at the end of the poller's batch, or
else by one task of the scope. So a broadcast of ten lines costs each recipient
one send, and nothing is called back in the middle of somebody else's callback.

An async callback that writes and is about to write more, line after line, would
be given a turn at every tick. Its connection waits until it has written nothing
for a tick, so that a run of answers is one send.

One round a tick: what becomes marked in a round waits for the next, or two
connections that answer each other would never end.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from trioproto.runtime.driver import BaseDriver

LONGEST_PASS = 0.005
"""Seconds without a checkpoint, after which the rest of a round waits a tick."""


class Flusher:
    """The connections of one scope that want a turn."""

    def __init__(self) -> None:
        self._marked: list[BaseDriver] = []
        self._busy: list[BaseDriver] = []
        self._task: trio.lowlevel.Task | None = None
        self._in_batch = False

    def mark(self, driver: BaseDriver) -> None:
        """Give *driver* a turn soon."""
        self._marked.append(driver)
        if not self._in_batch:
            self._wake()

    def mark_busy(self, driver: BaseDriver) -> None:
        """Give *driver* a turn when its running callback pauses in its writing."""
        self._busy.append(driver)
        self._wake()

    def give_all_turns(self) -> None:
        """Give turns until nothing is marked, when there is no task to do so any more."""
        self._marked += self._busy
        self._busy = []
        while self._marked:
            self.give_turns()

    def begin_batch(self) -> None:
        """The poller begins a batch, and will end it without waiting."""
        self._in_batch = True

    def end_batch(self) -> None:
        """Give one round of turns at the end of a batch."""
        self._in_batch = False
        if self._marked:
            self.give_turns()

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Give rounds of turns whenever something is marked; for ever."""
        while True:
            if self._marked or self._busy:
                self._look_at_busy()
                self.give_turns()
                await trio.lowlevel.checkpoint()
            else:
                self._task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._aborted)

    def _look_at_busy(self) -> None:
        """Mark those whose callbacks have paused in their writing."""
        busy, self._busy = self._busy, []
        for driver in busy:
            (self._busy if driver.still_writing() else self._marked).append(driver)

    def give_turns(self) -> None:
        """Give one turn to each that is marked now."""
        marked, self._marked = self._marked, []
        ends = perf_counter() + LONGEST_PASS
        done = 0
        before = ends - LONGEST_PASS
        for driver in marked:
            driver.take_turn()
            done += 1
            after = perf_counter()
            if after > ends:
                driver.step_took(after - before)
                break
            before = after
        if done < len(marked):
            self._marked = marked[done:] + self._marked
        if self._marked:
            self._wake()

    def _wake(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _aborted(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED
