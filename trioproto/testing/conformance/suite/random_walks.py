"""Many things at once, in random order: what must hold, holds.

A walk does at each step one random thing to one of some connections. The bytes
each way are a fixed pattern, so that loss, repetition and reordering show.

The rule: docs/flow-control.md, Output.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from trio.testing import MockClock

from trioproto.runtime.factory import Factory
from trioproto.testing.conformance.peer import Peer, PeerWasReset
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Serving

PATTERN = bytes(index * 7919 % 251 for index in range(1 << 16)) * 100
SIZES = (1, 10, 1000, 70_000, 300_000)


class Walker(Recorder):
    """Writes the next part of the pattern whenever it is told to."""

    def __init__(self, walk: random.Random) -> None:
        super().__init__()
        self.walk = walk
        self.written = 0

    def write(self) -> None:
        size = self.walk.choice(SIZES)
        if not self.transport.closing:
            self.written += size
        self.transport.write(PATTERN[self.written - size : self.written])

    def data_received(self, data: bytes) -> Any:
        super().data_received(data)
        chance = self.walk.random()
        if chance < 0.3:
            self.write()
        elif chance < 0.33:
            self.transport.close()
        elif chance < 0.36:
            self.transport.abort()
        elif chance < 0.4:
            self.transport.pause_reading()

    def eof_received(self) -> Any:
        super().eof_received()
        return self.walk.random() < 0.5


class Pair:
    """One connection, from both ends."""

    def __init__(self, protocol: Walker, peer: Peer) -> None:
        self.protocol = protocol
        self.peer = peer
        self.sent = 0
        self.gone = False
        self.ended = False
        self.cut = False
        self.heard = bytearray()

    async def step(self, walk: random.Random) -> None:
        """Do one thing."""
        transport = self.protocol.transport
        actions = {
            "send": 6,
            "read": 6,
            "write": 4,
            "resume": 4,
            "pause": 1,
            "eof": 0.3,
            "reset": 0.1,
            "close": 0.2,
            "abort": 0.1,
            "write_eof": 0.1,
            "time": 0.5,
        }
        (action,) = walk.choices(list(actions), list(actions.values()))
        if action == "write":
            self.protocol.write()
        elif action == "resume":
            transport.resume_reading()
        elif action == "pause":
            transport.pause_reading()
        elif action == "write_eof" and not transport.can_write_eof:
            pass
        elif action in ("close", "abort", "write_eof"):
            if action == "write_eof" and not transport.closing:
                transport.close()
            getattr(transport, action)()
        elif action == "time":
            await self.peer.pass_time(walk.choice([0.1, 1, 3, 20]))
        elif not self.gone:
            await self.peer_step(action, walk)

    async def peer_step(self, action: str, walk: random.Random) -> None:
        if action == "send" and not self.ended:
            size = walk.choice(SIZES[:3])
            try:
                await self.peer.send(PATTERN[self.sent : self.sent + size])
            except Exception as error:
                if self.protocol.lost or self.protocol.transport.closing:
                    self.gone = True  # whom it writes to is no more
                    return
                raise AssertionError(self.protocol.heard) from error
            self.sent += size
        elif action == "eof" and not self.ended:
            self.ended = True
            try:
                await self.peer.send_eof()
            except OSError:
                self.gone = True
        elif action == "reset":
            self.gone = self.cut = True
            await self.peer.reset()
        elif action == "read":
            self.heard += await self.peer.received_so_far()

    async def finish(self) -> None:
        """Let it end cleanly, and hold both ways to the pattern."""
        self.protocol.transport.close()
        whole = False
        if not self.gone:
            try:
                while more := await self.peer.receive_some():
                    self.heard += more
                whole = True
            except PeerWasReset:
                pass
            await self.peer.aclose()
        await self.peer.pass_time(100)
        assert self.protocol.lost
        assert self.protocol.received == PATTERN[: len(self.protocol.received)]
        assert len(self.protocol.received) <= self.sent
        if "eof_received" in self.protocol.heard and not self.cut:
            assert len(self.protocol.received) == self.sent
        assert self.heard == PATTERN[: len(self.heard)]
        if whole:
            assert len(self.heard) == self.protocol.written
        self.protocol.check()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("small_buffers", [False, True])
async def test_whatever_happens_nothing_is_lost_repeated_or_reordered(
    serving: Serving, autojump_clock: MockClock, seed: int, small_buffers: bool
) -> None:
    walk = random.Random(seed)
    protocols: list[Walker] = []

    def build() -> Walker:
        protocols.append(Walker(walk))
        return protocols[-1]

    factory: Factory[Any] = Factory(build, max_buffered=1 << 30, idle_timeout=30, read_size=5000)
    async with serving(factory, small_buffers=small_buffers) as service:
        pairs = []
        for _ in range(5):
            peer = await service.connect()
            pairs.append(Pair(protocols[-1], peer))
        for _ in range(150):
            await walk.choice(pairs).step(walk)
        for pair in pairs:
            await pair.finish()
        assert len(factory.connections) == 0
