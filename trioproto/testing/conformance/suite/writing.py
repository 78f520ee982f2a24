"""What is written arrives: whole, in order, and as it was at the call.

The rule: docs/flow-control.md, Output.
"""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from trioproto.testing.conformance.peer import check_same
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Connecting


async def test_what_is_written_arrives_in_order(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.write(b"a")
        protocol.transport.writelines([b"b", bytearray(b"c"), memoryview(b"d")])
        protocol.transport.write(b"")
        protocol.transport.write(b"e")
        assert await peer.receive_exactly(5) == b"abcde"


async def test_a_reply_written_in_a_callback_arrives(connect: Connecting) -> None:
    protocol = Recorder(data_received=lambda self: self.transport.write(self.chunks[-1].upper()))
    async with connect(protocol) as peer:
        await peer.send(b"shout")
        assert await peer.receive_exactly(5) == b"SHOUT"
        await peer.send(b"again")
        assert await peer.receive_exactly(5) == b"AGAIN"


@pytest.mark.parametrize("buffer_type", [bytes, bytearray, memoryview])
async def test_write_takes_any_bytes(connect: Connecting, buffer_type: Any) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.write(buffer_type(b"data"))
        assert await peer.receive_exactly(4) == b"data"


async def test_write_takes_bytes_that_do_not_lie_together(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.write(memoryview(b"a-b-c-")[::2])
        other: Any = array("B", b"def")
        protocol.transport.write(other)
        assert await peer.receive_exactly(6) == b"abcdef"


async def test_write_copies_at_once_what_can_change(connect: Connecting) -> None:
    def write(self: Recorder) -> None:
        data = bytearray(b"before")
        self.transport.write(data)
        data[:] = b"after!"

    async with connect(Recorder(data_received=write)) as peer:
        await peer.send(b"go")
        assert await peer.receive_exactly(6) == b"before"


async def test_write_counts_bytes_of_wider_items(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.write(memoryview(b"12345678").cast("I"))
        assert await peer.receive_exactly(8) == b"12345678"


@pytest.mark.parametrize("wrong", ["text", 5, None, [1, 2]])
async def test_write_of_anything_else_is_a_type_error_and_writes_nothing(
    connect: Connecting, wrong: Any
) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        with pytest.raises(TypeError):
            protocol.transport.write(wrong)
        protocol.transport.write(b"ok")
        assert await peer.receive_exactly(2) == b"ok"
        assert not protocol.lost


@pytest.mark.parametrize("wrong", ["text", 5])
async def test_write_of_anything_else_is_a_type_error_on_a_closed_connection_too(
    connect: Connecting, wrong: Any
) -> None:
    protocol = Recorder()
    async with connect(protocol):
        protocol.transport.abort()
        with pytest.raises(TypeError):
            protocol.transport.write(wrong)


async def test_a_large_write_then_close_arrives_whole(connect: Connecting) -> None:
    size = 60 << 20
    data = bytes(range(256)) * (size // 256)

    def write_and_close(self: Recorder) -> None:
        self.transport.write(data)
        self.transport.close()

    async with connect(Recorder(connection_made=write_and_close)) as peer:
        received, ending = await peer.receive_all()
        check_same(received, data)
        assert ending == "eof"
