"""The code on throttling that the docs show does what the docs say."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from tests.examples.snippets_throttling import KIB, at_night, downloads
from tests.threads import threads_take_no_time
from trioproto.testing import Harness


async def test_a_download_goes_at_its_rate(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """A second's worth comes at once, the rest in its time."""
    (tmp_path / "file").write_bytes(bytes(1024 * KIB))
    factory = downloads(tmp_path)
    ours, theirs = trio.testing.memory_stream_pair()
    with threads_take_no_time():  # that read the file
        async with factory, trio.open_nursery() as nursery:
            nursery.start_soon(factory.handle, theirs)
            await ours.send_all(b"file\r\n")
            received = 0
            while data := await ours.receive_some():
                received += len(data)
            await ours.aclose()
    assert received == 1024 * KIB
    assert trio.current_time() == pytest.approx(3, abs=1)


def test_the_total_is_lifted_and_the_rest_stays(tmp_path: Path) -> None:
    """Each connection keeps its own rate."""
    factory = downloads(tmp_path)
    at_night(factory)
    assert factory.settings.send_rate_total is None
    harness = Harness(factory)
    harness.connect().transport.write(bytes(512 * KIB))
    assert len(harness.take()) == pytest.approx(256 * KIB, abs=KIB)
