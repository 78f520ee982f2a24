"""An abort drops what waits, and resets.

The rule: docs/callbacks.md, Closing without loss.
"""

from __future__ import annotations

import pytest

from trioproto.sansio.errors import ConnectionAborted
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting


async def test_abort_is_idempotent_and_reported_as_ours(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.abort()
        protocol.transport.abort()
        protocol.transport.close()
        assert await peer.receive_all() == (b"", "reset")
        await peer.settle()
        assert type(protocol.reason) is ConnectionAborted


@pytest.mark.parametrize("callback", ["connection_made", "data_received"])
async def test_no_byte_written_after_abort_arrives(connect: Connecting, callback: str) -> None:
    def act(self: Recorder) -> None:
        self.transport.abort()
        self.transport.write(b"after")

    protocol = Recorder(**{callback: act})
    async with connect(protocol) as peer:
        if callback == "data_received":
            await peer.send(b"go")
        data, ending = await peer.receive_all()
        assert data == b""
        assert ending == "reset"
        await peer.settle()
        assert type(protocol.reason) is ConnectionAborted


async def test_abort_drops_a_full_buffer(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        protocol.transport.abort()
        protocol.transport.write(b"after")
        await peer.settle()
        assert type(protocol.reason) is ConnectionAborted
        assert protocol.transport.buffered == 0
        data, ending = await peer.receive_all()
        assert len(data) < MORE_THAN_FITS
        assert ending == "reset"


async def test_abort_cuts_a_close_that_is_still_flushing(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        protocol.transport.close()
        await peer.settle()
        assert not protocol.lost
        protocol.transport.abort()
        await peer.settle()
        assert type(protocol.reason) is ConnectionAborted
        data, ending = await peer.receive_all()
        assert len(data) < MORE_THAN_FITS
        assert ending == "reset"


async def test_an_abort_resets_the_socket(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.abort()
        assert await peer.receive_all() == (b"", "reset")
