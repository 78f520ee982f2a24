"""What a transport counts: when it began, and the bytes that went through it.

The rule: docs/monitoring.md, Connections.
"""

from __future__ import annotations

from pathlib import Path

import trio

from trioproto.runtime.factory import Factory
from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.features import Feature, lacks, needs
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting, Serving


class Answers(Protocol):
    """Answers twice as much as it gets."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        self.transport.write(data)


class AnswersLater(Protocol):
    async def data_received(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.transport.write(data)


class SendsFile(Protocol):
    def __init__(self, path: Path) -> None:
        self.path = path

    async def data_received(self, data: bytes) -> None:
        await self.transport.send_file(self.path)


@lacks(Feature.ENCRYPTS)
async def test_bytes_are_counted_in_both_directions(connect: Connecting) -> None:
    protocol = Answers()
    async with connect(protocol) as peer:
        for size in (1, 1000, 100_000):
            await peer.send(b"x" * size)
            await peer.receive_exactly(2 * size)
        await peer.settle()
        assert protocol.transport.bytes_received == 101_001
        assert protocol.transport.bytes_sent == 202_002


@needs(Feature.ASYNC_CODE)
@lacks(Feature.ENCRYPTS)
async def test_bytes_of_async_callbacks_are_counted(connect: Connecting) -> None:
    protocol = AnswersLater()
    async with connect(protocol) as peer:
        for _ in range(3):
            await peer.send(b"x" * 70_000)
            await peer.receive_exactly(70_000)
        await peer.settle()
        assert protocol.transport.bytes_received == protocol.transport.bytes_sent == 210_000


@needs(Feature.ASYNC_CODE)
@lacks(Feature.ENCRYPTS)
async def test_the_bytes_of_a_file_are_counted(connect: Connecting, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(300_000))
    protocol = SendsFile(path)
    async with connect(protocol) as peer:
        await peer.send(b"go")
        await peer.receive_exactly(300_000)
        await peer.settle()
        assert protocol.transport.bytes_sent == 300_000


@lacks(Feature.ENCRYPTS)
async def test_only_what_the_stream_has_taken_counts_as_sent(serving: Serving) -> None:
    protocol = Answers()
    async with serving(Factory(lambda: protocol), small_buffers=True) as service:
        peer = await service.connect()
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await service.settle()
        assert protocol.transport.bytes_sent < MORE_THAN_FITS
        assert protocol.transport.bytes_sent + protocol.transport.buffered == MORE_THAN_FITS
        await peer.receive_exactly(MORE_THAN_FITS)
        await service.settle()
        assert protocol.transport.bytes_sent == MORE_THAN_FITS


@needs(Feature.ENCRYPTS)
async def test_over_tls_the_bytes_on_the_wire_are_counted(connect: Connecting) -> None:
    protocol = Answers()
    async with connect(protocol) as peer:
        await peer.send(b"x" * 1000)
        await peer.receive_exactly(2000)
        await peer.settle()
        assert protocol.transport.bytes_received > 1000
        assert protocol.transport.bytes_sent > 2000


@lacks(Feature.ENCRYPTS)
async def test_the_counts_stay_after_the_end(connect: Connecting) -> None:
    protocol = Answers()
    async with connect(protocol) as peer:
        transport = protocol.transport
        await peer.send(b"abc")
        await peer.receive_exactly(6)
        await peer.leave()
        assert (transport.bytes_received, transport.bytes_sent) == (3, 6)


async def test_a_connection_knows_when_it_began(connect: Connecting) -> None:
    protocol = Answers()
    async with connect(protocol) as peer:
        began_at = protocol.transport.began_at
        await peer.send(b"abc")
        await peer.receive_exactly(6)
        assert protocol.transport.began_at == began_at
        if Feature.ASYNC_CODE in peer.service.features:
            assert began_at <= trio.current_time()
