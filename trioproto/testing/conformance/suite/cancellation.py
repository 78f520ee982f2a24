"""Cancelled at every await, a service leaves nothing behind.

The rule: docs/endings.md, How code ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import ConnectionClosed
from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.features import Feature, lacks
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Serving
from trioproto.testing.leaks import open_descriptors

NEEDS = {Feature.ASYNC_CODE}

PASSES = range(40)


class Busy(Recorder):
    """Something of everything: async callbacks, tasks, streaming, cleaning up."""

    async def connection_made(self) -> None:
        super().connection_made()
        self.transport.start_soon(self.tick)
        await trio.lowlevel.checkpoint()
        self.transport.write(b"hello")

    async def tick(self) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            self.transport.write(b".")

    async def data_received(self, data: bytes) -> None:
        super().data_received(data)
        for _ in range(4):
            await self.transport.send(bytes(MORE_THAN_FITS // 4))
        self.transport.close()

    async def connection_lost(self, reason: ConnectionClosed) -> None:
        super().connection_lost(reason)
        await trio.lowlevel.checkpoint()
        self.heard.append("cleaned up")


class Counts(Factory[Recorder]):
    """A factory that keeps what it built and how often its scope was entered."""

    max_connections = 2

    def __init__(self) -> None:
        super().__init__()
        self.built: list[Busy] = []
        self.entered = 0
        self.left = 0

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        await trio.lowlevel.checkpoint()
        self.entered += 1
        try:
            yield
        finally:
            assert all(protocol.heard[-1:] in ([], ["cleaned up"]) for protocol in self.built)
            self.left += 1

    def build_protocol(self, peer: object) -> Recorder:
        self.built.append(Busy())
        return self.built[-1]


@lacks(Feature.ENCRYPTS)  # with TLS who gets no slot cannot even shake hands
@pytest.mark.parametrize("small_buffers", [False, True])
async def test_a_service_cancelled_after_any_number_of_steps_leaves_nothing_behind(
    serving: Serving, autojump_clock: MockClock, small_buffers: bool
) -> None:
    factory = Counts()
    before = open_descriptors()
    for passes in PASSES:
        factory.built.clear()
        async with serving(factory, small_buffers=small_buffers) as service:
            for _ in range(3):  # one more than there is room for
                peer = await service.open_peer()
                await peer.send(b"go")
            for _ in range(passes):
                await trio.lowlevel.checkpoint()
            service.cancel()
            await service.wait_ended()
        assert service.failures == []
        assert len(factory.connections) == 0
        assert factory.entered == factory.left
        for protocol in factory.built:
            if protocol.heard:
                assert protocol.heard[0] == "connection_made"
                assert protocol.heard[-2:] == ["connection_lost", "cleaned up"]
                assert protocol.heard.count("connection_lost") == 1
    assert open_descriptors() == before


async def test_after_a_cancellation_every_slot_is_free_again(serving: Serving) -> None:
    echo = Recorder

    class Few(Factory[Protocol]):
        max_connections = 2

    factory = Few(echo)
    for _ in range(3):
        async with serving(factory) as service:
            for _ in range(2):
                peer = await service.connect()
                await peer.send(b"x")
            assert len(factory.connections) == 2
            service.cancel()


async def test_a_connection_cancelled_in_each_step_of_a_callback_ends_once(
    serving: Serving,
) -> None:
    for passes in range(8):
        steps: list[int] = []

        async def step(self: Recorder, steps: list[int] = steps) -> None:
            for number in range(8):
                steps.append(number)
                await trio.lowlevel.checkpoint()

        protocol = Recorder(data_received=step)
        async with serving(protocol) as service:
            peer = await service.connect()
            await peer.send(b"go")
            while len(steps) < passes:
                await trio.lowlevel.checkpoint()
            service.cancel()
            await service.wait_ended()
            assert len(steps) in (passes, passes + 1)
            assert protocol.heard.count("connection_lost") == 1
