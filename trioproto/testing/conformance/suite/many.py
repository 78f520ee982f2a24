"""Several connections at once: forwarding, batches, and descriptors that come again.

The rule: docs/flow-control.md, When the output is others' doing.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
import trio

from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import ConnectionAborted
from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.peer import Peer, check_same
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Serving, in_turn


class Forwards(Protocol):
    """Passes on what it gets, and pauses the other side when its own is full."""

    auto_pause = False
    other: Forwards

    def __init__(self) -> None:
        self.most = 0

    def data_received(self, data: bytes) -> None:
        self.other.transport.write(data)
        self.most = max(self.most, self.other.transport.buffered)

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        self.other.transport.write_eof()
        return True


@needs(Feature.HALF_CLOSE)
async def test_a_forwarder_passes_much_both_ways_with_little_waiting(serving: Serving) -> None:
    left, right = Forwards(), Forwards()
    left.other, right.other = right, left
    data = bytes(range(256)) * (MORE_THAN_FITS // 256)

    async def say(peer: Peer) -> None:
        await peer.send(data)
        await peer.send_eof()

    async def hear(peer: Peer) -> None:
        check_same(await peer.receive_until_eof(), data)

    async with serving(in_turn([left, right]), small_buffers=True) as service:
        peers = [await service.connect(), await service.connect()]
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(say, peer)
            await service.settle()
            for peer in peers:
                nursery.start_soon(hear, peer)
        assert max(left.most, right.most) <= 256 << 10


@pytest.mark.parametrize("ending", ["close", "abort"])
async def test_of_many_that_are_ready_at_once_the_first_may_end_the_others(
    serving: Serving, ending: str
) -> None:
    def end_others(self: Recorder) -> None:
        for other in self.factory.connections:
            if other is not self:
                getattr(other.transport, ending)()

    protocols: list[Recorder] = []

    def build() -> Recorder:
        protocols.append(Recorder(data_received=end_others))
        return protocols[-1]

    async with serving(Factory(build)) as service:
        peers = [await service.connect() for _ in range(20)]
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(peer.send, b"me first")
        await service.settle()
        assert sum("data_received" in protocol.heard for protocol in protocols) == 1
        if ending == "abort":
            reasons = [type(protocol.reason) for protocol in protocols if protocol.lost]
            assert reasons == [ConnectionAborted] * 19


async def test_a_broadcast_from_a_callback_reaches_all_whole_and_in_order(
    serving: Serving,
) -> None:
    def broadcast(self: Recorder) -> None:
        for protocol in self.factory.connections:
            protocol.transport.write(self.chunks[-1])

    async with serving(Factory(lambda: Recorder(data_received=broadcast))) as service:
        peers = [await service.connect() for _ in range(30)]
        for number in range(30):
            await peers[number].send(b"%05d" % number)
            await service.settle()
        expected = b"".join(b"%05d" % number for number in range(30))
        for peer in peers:
            assert await peer.receive_exactly(len(expected)) == expected


async def test_connections_that_come_and_go_are_never_mistaken_for_one_another(
    serving: Serving,
) -> None:
    """The kernel gives a descriptor's number again at once."""
    walk = random.Random(7)

    def echo(self: Recorder) -> None:
        self.transport.write(self.chunks[-1])

    protocols: list[Recorder] = []

    def build() -> Recorder:
        protocols.append(Recorder(data_received=echo))
        return protocols[-1]

    factory: Factory[Any] = Factory(build)
    async with serving(factory) as service:
        live: list[tuple[Peer, Recorder]] = []
        for number in range(300):
            if len(live) < 10:
                live.append((await service.connect(), protocols[-1]))
            peer, protocol = walk.choice(live)
            word = b"%06d" % number
            await peer.send(word)
            way = walk.randrange(6)
            if way > 2:
                assert await peer.receive_exactly(6) == word
                continue
            live.remove((peer, protocol))
            if way == 0:
                await peer.reset()
            elif way == 1:
                protocol.transport.abort()
            else:
                assert await peer.receive_exactly(6) == word
                await peer.send_eof()
                assert await peer.receive_until_eof() == b""
        for peer, _ in live:
            await peer.aclose()
        await service.settle()
        assert len(factory.connections) == 0
    for protocol in protocols:
        protocol.check()
