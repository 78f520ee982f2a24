"""Lines: how long one may be, and what happens to one that is longer."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.framing.receivers import Lines, OnlyLines, connect, every_split, feed
from trioproto.errors import FrameTooLong, IdleTimeout
from trioproto.framing import LineOnlyReceiver, LineReceiver

LIMIT = 10
BASES = [Lines, OnlyLines]
Base = type[Lines | OnlyLines]


def limited(base: Base, limit: int = LIMIT, **attributes: object) -> Lines | OnlyLines:
    made: Any = type("Limited", (base,), {"max_length": limit, **attributes})
    receiver: Lines | OnlyLines = made()
    return receiver


def kinds(receiver: Lines | OnlyLines) -> list[str]:
    return [kind for kind, _ in receiver.heard]


def one_mebibyte() -> Iterator[bytes]:
    """Without a delimiter, in chunks of which none is kept here."""
    for _ in range(256):
        yield bytes(bytearray(4096))


def peak_memory(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("base", [LineReceiver, LineOnlyReceiver])
def test_the_default_limit_is_twisteds(base: type[LineReceiver | LineOnlyReceiver]) -> None:
    assert base.max_length == 16384
    assert base.delimiter == b"\r\n"
    assert base.on_too_long == "close"


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("length", [0, 1, LIMIT - 1, LIMIT])
def test_a_line_up_to_the_limit_passes_in_any_split(base: Base, length: int) -> None:
    line = b"x" * length
    for pieces in every_split(line + b"\r\n" + line + b"\r\n"):
        receiver = limited(base)
        harness = connect(receiver)
        feed(harness, pieces)
        assert receiver.heard == [("line", line)] * 2, pieces
        assert not harness.lost


@pytest.mark.parametrize("base", BASES)
def test_a_line_of_the_limit_may_end_in_delimiter_bytes_that_arrive_apart(base: Base) -> None:
    for line in [b"x" * (LIMIT - 1) + b"\r", b"\r" * LIMIT, b"\n" * LIMIT]:
        for pieces in every_split(line + b"\r\n"):
            receiver = limited(base)
            feed(connect(receiver), pieces)
            assert receiver.heard == [("line", line)], pieces


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("excess", [1, 2, 3, 50])
def test_a_longer_line_is_reported_and_closes_in_any_split(base: Base, excess: int) -> None:
    line = b"x" * (LIMIT + excess)
    for pieces in every_split(b"ok\r\n" + line + b"\r\nfresh\r\n"):
        receiver = limited(base)
        harness = connect(receiver)
        feed(harness, pieces)
        assert kinds(receiver) == ["line", "too long"], pieces
        arrived = receiver.heard[1][1]
        assert len(arrived) > LIMIT
        assert (line + b"\r\nfresh\r\n").startswith(arrived)
        harness.feed_eof()
        assert isinstance(receiver.reason, FrameTooLong)
        assert receiver.reason.limit == LIMIT


@pytest.mark.parametrize("base", BASES)
def test_a_line_is_too_long_as_soon_as_no_delimiter_can_save_it(base: Base) -> None:
    receiver = limited(base)
    harness = connect(receiver)
    harness.feed(b"x" * LIMIT)
    harness.feed(b"\r")
    assert receiver.heard == []
    harness.feed(b"x")
    assert kinds(receiver) == ["too long"]


@pytest.mark.parametrize("base", BASES)
def test_after_a_line_that_was_too_long_nothing_is_parsed_as_a_fresh_line(base: Base) -> None:
    receiver = limited(base)
    harness = connect(receiver)
    harness.feed(b"x" * (LIMIT + 1) + b"\r\nfresh\r\n")
    harness.feed(b"more\r\nlines\r\n")
    assert kinds(receiver) == ["too long"]


@pytest.mark.parametrize("base", BASES)
def test_a_last_word_may_be_written_about_a_line_that_was_too_long(base: Base) -> None:
    def last_word(self: Lines, line: bytes) -> None:
        self.send_line(b"too long")

    receiver = limited(base, line_length_exceeded=last_word)
    harness = connect(receiver)
    harness.feed(b"x" * (LIMIT + 1) + b"\r\n")
    assert harness.take() == b"too long\r\n"
    assert harness.write_closed
    harness.feed_eof()
    assert isinstance(receiver.reason, FrameTooLong)


@pytest.mark.parametrize("base", BASES)
def test_a_receiver_that_closes_for_a_long_line_itself_hears_the_same_reason(base: Base) -> None:
    def close(self: Lines, line: bytes) -> None:
        self.transport.close()

    receiver = limited(base, line_length_exceeded=close)
    harness = connect(receiver)
    harness.feed(b"x" * (LIMIT + 1) + b"\r\nfresh\r\n")
    harness.feed_eof()
    assert receiver.heard == []
    assert isinstance(receiver.reason, FrameTooLong)


@pytest.mark.parametrize("base", BASES)
def test_one_mebibyte_without_a_delimiter_closes_with_bounded_memory(base: Base) -> None:
    receiver = base()
    harness = connect(receiver)
    assert peak_memory(lambda: feed(harness, one_mebibyte())) < 200_000
    assert kinds(receiver) == ["too long"]
    assert len(receiver.heard[0][1]) <= 16384 + 4096
    harness.feed_eof()
    assert isinstance(receiver.reason, FrameTooLong)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("excess", [1, 2, 3, 50])
def test_discard_skips_a_long_line_and_goes_on_in_any_split(base: Base, excess: int) -> None:
    line = b"x" * (LIMIT + excess)
    for pieces in every_split(b"one\r\n" + line + b"\r\ntwo\r\n" + line + b"\r\n\r\nthree\r\n"):
        receiver = limited(base, on_too_long="discard")
        harness = connect(receiver)
        feed(harness, pieces)
        assert kinds(receiver) == ["line", "too long", "line", "too long", "line", "line"], pieces
        assert receiver.lines == [b"one", b"two", b"", b"three"]
        assert not harness.lost
        assert not harness.write_closed


@pytest.mark.parametrize("base", BASES)
def test_discard_is_not_fooled_by_delimiter_bytes_that_arrive_apart(base: Base) -> None:
    long = b"x" * LIMIT + b"\rx\n\r\r"
    for pieces in every_split(long + b"\r\nnext\r\n"):
        receiver = limited(base, on_too_long="discard")
        feed(connect(receiver), pieces)
        assert kinds(receiver) == ["too long", "line"], pieces
        assert receiver.lines == [b"next"]


@pytest.mark.parametrize("base", BASES)
def test_discard_keeps_nothing_of_what_it_skips(base: Base) -> None:
    receiver = limited(base, on_too_long="discard")
    harness = connect(receiver)
    harness.feed(b"x" * 100)
    assert peak_memory(lambda: feed(harness, one_mebibyte())) < 100_000
    harness.feed(b"\r\nnext\r\n")
    assert kinds(receiver) == ["too long", "line"]


@pytest.mark.parametrize("base", BASES)
def test_skipped_bytes_are_no_activity_for_the_idle_clock(base: Base) -> None:
    receiver = limited(base, on_too_long="discard")
    harness = connect(receiver, idle_timeout=10)
    harness.feed(b"x" * 100)
    harness.advance(6)
    harness.feed(b"x" * 100)
    harness.advance(5)
    harness.feed_eof()
    assert isinstance(receiver.reason, IdleTimeout)


@pytest.mark.parametrize("base", BASES)
def test_the_line_after_a_skipped_one_is_activity_for_the_idle_clock(base: Base) -> None:
    receiver = limited(base, on_too_long="discard")
    harness = connect(receiver, idle_timeout=10)
    harness.feed(b"x" * 100)
    harness.advance(6)
    harness.feed(b"x" * 100 + b"\r\nnext\r\n")
    harness.advance(9)
    assert not receiver.reasons
    assert not harness.write_closed


@pytest.mark.parametrize("base", BASES)
def test_the_limit_may_be_changed_on_one_receiver(base: Base) -> None:
    receiver = limited(base)
    receiver.max_length = 20
    feed(connect(receiver), [b"x" * 20 + b"\r\n"])
    assert receiver.lines == [b"x" * 20]
