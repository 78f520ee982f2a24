"""The code on throttling that the docs show does what the docs say."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.examples.snippets_throttling import KIB, at_night, downloads
from trioproto.testing import Harness, connected


async def test_a_download_goes_at_its_rate(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A second's worth comes at once, the rest in its time."""
    (tmp_path / "file").write_bytes(bytes(1024 * KIB))
    async with connected(downloads(tmp_path)) as stream:
        await stream.send_all(b"file\r\n")
        assert sum([len(data) async for data in stream]) == 1024 * KIB
        assert trio.current_time() == pytest.approx(3, abs=0.5)


def test_the_total_is_lifted_and_the_rest_stays(tmp_path: Path) -> None:
    """Each connection keeps its own rate."""
    factory = downloads(tmp_path)
    at_night(factory)
    assert factory.settings.send_rate_total is None
    harness = Harness(factory)
    harness.connect().transport.write(bytes(512 * KIB))
    assert len(harness.take()) == pytest.approx(256 * KIB, abs=KIB)
