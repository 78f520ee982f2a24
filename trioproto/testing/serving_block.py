"""The block in which a factory is served, and what comes out of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from math import inf
from types import TracebackType
from typing import Any, TypeVar

import trio

from trioproto.runtime.factory import Factory
from trioproto.runtime.server import open_server
from trioproto.sansio.settings import Settings
from trioproto.testing.block_errors import mark, raise_as_it_was, sort_out
from trioproto.testing.leaks import LeftOverError, StartedTasks, held_by
from trioproto.testing.server_handles import ServerHandle
from trioproto.testing.threads import threads_take_no_time

_TIME_FOR_LIFESPAN = 60.0
"""Seconds for the factory's lifespan to end in, after the longest drain: else it never does."""

H = TypeVar("H", bound=ServerHandle[Any, Any])


class ServingBlock(AbstractAsyncContextManager[H]):
    """Serves during a block, and makes of what comes out what a test wants to see."""

    def __init__(self, given: H, settings: dict[str, Any]) -> None:
        self.given = given
        self._block = _open(given, {"callback_errors": "raise", **settings})

    async def __aenter__(self) -> H:
        __tracebackhide__ = True
        self._tasks = StartedTasks()
        try:
            with self._tasks:
                await self._block.__aenter__()
        except BaseException as raised:
            error = sort_out(raised, None)
            mark(error)
            raise_as_it_was(error)
        self._admission = self.given.server._scope.admission
        return self.given

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        body: BaseException | None,
        entry: TracebackType | None,
    ) -> bool | None:
        __tracebackhide__ = True
        try:
            await self._block.__aexit__(kind, body, entry)
            if body is None:
                self._check_nothing_left()
        except BaseException as raised:
            if body is not None:
                body.__traceback__ = entry
            error: BaseException | None = sort_out(raised, body)
        else:
            error = body
        if error is None:
            return None
        mark(error)
        if error is body:
            return None
        raise_as_it_was(error)

    def _check_nothing_left(self) -> None:
        """Raise if anything is left of what was served."""
        __tracebackhide__ = True
        factory = self.given.factory
        left: dict[str, object] = dict(held_by(factory, self._admission))
        left["tasks"] = self._tasks.left()
        left = {name: each for name, each in left.items() if each}
        if left:
            raise LeftOverError(left, "when serving ended")


@asynccontextmanager
async def _open(given: ServerHandle[Any, Any], settings: dict[str, Any]) -> AsyncIterator[None]:
    """Serve, and close the clients' ends: before the drain, or after a sudden end."""
    __tracebackhide__ = True
    seconds = inf
    try:
        with (
            _settings_of(given.factory, settings),
            threads_take_no_time(),
            trio.CancelScope() as patience,
        ):
            async with open_server(given.factory, *given.endpoints()) as given.server:
                yield
                await given.close_streams()
                seconds = _longest_drain(given.factory.settings) + _TIME_FOR_LIFESPAN
                patience.deadline = trio.current_time() + seconds
    finally:
        await given.drop_streams()
    if patience.cancelled_caught:
        lifespan = f"{type(given.factory).__qualname__}.lifespan"
        raise LeftOverError({"tasks": [lifespan]}, f"{seconds:g} s after the drain began")


def _longest_drain(settings: Settings) -> float:
    """Return the seconds after which no connection is left, nor its async ``connection_lost``."""
    return settings.drain_grace + settings.drain_force + settings.cleanup_timeout


@contextmanager
def _settings_of(factory: Factory[Any], changes: dict[str, Any]) -> Iterator[None]:
    """Have a factory's settings changed for a time."""
    own = factory.settings
    factory.configure(**changes)
    try:
        yield
    finally:
        factory.settings = own
