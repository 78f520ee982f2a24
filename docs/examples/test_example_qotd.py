"""The quote of the day: said to each visitor, and the connection closed."""

from examples.qotd import QuoteFactory
from trioproto.errors import CloseTimeout, ConnectionDone
from trioproto.testing import Harness, State


def test_each_visitor_is_told_the_quote_and_let_go() -> None:
    harness = Harness(QuoteFactory(b"Be brief"))
    harness.connect()
    harness.expect(b"Be brief\r\n")
    assert harness.write_closed
    harness.feed_eof()
    harness.expect_lost(ConnectionDone)


def test_questions_are_not_answered() -> None:
    harness = Harness(QuoteFactory(b"Be brief"))
    harness.connect()
    harness.exchange(b"Must I?\r\n", b"Be brief\r\n")


def test_a_new_quote_is_for_who_comes_after_it() -> None:
    factory = QuoteFactory(b"yesterday's")
    first, second = Harness(factory), Harness(factory)
    first.connect()
    factory.quote = b"today's"
    second.connect()
    first.expect(b"yesterday's\r\n")
    second.expect(b"today's\r\n")


def test_a_slow_reader_gets_all_of_it() -> None:
    harness = Harness(QuoteFactory(b"Be brief"), window=2)
    harness.connect()
    harness.expect(b"Be")
    assert harness.state is State.FLUSHING
    harness.window = None
    harness.expect(b" brief\r\n")
    assert harness.write_closed


def test_who_reads_nothing_is_not_waited_for_for_ever() -> None:
    harness = Harness(QuoteFactory(b"Be brief"), window=0)
    harness.connect()
    harness.advance(60)
    harness.expect_lost(CloseTimeout)
