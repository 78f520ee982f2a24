"""How long something may take, when no time is a time too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TypeVarTuple

import trio
from trio.testing import wait_all_tasks_blocked

Ts = TypeVarTuple("Ts")

_PATIENCE = 5.0
"""Seconds that a program is given to become quiet."""


async def within(seconds: float, async_fn: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> bool:
    """Give a function so much time, and cancel it then; say whether it has returned.

    No time at all is enough for what needs none: see :func:`until_quiet`.
    """
    if seconds <= 0:
        return await until_quiet(async_fn, *args)
    with trio.move_on_after(seconds) as scope:
        await async_fn(*args)
    return not scope.cancelled_caught


async def until_quiet(async_fn: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> bool:
    """Run a function until all tasks wait, then cancel it; say whether it has returned.

    Time would pass only then, and a mock clock jump. A function that is cancelled
    as it begins would not even take what is there, and may leave a TLS handshake
    in its middle.
    """
    returned = False
    error: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when_quiet, nursery.cancel_scope)
        try:
            await async_fn(*args)
            returned = True
        except Exception as exc:
            error = exc  # so that it comes without a group around it
        nursery.cancel_scope.cancel()
    if error is not None:
        raise error
    return returned


async def _cancel_when_quiet(scope: trio.CancelScope) -> None:
    patience = _Patience(scope)
    trio.lowlevel.add_instrument(patience)
    try:
        await wait_all_tasks_blocked()
    finally:
        trio.lowlevel.remove_instrument(patience)
    scope.cancel()


class _Patience(trio.abc.Instrument):
    """Cancels when the program was busy for too long, by a clock that goes on while it is."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self._scope = scope
        self._ends_at = perf_counter() + _PATIENCE

    def after_io_wait(self, timeout: float) -> None:
        """Look at the time; who is not busy does not come here."""
        if perf_counter() > self._ends_at:
            self._scope.cancel()
