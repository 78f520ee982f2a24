"""A service of harnesses, and their peers: all is done in the call that leads to it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing

from trioproto import Factory
from trioproto.errors import CallbackError
from trioproto.testing import Harness
from trioproto.testing.conformance import SMALL, Feature, Peer, PeerWasReset, Service

STEP = 0.01  # seconds that pass at once in harnesses that share a rate


class HarnessService(Service):
    name = "harness"
    features = frozenset(
        {
            Feature.HALF_CLOSE,
            Feature.RATES,
            Feature.DRAINS,
            Feature.SEES_RESETS,
            Feature.SENDS_AT_ONCE,
            Feature.EXACT_WINDOW,
            Feature.ERROR_NUMBERS,
        }
    )

    def __init__(self, factory: Factory[Any], *, small_buffers: bool, half_close: bool) -> None:
        super().__init__(factory, small_buffers=small_buffers, half_close=half_close)
        self.harnesses: list[HarnessPeer] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        yield

    async def new_peer(self) -> Peer:
        window = SMALL if self.small_buffers else None
        errors = self.factory.settings.callback_errors
        harness = Harness(self.factory, window=window, callback_errors=errors)
        peer = HarnessPeer(self, harness, window)
        try:
            self.do(harness.connect)
            _ = harness.transport
        except (ConnectionRefusedError, CallbackError, RuntimeError):
            return RefusedPeer()  # nothing was built, so nothing connected
        self.harnesses.append(peer)
        return peer

    def do(self, call: Callable[[], object]) -> None:
        try:
            call()
        except (ConnectionRefusedError, CallbackError):
            raise
        except BaseException as error:
            self.failures.append(error)

    async def settle(self) -> None:
        await trio.lowlevel.checkpoint()
        for peer in self.harnesses:
            peer.pump()

    async def pass_time(self, seconds: float) -> None:
        # Where there are rates the harnesses' clocks have to keep step.
        throttled = any(peer.harness.transport.throttle is not None for peer in self.harnesses)
        steps = max(1, round(seconds / STEP)) if throttled else 1
        for _ in range(steps):
            for peer in self.harnesses:
                self.do(lambda peer=peer: peer.harness.advance(seconds / steps))  # type: ignore[misc]
            await self.settle()

    def cancel(self) -> None:
        for peer in self.harnesses:
            self.do(peer.harness.cancel)

    async def start_drain(self, grace: float | None = None, force: float | None = None) -> None:
        for peer in self.harnesses:
            self.do(peer.harness.drain)

    async def wait_ended(self) -> None:
        await trio.lowlevel.checkpoint()


class HarnessPeer(Peer):
    def __init__(self, service: HarnessService, harness: Harness[Any], window: int | None) -> None:
        self.owner = service
        self.harness = harness
        self.window = window
        self.queued: deque[bytes | None] = deque()

    def pump(self) -> None:
        """Hand over what was sent, as far as the connection reads."""
        if not self.harness.lost:
            self.owner.do(lambda: self.harness.advance(0))
        while self.queued and not self.harness.lost:
            if self.queued[0] is None:
                self.owner.do(self.harness.feed_eof)
                self.queued.popleft()
            elif self.harness.reading:
                data = self._next_chunk()
                self.owner.do(lambda data=data: self.harness.feed(data))  # type: ignore[misc]
            else:
                return

    def _next_chunk(self) -> bytes:
        """As much as a driver would read, of what was sent at once."""
        data = self.queued.popleft()
        assert data is not None
        size = self.harness._open.receive_size_ahead(self.harness.time())
        if len(data) > size:
            self.queued.appendleft(data[size:])
        return data[:size]

    async def send(self, data: bytes) -> None:
        size = self.owner.factory.settings.read_size
        self.queued.extend(data[start : start + size] for start in range(0, len(data), size))
        self.pump()

    async def send_eof(self) -> None:
        self.queued.append(None)
        self.pump()

    async def reset(self) -> None:
        self.owner.do(self.harness.reset)

    async def aclose(self) -> None:
        if not self.harness.lost:
            self.queued.clear()
            self.owner.do(self.harness.feed_eof)
        if not self.harness.lost:
            self.owner.do(self.harness.reset)

    async def receive_some(self) -> bytes:
        await self.owner.settle()
        taken = self._take_freely()
        if not taken and self.harness.lost and not self.harness.write_closed:
            raise PeerWasReset
        assert taken or self.harness.write_closed, "nothing will ever come"
        return taken

    def _take_freely(self) -> bytes:
        taken = self.harness.take()
        if self.window is not None and not self.harness.lost:
            self.owner.do(lambda: setattr(self.harness, "window", None))
            taken += self.harness.take()
            self.owner.do(lambda: setattr(self.harness, "window", self.window))
        return taken

    def take(self) -> bytes:
        return self._take_freely()

    def allow(self, count: int) -> None:
        self.window = None  # what has come is taken as it is, and makes no room
        self.owner.do(lambda: setattr(self.harness, "window", count))


class RefusedPeer(Peer):
    """Whom the harness refused: it has no connection to see that by."""

    async def send(self, data: bytes) -> None: ...

    async def send_eof(self) -> None: ...

    async def reset(self) -> None: ...

    async def aclose(self) -> None: ...

    async def receive_some(self) -> bytes:
        raise PeerWasReset

    def take(self) -> bytes:
        return b""
