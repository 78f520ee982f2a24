"""Code that waits and notes how it ends, and each way to end its connection."""

from __future__ import annotations

from typing import Any

import trio

from trioproto.sansio.errors import (
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    IdleTimeout,
    ServerCancelled,
    ServerDraining,
)
from trioproto.testing.conformance.features import Feature
from trioproto.testing.conformance.peer import Peer
from trioproto.testing.conformance.recorder import Recorder

REASONS: dict[str, type[ConnectionClosed]] = {
    "eof": ConnectionDone,
    "close": ConnectionDone,
    "reset": ConnectionLost,
    "abort": ConnectionAborted,
    "timeout": IdleTimeout,
    "drain": ServerDraining,
    "cancel": ServerCancelled,
}


ENDINGS = {end: {Feature.SERVER} if end == "drain" else set() for end in REASONS}


class Works(Recorder):
    """Notes how the code that it runs comes to its end."""

    def __init__(self, **acts: Any) -> None:
        super().__init__(**acts)
        self.log: list[str] = []
        self.release = trio.Event()

    async def work(self) -> None:
        """Wait to be released."""
        self.log.append("begun")
        try:
            await self.release.wait()
            self.log.append("finished")
        except trio.Cancelled:
            self.log.append("cancelled")
            raise

    def connection_lost(self, reason: ConnectionClosed) -> Any:
        self.log.append("lost")
        return super().connection_lost(reason)


class WorksInCallback(Works):
    """Works in an async ``data_received``."""

    async def data_received(self, data: bytes) -> None:
        super().data_received(data)
        await self.work()


class WorksInTask(Works):
    """Works in a task that ``data_received`` starts."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.start_soon(self.work)


class WorksAtTheEnd(Works):
    """Works in an async ``connection_lost``."""

    async def connection_lost(self, reason: ConnectionClosed) -> None:
        super().connection_lost(reason)
        await self.work()


async def end(ending: str, peer: Peer, protocol: Works) -> None:
    """End an open connection that has nothing to do."""
    if ending == "eof":
        await peer.send_eof()
    elif ending == "reset":
        await peer.reset()
    elif ending == "timeout":
        protocol.transport.set_timeout(5)
        await peer.pass_time(6)
    elif ending == "drain":
        await peer.service.start_drain(grace=3, force=3)
    elif ending == "cancel":
        peer.service.cancel()
    else:
        getattr(protocol.transport, ending)()
    await peer.settle()


async def end_wholly(ending: str, peer: Peer, protocol: Works) -> None:
    """The same, and end the peer's side where that is lingered for."""
    await end(ending, peer, protocol)
    if ending in ("close", "timeout", "drain"):
        await peer.leave()
