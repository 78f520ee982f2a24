"""Sending files: in their place among other output, and one at a time."""

from __future__ import annotations

import os
from os import PathLike
from typing import Any

import trio

from trioproto.runtime.waiting import Waiting
from trioproto.sansio import holds
from trioproto.sansio.books import AHEAD
from trioproto.sansio.lifecycle import State


class Files(Waiting):
    """The part of a driver that sends files."""

    __slots__ = ("_file_lock",)

    def __init__(self) -> None:
        super().__init__()
        self._file_lock: trio.Lock | None = None

    async def send_file(self, path: str | PathLike[str], offset: int, count: int | None) -> int:
        """Send a file in its place among other output."""
        connection = self.connection
        if connection.closing or not connection.may_write:
            await trio.lowlevel.checkpoint()
            if connection.closing:
                raise connection.end_as_error()
            return 0
        if self._file_lock is None:
            self._file_lock = trio.Lock()
        try:
            self._file_lock.acquire_nowait()
        except trio.WouldBlock:
            await self._file_lock.acquire()
        # Up to here nothing was awaited, unless another file is on its way.
        try:
            connection.begin_file()
            try:
                async with await trio.open_file(path, "rb") as file:
                    await self._wait_until(connection.file_is_next)
                    layered = connection.holds & holds.LAYERED
                    copy = self._encode_file if layered else self._copy_file
                    sent = await copy(file.wrapped, offset, count)
            finally:
                connection.end_file()
        finally:
            self._file_lock.release()
        if connection.state >= State.ENDED:
            raise connection.end_as_error()
        return sent

    async def _copy_file(self, file: Any, offset: int, count: int | None) -> int:
        """Send a part of an open file; stop early if the connection ends."""
        raise NotImplementedError

    async def _wait_to_send(self, most: int) -> int:
        """Wait until the throttle lets some of *most* bytes go; return how many, 0 at the end."""
        connection = self.connection
        while connection.state < State.ENDED:
            size = connection.send_size(most, trio.current_time())
            if size:
                return size
            connection.output_tried(0, trio.current_time())
            connection.note_change()
            await self._wait_until(lambda: not connection.holds & holds.SEND_WAITS)
        return 0

    async def _encode_file(self, file: Any, offset: int, count: int | None) -> int:
        """The same through layers: read in a thread, and let the driver send as it does."""
        connection = self.connection
        total = 0
        while count is None or total < count:
            size = AHEAD if count is None else min(AHEAD, count - total)
            data = await trio.to_thread.run_sync(os.pread, file.fileno(), size, offset + total)
            if not data or connection.state >= State.ENDED:
                break
            connection.encode_part(data)
            connection.note_change()
            total += len(data)
            await self._wait_until(lambda: connection.wire.size < AHEAD)
        return total
