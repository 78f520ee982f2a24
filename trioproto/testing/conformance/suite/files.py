"""``send_file`` streams a file, in its turn among the other output.

The rule: docs/flow-control.md, Output.
"""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from trioproto.sansio.errors import ConnectionLost
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting
from trioproto.testing.conformance.suite.fixtures import CONTENT


@needs(Feature.ASYNC_CODE)
@pytest.mark.parametrize(
    ("offset", "count"),
    [(0, None), (0, 0), (1, None), (1000, 5000), (0, MORE_THAN_FITS), (5, MORE_THAN_FITS * 2)],
)
async def test_send_file_sends_that_part_of_a_file(
    connect: Connecting, big_file: Path, offset: int, count: int | None
) -> None:
    results: list[int] = []

    async def reply(self: Recorder) -> None:
        self.transport.write(b"<")
        results.append(await self.transport.send_file(big_file, offset, count))
        self.transport.write(b">")
        self.transport.close()

    async with connect(Recorder(data_received=reply), small_buffers=True) as peer:
        await peer.send(b"go")
        data, ending = await peer.receive_all()
        content = CONTENT[offset:]
        expected = content if count is None else content[:count]
        assert (data, ending) == (b"<" + expected + b">", "eof")
        assert results == [len(expected)]


@needs(Feature.ASYNC_CODE)
async def test_send_file_waits_with_little_in_memory(connect: Connecting, big_file: Path) -> None:
    async def reply(self: Recorder) -> None:
        await self.transport.send_file(big_file)

    protocol = Recorder(data_received=reply)
    async with connect(protocol, small_buffers=True) as peer:
        with memory_traced():
            await peer.send(b"go")
            begin = await peer.receive_some()
            await peer.settle()
            assert protocol.transport.buffered <= 256 << 10
            assert tracemalloc.get_traced_memory()[0] <= MORE_THAN_FITS // 2
        assert begin + await peer.receive_exactly(MORE_THAN_FITS - len(begin)) == CONTENT


@contextmanager
def memory_traced() -> Iterator[None]:
    """Count what is allocated from here on: a driver may hold bytes that are not ``buffered``."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


@needs(Feature.ASYNC_CODE)
async def test_send_file_of_an_absent_file_raises_and_sends_nothing(
    connect: Connecting, tmp_path: Path
) -> None:
    raised: list[str] = []

    async def reply(self: Recorder) -> None:
        try:
            await self.transport.send_file(tmp_path / "absent")
        except FileNotFoundError:
            raised.append("not found")
        self.transport.write(b"sorry")

    async with connect(Recorder(data_received=reply)) as peer:
        await peer.send(b"go")
        assert await peer.receive_exactly(5) == b"sorry"
    assert raised == ["not found"]


@needs(Feature.ASYNC_CODE)
async def test_send_file_on_a_closed_connection_raises_its_reason(
    connect: Connecting, big_file: Path
) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        await peer.reset()
        await protocol.transport.wait_closed()
        with pytest.raises(ConnectionLost):
            await protocol.transport.send_file(big_file)


@needs(Feature.ASYNC_CODE)
async def test_a_send_file_that_is_cut_leaves_no_file_open(
    connect: Connecting, big_file: Path
) -> None:
    async def reply(self: Recorder) -> None:
        await self.transport.send_file(big_file)

    protocol = Recorder(data_received=reply)
    async with connect(protocol, small_buffers=True) as peer:
        await peer.send(b"go")
        await peer.receive_some()
        protocol.transport.abort()
        await protocol.transport.wait_closed()
    assert str(big_file) not in open_files()


def open_files() -> list[str]:
    """What this process has open, where there is a ``/proc`` that tells."""
    found = []
    with suppress(FileNotFoundError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):  # that of the listing itself
                found.append(os.readlink(f"/proc/self/fd/{name}"))
    return found


@needs(Feature.ASYNC_CODE)
async def test_what_others_write_during_send_file_comes_after_the_file(
    connect: Connecting, big_file: Path
) -> None:
    async def reply(self: Recorder) -> None:
        await self.transport.send_file(big_file)

    protocol = Recorder(data_received=lambda self: self.transport.start_soon(reply, self))
    async with connect(protocol, small_buffers=True) as peer:
        await peer.send(b"go")
        begin = await peer.receive_some()
        protocol.transport.write(b"after")
        rest = await peer.receive_exactly(MORE_THAN_FITS + 5 - len(begin))
        assert begin + rest == CONTENT + b"after"


@needs(Feature.ASYNC_CODE)
async def test_two_files_at_once_come_one_after_the_other(
    connect: Connecting, tmp_path: Path
) -> None:
    parts = {letter: letter.encode() * 500_000 for letter in "ab"}
    for letter, content in parts.items():
        (tmp_path / letter).write_bytes(content)

    def begin(self: Recorder) -> None:
        for letter in parts:
            self.transport.start_soon(self.transport.send_file, tmp_path / letter)

    async with connect(Recorder(data_received=begin), small_buffers=True) as peer:
        await peer.send(b"go")
        data = await peer.receive_exactly(1_000_000)
        assert data in (parts["a"] + parts["b"], parts["b"] + parts["a"])


@needs(Feature.ASYNC_CODE)
async def test_a_close_during_send_file_lets_it_finish(connect: Connecting, big_file: Path) -> None:
    """The callback is not disturbed by it, and nothing accepted is lost."""

    async def reply(self: Recorder) -> None:
        await self.transport.send_file(big_file)

    protocol = Recorder(data_received=reply)
    async with connect(protocol, small_buffers=True) as peer:
        await peer.send(b"go")
        begin = await peer.receive_some()
        protocol.transport.close()
        rest, ending = await peer.receive_all()
        assert (begin + rest, ending) == (CONTENT, "eof")
