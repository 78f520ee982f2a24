"""Output that waits is bounded, for each connection and for all of them.

The rule: docs/flow-control.md, Output.
"""

from __future__ import annotations

from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import OutboundOverflow
from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting, Serving, in_turn

RECORDS = 1024  # bytes that TLS puts around what it has passed on already, at most


async def test_one_write_may_be_of_any_size(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, max_buffered=1 << 17) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        assert not protocol.lost
        assert len(await peer.receive_exactly(MORE_THAN_FITS)) == MORE_THAN_FITS


async def test_a_write_that_finds_too_much_waiting_aborts(connect: Connecting) -> None:
    protocol = Recorder()
    limit = 1 << 17
    async with connect(protocol, small_buffers=True, max_buffered=limit) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        assert protocol.transport.buffered > limit
        protocol.transport.write(b"one more")
        protocol.transport.write(b"discarded")
        await peer.settle()
        assert isinstance(protocol.reason, OutboundOverflow)
        assert protocol.reason.limit == limit
        assert protocol.reason.buffered > limit
        data, ending = await peer.receive_all()
        assert len(data) < MORE_THAN_FITS
        assert ending == "reset"


async def test_a_slow_consumer_of_a_broadcast_is_aborted_and_the_others_are_not(
    serving: Serving,
) -> None:
    protocols = [Recorder(), Recorder()]
    factory = in_turn(protocols, max_buffered=1 << 18)
    async with serving(factory, small_buffers=True) as service:
        await service.connect()
        fast = await service.connect()
        total = 0
        while not protocols[0].lost and total < 1 << 24:
            for protocol in factory.connections:
                protocol.transport.write(bytes(1 << 16))
            await fast.receive_exactly(1 << 16)
            total += 1 << 16
            await fast.settle()
        assert isinstance(protocols[0].reason, OutboundOverflow)
        assert total < 1 << 23
        assert not protocols[1].lost


@needs(Feature.SENDS_AT_ONCE)
async def test_a_reply_written_in_pieces_to_a_fast_reader_is_no_overflow(
    connect: Connecting,
) -> None:
    def reply(self: Recorder) -> None:
        for _ in range(64):
            self.transport.write(bytes(1 << 10))

    protocol = Recorder(data_received=reply)
    marks = {"max_buffered": 1 << 14, "high_water": 1 << 13, "low_water": 1 << 10}
    async with connect(protocol, **marks) as peer:
        await peer.send(b"go")
        assert len(await peer.receive_exactly(1 << 16)) == 1 << 16
        assert not protocol.lost


async def test_a_reply_in_pieces_to_a_peer_that_does_not_read_waits_quietly(
    connect: Connecting,
) -> None:
    """That nothing spins meanwhile is seen by ``settle()``."""

    def reply(self: Recorder) -> None:
        for _ in range(32):
            self.transport.write(bytes(1 << 16))

    protocol = Recorder(data_received=reply)
    async with connect(protocol, small_buffers=True) as peer:
        await peer.say(b"go")
        assert not protocol.lost
        assert len(await peer.receive_exactly(MORE_THAN_FITS)) == MORE_THAN_FITS


async def test_over_the_total_the_connection_with_most_waiting_is_aborted(
    serving: Serving,
) -> None:
    protocols = [Recorder() for _ in range(3)]
    total = (6 << 20) + 2 * RECORDS
    factory = in_turn(protocols, max_buffered_total=total)
    async with serving(factory, small_buffers=True) as service:
        for _ in protocols:
            await service.connect()
        small, big, last = protocols
        small.transport.write(bytes(MORE_THAN_FITS))
        big.transport.write(bytes(2 * MORE_THAN_FITS))
        await service.settle()
        assert not big.lost
        last.transport.write(bytes(MORE_THAN_FITS))
        await service.settle()
        assert isinstance(big.reason, OutboundOverflow)
        assert big.reason.limit == total
        assert not small.lost
        assert not last.lost


async def test_what_was_sent_counts_no_more_towards_the_total(serving: Serving) -> None:
    protocols = [Recorder(), Recorder()]
    factory = in_turn(protocols, max_buffered_total=3 << 20)
    async with serving(factory, small_buffers=True) as service:
        peers = [await service.connect() for _ in protocols]
        for _ in range(3):
            for peer, protocol in zip(peers, protocols, strict=True):
                protocol.transport.write(bytes(MORE_THAN_FITS))
                await peer.settle()
                await peer.receive_exactly(MORE_THAN_FITS)
        protocols[0].transport.write(bytes(MORE_THAN_FITS))
        await peers[0].settle()
        await peers[0].reset()
        await peers[0].settle()
        assert protocols[0].lost
        protocols[1].transport.write(bytes(MORE_THAN_FITS))
        await peers[1].settle()
        assert not protocols[1].lost


async def test_buffered_counts_the_bytes_that_wait(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True) as peer:
        assert protocol.transport.buffered == 0
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        assert 0 < protocol.transport.buffered <= MORE_THAN_FITS + RECORDS
        await peer.receive_exactly(MORE_THAN_FITS)
        await peer.settle()
        assert protocol.transport.buffered == 0


async def test_what_one_callback_writes_to_many_counts_at_once(serving: Serving) -> None:
    """All together it is never above the limit, but for one write."""
    size = 100_000
    most: list[int] = []

    class Spreads(Protocol):
        def data_received(self, data: bytes) -> None:
            for member in self.factory.connections:
                for _ in range(10):
                    member.transport.write(bytes(size))
            members = self.factory.connections
            most.append(sum(each.transport.buffered for each in members))

    limits = {"max_buffered_total": 1_000_000, "max_buffered": 10_000_000, "high_water": 1000}
    factory = Factory(Spreads, low_water=0, **limits)
    async with serving(factory, small_buffers=True) as service:
        peers = [await service.connect() for _ in range(8)]
        await peers[0].send(b"now")
        await service.settle()
        assert most
        assert max(most) <= 1_000_000 + 3 * size * 8


@needs(Feature.SENDS_AT_ONCE)
async def test_what_the_kernel_takes_at_once_does_not_count(serving: Serving) -> None:
    """A large reply to a peer that reads is no reason to abort anybody."""
    size = 1_000_000
    protocol = Recorder(data_received=lambda self: self.transport.write(bytes(size)))
    factory = Factory(lambda: protocol, max_buffered_total=size // 2)
    async with serving(factory) as service:
        peer = await service.connect()
        await peer.send(b"now")
        assert await peer.receive_exactly(size) == bytes(size)
