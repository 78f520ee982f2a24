"""One server whose numbers are known."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing

from trioproto import Factory, Protocol


class Echo(Protocol):
    def data_received(self, data: bytes) -> None:
        self.transport.write(2 * data)


@asynccontextmanager
async def talking(factory: Factory[Any], message: bytes = b"12345") -> AsyncIterator[None]:
    """Have one connection open for the block that has been sent *message*, and answered."""
    ours, theirs = trio.testing.memory_stream_pair()
    async with factory, trio.open_nursery() as nursery:
        nursery.start_soon(factory.handle, ours)
        await theirs.send_all(message)
        await trio.testing.wait_all_tasks_blocked()
        yield
        await theirs.aclose()
