"""A virtual clock that waits for threads.

A mock clock jumps when all tasks wait, also if one of them waits for a thread: to the
next deadline, which then seems to be missed by whoever reads a file, say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

import trio
import trio.testing


class _StandsStill(trio.abc.Instrument):
    """Holds a clock while some thread works for trio.

    A thread begins and ends in the step of some task: after each step we look. What
    others set the clock's threshold to holds whenever no thread works.

    Attributes:
        threshold: what the clock gets back when no thread works any more; ``inf``:
            it has its own.
    """

    def __init__(self, clock: trio.testing.MockClock) -> None:
        self.clock = clock
        self.threshold = inf
        self.limiter = trio.to_thread.current_default_thread_limiter()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        clock = self.clock
        if self.limiter.borrowed_tokens:
            if clock.autojump_threshold != inf:
                self.threshold, clock.autojump_threshold = clock.autojump_threshold, inf
        elif self.threshold != inf:
            if clock.autojump_threshold == inf:
                clock.autojump_threshold = self.threshold
            self.threshold = inf


@contextmanager
def threads_take_no_time() -> Iterator[None]:
    """Have a mock clock stand still while a thread of ``trio.to_thread`` works.

    However long that takes on a busy machine, no virtual time passes. A thread with a
    limiter of its own is not seen. With any other clock, or one that does not jump by
    itself, nothing is different. ``serving`` and ``connected`` do this in their blocks.
    """
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, trio.testing.MockClock) or clock.autojump_threshold == inf:
        yield
        return
    before = clock.autojump_threshold
    instrument = _StandsStill(clock)
    trio.lowlevel.add_instrument(instrument)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(instrument)
        clock.autojump_threshold = before
