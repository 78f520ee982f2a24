"""Telling of callbacks that keep everything else waiting.

While user code runs, nothing else of the program does: no other connection, no
deadline, no signal. What took long is told when it is over. For what the poller and
the flusher hand out this costs nothing, as they look at the clock anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trioproto.factory import Factory
    from trioproto.runtime.driver import BaseDriver

NOTICEABLE = 0.005
"""Seconds below which nobody need ask the watchdog."""


class Watchdog:
    """Tells of the slow callbacks of one factory.

    Args:
        factory: whose setting ``slow_callback`` says what is slow.
    """

    def __init__(self, factory: Factory[Any]) -> None:
        self._factory = factory

    def look(self, driver: BaseDriver, seconds: float) -> None:
        """Tell of a step of *driver*'s connection, if it took too long."""
        limit = self._factory.settings.slow_callback
        if limit is not None and seconds > limit and driver.begun:
            connection = driver.connection
            self._factory.callback_slow(connection.protocol, connection.peer, seconds)

    def watch(self, driver: BaseDriver, step: Callable[..., object], *args: Any) -> None:
        """Take a step in which callbacks are made, and tell if it took too long."""
        began_at = perf_counter()
        step(*args)
        self.look(driver, perf_counter() - began_at)
