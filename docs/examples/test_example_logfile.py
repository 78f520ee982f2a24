"""The log file: open while it is served, and every line in it."""

from pathlib import Path

import pytest
from trio.testing import MockClock

from examples.logfile import LogfileFactory
from trioproto.testing import connected, peer, serving


async def test_each_line_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "lines.log"
    path.write_bytes(b"older\n")
    async with (
        serving(LogfileFactory(str(path))) as server,
        peer(await server.connect()) as anna,
        peer(await server.connect()) as ben,
    ):
        await anna.send(b"a\r\nb")
        await ben.send(b"c\n\n")
        await anna.expect_nothing()
        await ben.expect_nothing()
        assert path.read_bytes() == b"older\na\nc\n\n"
        await anna.send_eof()
        await anna.expect_eof()
        assert path.read_bytes() == b"older\na\nc\n\nb\n"


async def test_what_came_before_a_drain_is_kept(tmp_path: Path, autojump_clock: MockClock) -> None:
    path = tmp_path / "lines.log"
    async with serving(LogfileFactory(str(path))) as server:
        stream = await server.connect()
        await stream.send_all(b"first\nlast\n")
        await stream.wait_all_read()
        await server.server.drain()
    assert path.read_bytes() == b"first\nlast\n"


async def test_the_file_is_held_open_until_the_end(tmp_path: Path) -> None:
    factory = LogfileFactory(str(tmp_path / "lines.log"))
    async with connected(factory):
        assert not factory.log.closed
    assert factory.log.closed


async def test_a_file_that_cannot_be_opened_ends_the_server(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with connected(LogfileFactory(str(tmp_path / "none" / "lines.log"))):
            raise AssertionError("it is served")
