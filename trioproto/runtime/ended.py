"""The driver of a connection that has ended.

It takes the place of the real one, so that a transport which somebody keeps
holds on to an address and a reason, to its factory, to what a traffic log has kept, and to
nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from os import PathLike
from typing import Any, NoReturn

import trio

from trioproto.sansio.errors import ConnectionClosed, NotSupported


class EndedDriver:
    """Answers what can still be asked after the end.

    Args:
        reason: why the connection ended.
        can_write_eof: what the real driver could.
    """

    __slots__ = ("_reason", "can_write_eof")

    server_side = True
    time = staticmethod(trio.current_time)

    def __init__(self, reason: ConnectionClosed, *, can_write_eof: bool) -> None:
        self._reason = reason
        self.can_write_eof = can_write_eof

    def invoke(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Call user code; nothing does any more."""
        return callback(*args)

    def opened(self) -> None:
        """Count nothing."""

    def exempt(self) -> None:
        """Count nothing."""

    def changed(self) -> None:
        """Take no turn."""

    def offer(self, *, one_turn: bool = False) -> None:
        """Send nothing."""

    def read_more(self) -> bytes:
        """Return nothing."""
        return b""

    def start_soon(self, async_fn: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
        """Start nothing."""

    def getsockopt(self, level: int, option: int, buffersize: int = 0) -> NoReturn:
        """Refuse: there is no socket any more."""
        raise NotSupported("the connection has ended")

    def setsockopt(self, level: int, option: int, value: int | bytes) -> NoReturn:
        """Refuse: there is no socket any more."""
        raise NotSupported("the connection has ended")

    async def wait_writable(self) -> None:
        """Raise the reason."""
        await trio.lowlevel.checkpoint()
        raise self._reason.with_traceback(None)

    async def wait_closed(self) -> None:
        """Return: it has."""
        await trio.lowlevel.checkpoint()

    async def wait_draining(self) -> None:
        """Return: the connection has ended."""
        await trio.lowlevel.checkpoint()

    async def send_file(self, path: str | PathLike[str], offset: int, count: int | None) -> int:
        """Raise the reason."""
        await trio.lowlevel.checkpoint()
        raise self._reason.with_traceback(None)
