"""Either side may end alone.

The rule: docs/callbacks.md, The peer's EOF.
"""

from __future__ import annotations

import pytest

from trioproto.sansio.errors import ConnectionDone, NotSupported
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.peer import check_same
from trioproto.testing.conformance.recorder import Recorder, keep_open
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting


async def test_eof_is_reported_and_closes_by_default(connect: Connecting) -> None:
    protocol = Recorder(eof_received=lambda self: self.transport.write(b"bye"))
    async with connect(protocol) as peer:
        await peer.send_eof()
        assert await peer.receive_all() == (b"bye", "eof")
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone


async def test_a_connection_kept_open_after_eof_goes_on_writing(connect: Connecting) -> None:
    protocol = Recorder(eof_received=keep_open)
    async with connect(protocol) as peer:
        await peer.say_eof()
        assert protocol.heard == ["connection_made", "eof_received"]
        assert not protocol.transport.closing
        protocol.transport.write(b"still here")
        assert await peer.receive_exactly(10) == b"still here"
        protocol.transport.write(b"bye")
        protocol.transport.close()
        assert await peer.receive_all() == (b"bye", "eof")
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.HALF_CLOSE)
async def test_a_connection_kept_open_closes_once_both_sides_have_ended(
    connect: Connecting,
) -> None:
    protocol = Recorder(eof_received=keep_open)
    async with connect(protocol) as peer:
        await peer.say_eof()
        protocol.transport.write(b"bye")
        protocol.transport.write_eof()
        assert await peer.receive_all() == (b"bye", "eof")
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.HALF_CLOSE)
async def test_write_eof_lets_us_go_on_reading(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        assert protocol.transport.can_write_eof
        protocol.transport.write(b"all")
        protocol.transport.write_eof()
        protocol.transport.write(b"late")
        assert await peer.receive_until_eof() == b"all"
        await peer.say(b"one")
        await peer.say(b"two")
        assert protocol.received == b"onetwo"
        assert not protocol.lost
        await peer.say_eof()
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.HALF_CLOSE)
async def test_write_eof_is_idempotent_and_harmless_on_a_closed_connection(
    connect: Connecting,
) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.write_eof()
        protocol.transport.write_eof()
        protocol.transport.close()
        protocol.transport.write_eof()
        assert await peer.receive_all() == (b"", "eof")
        await peer.say_eof()
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.HALF_CLOSE)
async def test_write_eof_waits_for_what_was_written(connect: Connecting) -> None:
    protocol = Recorder()
    data = b"0123456789abcdef" * (MORE_THAN_FITS // 16)
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.write(data)
        protocol.transport.write_eof()
        received, ending = await peer.receive_all()
        check_same(received, data)
        assert ending == "eof"
        await peer.say(b"and back")
        assert protocol.received == b"and back"


@needs(Feature.HALF_CLOSE_IS_OPTIONAL)
async def test_write_eof_is_not_supported_where_eof_cannot_be_sent_alone(
    connect: Connecting,
) -> None:
    protocol = Recorder()
    async with connect(protocol, half_close=False) as peer:
        assert not protocol.transport.can_write_eof
        with pytest.raises(NotSupported):
            protocol.transport.write_eof()
        protocol.transport.write(b"still works")
        assert await peer.receive_exactly(11) == b"still works"
