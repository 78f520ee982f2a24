"""TLS clients over the raw peers of the behaviour suite: what it needs of a driver.

The peers of its own ``tls`` drivers have shaken hands before a test sees them.
Here a test has every byte of the handshake in its hands.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from typing import Any

import trio

from tests.behaviour import drivers
from tests.behaviour.drivers import (
    ListenerService,
    LoopService,
    MemoryService,
    PollService,
    Service,
    StreamService,
)
from tests.behaviour.tls_peers import server_context
from tests.tls.client_side import Client
from trioproto import Factory, UnknownAddress
from trioproto.endpoints import Bound, ServerEndpoint
from trioproto.layers.opening import Opening
from trioproto.layers.tls import TLSLayer
from trioproto.testing import MemoryListener
from trioproto.testing.conformance.peer import Peer, PeerWasReset
from trioproto.testing.conformance.recorder import Recorder

OVER_TLS = ("tls", "tls_memory", "tls_listener", "tls_stream")
SERVED_OVER_TLS = ("tls", "tls_listener")


class ListensOverTLS(ServerEndpoint):
    """A ready-made listener of streams, each of which begins with a handshake."""

    def __init__(self, listener: MemoryListener) -> None:
        self.text = "tls"
        self._listener = listener

    async def bind(self) -> list[Bound]:
        await trio.lowlevel.checkpoint()
        bound = Bound(self._listener, UnknownAddress("memory"), "tls", listens=True)
        bound.opening = Opening(layers=lambda: (TLSLayer(server_context(), server_side=True),))
        return [bound]


class TLSListenerService(ListenerService):
    def endpoint(self) -> Any:
        return ListensOverTLS(super().endpoint())

    async def new_peer(self) -> Peer:
        return await drivers.over_tls(self, await super().new_peer())


class TLSStreamService(StreamService):
    def __init__(self, factory: Factory[Any], *, small_buffers: bool, half_close: bool) -> None:
        super().__init__(factory, small_buffers=small_buffers, half_close=half_close)
        self.tls = server_context()

    async def new_peer(self) -> Peer:
        return await drivers.over_tls(self, await super().new_peer())


drivers.SERVICES["tls_listener"] = TLSListenerService
drivers.SERVICES["tls_stream"] = TLSStreamService


async def raw(service: Service) -> Peer:
    """Connect below TLS."""
    if isinstance(service, MemoryService):
        peer = await MemoryService.new_peer(service)
    elif isinstance(service, ListenerService):
        peer = await ListenerService.new_peer(service)
    elif isinstance(service, StreamService):
        peer = await StreamService.new_peer(service)
    else:
        assert isinstance(service, PollService)
        peer = await PollService.new_peer(service)
    peer.service = service
    service.peers.append(peer)
    await service.settle()
    return peer


class Speaker:
    """A TLS client over a raw peer.

    Attributes:
        ended: whether the stream has ended.
        was_reset: whether it was cut.
    """

    def __init__(self, peer: Peer, client: Client | None = None) -> None:
        self.peer = peer
        self.client = client or Client()
        self.ended = False
        self.was_reset = False

    async def hear(self) -> bool:
        """Wait for bytes of the wire; return whether there were any."""
        try:
            wire = await self.peer.receive_some()
        except PeerWasReset:
            self.was_reset = self.ended = True
            return False
        self.client.receive(wire)
        self.ended = not wire
        return bool(wire)

    async def tell(self) -> None:
        """Send what the client has to say of itself."""
        wire = self.client.output()
        if wire:
            await self.peer.send(wire)

    async def shake(self) -> None:
        """Shake hands."""
        await self.tell()
        while not self.client.shaken:
            assert await self.hear(), self.client.error
            await self.tell()

    async def say(self, data: bytes) -> None:
        await self.peer.send(self.client.encrypt(data))

    async def say_farewell(self) -> None:
        await self.peer.send(self.client.farewell())

    async def receive_exactly(self, count: int) -> bytes:
        """Wait for so much data; what was received is forgotten."""
        while len(self.client.received) < count:
            assert await self.hear(), bytes(self.client.received[:100])
        received = bytes(self.client.received)
        assert len(received) == count
        self.client.received.clear()
        return received

    async def receive_all(self) -> bytes:
        """Wait for the end of the stream, or for a cut; return the data."""
        while not self.ended and await self.hear():
            pass
        received = bytes(self.client.received)
        self.client.received.clear()
        return received


async def speaking(service: Service, client: Client | None = None) -> Speaker:
    """Connect and shake hands."""
    speaker = Speaker(await raw(service), client)
    await speaker.shake()
    await service.settle()
    return speaker


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def task_count(service: Service) -> int:
    """How many tasks run under the service."""
    assert isinstance(service, LoopService)
    return count([service.background])


def count(nurseries: Iterable[trio.Nursery]) -> int:
    """How many tasks run in these, and in those of these tasks."""
    return sum(1 + count(task.child_nurseries) for each in nurseries for task in each.child_tasks)


@cache
def file_content() -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in range(300_000))


class Echoes(Recorder):
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(data)


class Keeps(Factory[Echoes]):
    """Keeps what it built."""

    def __init__(self, **settings: Any) -> None:
        self.built: list[Echoes] = []
        super().__init__(self.build, **settings)

    def build(self) -> Echoes:
        self.built.append(Echoes())
        return self.built[-1]


HELLO = Client().output()
