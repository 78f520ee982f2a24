"""Echo with no loop: nothing runs but what the test calls."""

from examples.echo import Echo
from trioproto import Factory
from trioproto.errors import ConnectionDone, IdleTimeout
from trioproto.testing import Harness, State


def test_echo() -> None:
    harness = Harness(Echo)
    harness.connect()
    harness.exchange(b"hello", b"hello")
    harness.feed_eof()
    harness.expect_lost(ConnectionDone)


def test_who_says_nothing_for_a_minute_is_closed() -> None:
    harness = Harness(Factory(Echo, idle_timeout=60))
    harness.connect()
    harness.advance(59.9)
    harness.exchange(b"still here", b"still here")
    harness.advance(60)
    assert harness.write_closed
    harness.feed_eof()
    harness.expect_lost(IdleTimeout)


def test_who_does_not_read_is_not_read_from() -> None:
    harness = Harness(Factory(Echo, high_water=10, low_water=5), window=0)
    harness.connect()
    harness.feed(b"x" * 11)
    assert not harness.reading
    harness.window = 6  # the peer reads a little
    assert harness.reading
    assert harness.take() == b"x" * 6


def test_the_end_of_the_answer_is_not_lost() -> None:
    harness = Harness(Echo, window=3)
    harness.connect()
    harness.feed(b"abcdef")
    harness.transport.close()
    assert harness.state is State.FLUSHING
    harness.window = None
    harness.expect(b"abcdef")
    assert harness.write_closed
