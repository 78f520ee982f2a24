"""Discard: nothing is answered, nothing is kept, and silence has an end."""

from examples.discard import DiscardFactory
from trioproto.errors import ConnectionDone, IdleTimeout
from trioproto.testing import Harness


def test_whatever_comes_is_neither_answered_nor_kept() -> None:
    harness = Harness(DiscardFactory())
    harness.connect()
    for data in (b"\0", b"hello\r\n", bytes(100_000)):
        harness.exchange(data, b"")
        assert harness.reading
    harness.feed_eof()
    harness.expect_lost(ConnectionDone)


def test_who_is_silent_for_ten_minutes_is_let_go() -> None:
    harness = Harness(DiscardFactory())
    harness.connect()
    for _ in range(3):
        harness.advance(599.9)
        harness.feed(b"\0")  # a byte starts the time again
    harness.advance(599.9)
    assert not harness.write_closed
    harness.advance(0.1)
    assert harness.write_closed
    harness.feed_eof()
    harness.expect_lost(IdleTimeout)
