"""Whose context and task a callback has.

The rule: docs/callbacks.md, Sync and async.
"""

from __future__ import annotations

import contextvars
from typing import Any

import trio
import trio.testing

from trioproto.sansio.errors import ConnectionClosed
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Connecting, Serving, in_turn

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Remembers(Recorder):
    """Sets a context variable at the start, and notes it in each later callback."""

    def __init__(self, value: str, **acts: Any) -> None:
        super().__init__(**acts)
        self.value = value
        self.seen: list[str] = []

    def connection_made(self) -> None:
        super().connection_made()
        variable.set(self.value)

    def data_received(self, data: bytes) -> Any:
        self.seen.append(variable.get())
        return super().data_received(data)

    def eof_received(self) -> Any:
        self.seen.append(variable.get())
        return super().eof_received()

    def connection_lost(self, reason: ConnectionClosed) -> Any:
        self.seen.append(variable.get())
        return super().connection_lost(reason)


@needs(Feature.ASYNC_CODE)
async def test_context_variables_are_the_connections(serving: Serving) -> None:
    protocols = [Remembers("first"), Remembers("second")]
    async with serving(in_turn(protocols)) as service:
        peers = [await service.connect() for _ in protocols]
        for peer in peers:
            await peer.say(b"x")
        for peer in peers:
            await peer.send_eof()
        await service.settle()
    assert protocols[0].seen == ["first"] * 3
    assert protocols[1].seen == ["second"] * 3
    assert variable.get() == "unset"


@needs(Feature.ASYNC_CODE)
async def test_context_variables_are_the_same_in_async_callbacks_and_tasks(
    connect: Connecting,
) -> None:
    seen: list[str] = []

    async def note(self: Recorder) -> None:
        await trio.lowlevel.checkpoint()
        seen.append(variable.get())

    async def begin(self: Recorder) -> None:
        self.transport.start_soon(note, self)
        await note(self)

    async with connect(Remembers("mine", data_received=begin)) as peer:
        await peer.say(b"go")
    assert seen == ["mine", "mine"]


@needs(Feature.ASYNC_CODE)
async def test_what_belongs_to_a_task_works_in_an_async_callback(connect: Connecting) -> None:
    lock = trio.Lock()
    limiter = trio.CapacityLimiter(1)

    async def locked(self: Recorder) -> None:
        async with lock, limiter:
            with trio.move_on_after(1000):
                await trio.lowlevel.checkpoint()
            self.transport.write(b"done")

    async with connect(Recorder(data_received=locked)) as peer:
        for _ in range(2):
            await peer.send(b"go")
            assert await peer.receive_exactly(4) == b"done"
