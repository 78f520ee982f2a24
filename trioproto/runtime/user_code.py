"""The user's async code in a connection: callbacks one at a time, and tasks.

Callbacks are awaited in the connection's own task; what they write is looked
after when they are done, or when one waits. Tasks run in the connection's
nursery, each in a scope of its own, as they end earlier than a callback does.
"""

from __future__ import annotations

import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import trio

from trioproto.runtime.groups import split_errors
from trioproto.runtime.watchdog import NOTICEABLE
from trioproto.sansio import holds
from trioproto.sansio.connection import Connection

AsyncFn = Callable[..., Awaitable[object]]

_OUTPUT_WAITS = holds.UNSENT | holds.SEND_WAITS
"""Whoever sends knows of the output, and cannot send it yet."""


@trio.lowlevel.disable_ki_protection
def call_user(callback: Callable[..., Any], *args: Any) -> Any:
    """Call user code: a ``KeyboardInterrupt`` may be raised in it, but not around it."""
    return callback(*args)


@trio.lowlevel.disable_ki_protection
async def await_user(waiting: Awaitable[Any]) -> Any:
    """The same for what is awaited."""
    return await waiting


def shielded(seconds: float) -> trio.CancelScope:
    """Open a scope that outer cancellation does not enter, but time does."""
    return trio.CancelScope(deadline=trio.current_time() + seconds, shield=True)


async def close_at_once(resource: trio.abc.AsyncResource, seconds: float) -> None:
    """Close without ceremony, also when cancelled; give up after *seconds*."""
    with shielded(seconds):
        await trio.aclose_forcefully(resource)


@asynccontextmanager
async def closed_if_raised(resource: trio.abc.AsyncResource, seconds: float) -> AsyncIterator[None]:
    """Surround a block that takes *resource* over, and closes it, if it gets that far."""
    try:
        yield
    except BaseException:
        await close_at_once(resource, seconds)
        raise


class UserCode:
    """The part of a driver that runs what the user wrote as ``async def``."""

    __slots__ = (
        "_nursery",
        "_task_scopes",
        "_to_start",
        "connection",
    )

    connection: Connection

    def __init__(self) -> None:
        self._nursery: trio.Nursery | None = None
        self._to_start: list[tuple[AsyncFn, tuple[Any, ...]]] | None = None
        self._task_scopes: set[trio.CancelScope] | None = None

    def changed(self) -> None:
        """Have a turn soon."""
        raise NotImplementedError

    def step_took(self, seconds: float) -> None:
        """Take it that user code has kept everything else waiting."""
        raise NotImplementedError

    # Callbacks

    @types.coroutine
    def _run_callbacks(self, waiting: Coroutine[Any, Any, Any] | None) -> Generator[Any, Any, None]:
        """Await async callbacks, as long as one leads to the next.

        Each is awaited as ``await`` does it, but that what it did is looked
        after only when it waits: most callbacks write last of all, and what
        follows their end sends it, without a turn of the flusher's. The clock is
        looked at once for each stretch without a wait.
        """
        connection = self.connection
        began_at = perf_counter()
        while waiting is not None:
            step: Callable[[Any], Any] = waiting.send
            value: Any = None
            result: Any = None
            returned = False
            connection.tell = False
            while True:
                try:
                    trap = call_user(step, value)
                except StopIteration as stop:
                    result = stop.value
                    returned = True
                    break
                except BaseException as exc:
                    value = None  # it may be what was thrown in: no cycle with our frame
                    self._callback_raised(exc)
                    break
                self._callback_waits()
                took = perf_counter() - began_at
                if took > NOTICEABLE:
                    self.step_took(took)
                try:
                    value = yield trap
                    step = waiting.send
                except BaseException as exc:
                    step, value = waiting.throw, exc
                began_at = perf_counter()
                connection.tell = False
            if returned:
                connection.callback_returned(result)
            waiting = connection.take_pending()
        took = perf_counter() - began_at
        if took > NOTICEABLE:
            self.step_took(took)

    def _callback_waits(self) -> None:
        """Have what a callback has done so far looked after."""
        connection = self.connection
        written = connection.buffered  # of the layers too, such as the end of a handshake
        if written:
            connection.count_output()
            connection.holds |= holds.UNSETTLED  # so that what is counted is not sent uncounted
        held = connection.holds
        if held & holds.CHANGED or (written and not held & _OUTPUT_WAITS):
            self.changed()
        else:
            connection.tell = True

    def _callback_raised(self, exc: BaseException) -> None:
        """Tell the connection of an error; raise again what must go on up."""
        errors, rest = split_errors(exc)
        if errors is not None:
            self.connection.callback_raised(errors)
        if rest is exc and not isinstance(exc, trio.Cancelled | BaseExceptionGroup):
            # KeyboardInterrupt and its like: raised again after the end.
            self.connection.callback_raised(exc)
        elif rest is not None:
            raise rest

    # Tasks

    def start_soon(self, async_fn: AsyncFn, args: tuple[Any, ...]) -> None:
        """Start a task now, or as soon as there is a nursery."""
        if self._nursery is not None:
            self._nursery.start_soon(self._run_task, async_fn, *args)
            return
        if self._to_start is None:
            self._to_start = []
        self._to_start.append((async_fn, args))

    async def _run_task(self, async_fn: AsyncFn, *args: Any) -> None:
        """Run a task of the user's, until it ends or the connection closes."""
        scopes = self._task_scopes
        if scopes is None:
            scopes = self._task_scopes = set()
        with trio.CancelScope() as scope:
            scopes.add(scope)
            if self.connection.closing:
                scope.cancel()
            try:
                await await_user(async_fn(*args))
            except BaseException as exc:
                errors, rest = split_errors(exc)
                if errors is not None:
                    self.connection.task_raised(async_fn, errors)
                if rest is exc:
                    raise
                if rest is not None:
                    raise rest from None
            finally:
                scopes.discard(scope)

    def _cancel_tasks(self) -> None:
        """Cancel all tasks, and those that have not begun."""
        self._to_start = None
        if self._task_scopes:
            for scope in self._task_scopes:
                scope.cancel()

    def _start_tasks(self, nursery: trio.Nursery) -> None:
        """Start the tasks that were asked for before there was a nursery."""
        self._nursery = nursery
        to_start, self._to_start = self._to_start, None
        for async_fn, args in to_start or ():
            nursery.start_soon(self._run_task, async_fn, *args)
