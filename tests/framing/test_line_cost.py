"""Lines: the work is linear in the bytes, however they were split.

Work is counted in calls (of Python and of C functions), never in seconds.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType

import pytest

from tests.framing.receivers import Lines, OnlyLines, connect, feed
from trioproto.framing import LineCodec, LineReceiver


class Long(Lines):
    max_length = 4 << 20


class OnlyLong(OnlyLines):
    max_length = 4 << 20


def calls_of(work: Callable[[], object]) -> int:
    count = 0

    def note(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("receiver_class", [Long, OnlyLong])
def test_a_long_line_in_small_chunks_costs_the_same_for_each_chunk(
    receiver_class: type[Long | OnlyLong],
) -> None:
    def calls_for(chunks: int) -> int:
        receiver = receiver_class()
        harness = connect(receiver)
        calls = calls_of(lambda: feed(harness, [b"x" * 20] * chunks))
        harness.feed(b"\r\n")
        assert [len(line) for line in receiver.lines] == [20 * chunks]
        return calls

    few = calls_for(1_000)
    assert calls_for(10_000) < 11 * few


def test_a_line_of_two_megabytes_in_chunks_of_twenty_bytes_arrives() -> None:
    """Searching or copying it anew for each chunk would move 100 GB."""
    receiver = Long()
    feed(connect(receiver), [b"x" * 20] * 100_000 + [b"\r\n"])
    assert [len(line) for line in receiver.lines] == [2_000_000]


def test_many_lines_in_one_chunk_cost_the_same_for_each_line() -> None:
    def calls_for(lines: int) -> int:
        receiver = Lines()
        harness = connect(receiver)
        calls = calls_of(lambda: harness.feed(b"x\r\n" * lines))
        assert len(receiver.lines) == lines
        return calls

    few = calls_for(1_000)
    assert calls_for(10_000) < 11 * few


def test_many_pauses_in_one_chunk_cost_the_same_for_each_line() -> None:
    class Pause(Lines):
        def line_received(self, line: bytes) -> None:
            super().line_received(line)
            self.transport.pause_reading()

    def calls_for(lines: int) -> int:
        receiver = Pause()
        harness = connect(receiver)

        def work() -> None:
            harness.feed(b"x\r\n" * lines)
            while len(receiver.heard) < lines:
                receiver.transport.resume_reading()
                harness.advance(0)

        return calls_of(work)

    few = calls_for(1_000)
    assert calls_for(10_000) < 11 * few


def test_many_short_chunks_of_a_skipped_line_cost_the_same_for_each_chunk() -> None:
    class Discard(Lines):
        on_too_long = "discard"

    def calls_for(chunks: int) -> int:
        harness = connect(Discard())
        harness.feed(b"x" * 20_000)
        return calls_of(lambda: feed(harness, [b"x" * 20] * chunks))

    few = calls_for(1_000)
    assert calls_for(10_000) < 11 * few


def test_what_waits_for_its_delimiter_takes_little_more_memory_than_its_bytes() -> None:
    codec = LineCodec()
    tracemalloc.start()
    try:
        for number in range(8000):
            codec.feed(bytes([65 + number % 20, 66]))
            assert not list(codec.frames())
        memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert codec.pending == 16_000
    assert memory < 80_000


def test_a_new_protocol_for_each_line_of_one_chunk_costs_the_same_for_each() -> None:
    """Bytes are counted too: to split all that follows, and join it again, is quadratic."""

    class Once(LineReceiver):
        def __init__(self, count: list[int]) -> None:
            self.count = count

        def line_received(self, line: bytes) -> None:
            self.count[0] += 1
            self.transport.switch_protocol(Once(self.count))

    def calls_for(lines: int) -> int:
        count = [0]
        harness = connect(Once(count))
        calls = calls_of(lambda: harness.feed(b"x\r\n" * lines))
        assert count == [lines]
        return calls

    few = calls_for(300)
    assert calls_for(3_000) < 11 * few


def test_the_first_line_of_a_chunk_is_split_off_alone() -> None:
    codec = LineCodec()
    codec.feed(b"x\r\n" * 10_000)
    tracemalloc.start()
    try:
        assert next(iter(codec.frames())) == b"x"
        memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert memory < 35_000  # the rest in one piece, no list of lines
