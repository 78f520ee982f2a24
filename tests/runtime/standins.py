"""Drivers of no connection: they only count how they are called.

They are real drivers, of the class that the shared tasks expect, without the
parts that those do not use.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Self

import trio

from trioproto.runtime.driver import BaseDriver
from trioproto.runtime.poll_driver import PollDriver


def work(seconds: float) -> None:
    """Keep the thread busy, as a callback does that computes."""
    ends = perf_counter() + seconds
    while perf_counter() < ends:
        pass


class Standin(BaseDriver):
    """Notes the turns and deadlines that it is given."""

    __slots__ = ("act", "busy_for", "fired", "name", "turns")

    def __init__(self, name: str = "", act: Callable[[Standin], object] | None = None) -> None:
        self.name = name
        self.act = act
        self.deadline_entry = None
        self.marked = False
        self.fired: list[float] = []
        self.turns = 0
        self.busy_for = 0

    def __repr__(self) -> str:
        return self.name

    def _acts(self) -> None:
        if self.act is not None:
            self.act(self)

    def deadline_passed(self, now: float) -> None:
        self.fired.append(now)
        self._acts()

    def take_turn(self) -> None:
        self.turns += 1
        self._acts()

    def still_writing(self) -> bool:
        self.busy_for -= 1
        return self.busy_for >= 0

    def step_took(self, seconds: float) -> None:
        pass


class PollStandin(PollDriver):
    """Notes the events that it is given."""

    __slots__ = ("act", "events")

    def __init__(self, act: Callable[[PollStandin], object] | None = None) -> None:
        self.act = act
        self.events: list[int] = []

    def event(self, mask: int, now: float) -> None:
        self.events.append(mask)
        if self.act is not None:
            self.act(self)

    def step_took(self, seconds: float) -> None:
        pass


class Steps(trio.abc.Instrument):
    """Counts the steps that each task takes while it is installed."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.watcher = trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is not self.watcher:
            self.taken.append(task.name)

    def __enter__(self) -> Self:
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *_: object) -> None:
        trio.lowlevel.remove_instrument(self)
