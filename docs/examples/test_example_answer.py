"""The answering server: a conversation, however it is cut."""

from examples.answer import Answer
from trioproto.errors import FrameTooLong
from trioproto.testing import Harness, verify_protocol

UNKNOWN = b"I don't know what you mean\r\n"


def test_it_knows_one_question_however_it_arrives() -> None:
    verify_protocol(
        Answer,
        [
            (b"How are you?\n", b"Fine\r\n"),  # nc ends a line so
            (b"How are you?\r\n", b"Fine\r\n"),  # and telnet so
            (b"How old are you?\n\n", UNKNOWN + UNKNOWN),
            (b"how are you?\nHow are you?\n", UNKNOWN + b"Fine\r\n"),
        ],
    )


def test_a_question_without_an_end_is_none() -> None:
    harness = Harness(Answer)
    harness.connect()
    harness.exchange(b"How are you?", b"")
    harness.feed_eof()
    harness.expect(b"")


def test_who_never_ends_a_line_is_let_go() -> None:
    harness = Harness(Answer)
    harness.connect()
    harness.exchange(b"x" * (Answer.max_length + 1), b"")
    assert harness.write_closed
    harness.feed_eof()
    harness.expect_lost(FrameTooLong)
