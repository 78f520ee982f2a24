"""The chat: who is there hears the others; several harnesses are several visitors."""

from typing import Any

from examples.chat import ChatFactory
from trioproto.errors import OutboundOverflow
from trioproto.testing import Harness, State


def visitor(factory: ChatFactory) -> Harness[Any]:
    harness: Harness[Any] = Harness(factory)
    harness.connect()
    harness.expect(b"What is your name?\r\n")
    return harness


def test_all_others_hear_who_comes_speaks_and_leaves() -> None:
    factory = ChatFactory()
    anna, ben, nameless = (visitor(factory) for _ in range(3))
    anna.exchange(b"Anna\n", b"Welcome, Anna! Here are: Anna\r\n")
    ben.exchange(b"Ben\r\n", b"Welcome, Ben! Here are: Anna, Ben\r\n")
    anna.expect(b"* Ben has come\r\n")
    anna.exchange(b"Hello\n\nAll well?\n", b"")
    ben.expect(b"<Anna> Hello\r\n<Anna> All well?\r\n")
    ben.exchange("Grüße \x1b[31m\n".encode(), b"")
    anna.expect("<Ben> Grüße [31m\r\n".encode())
    ben.feed_eof()
    anna.expect(b"* Ben has left\r\n")
    nameless.expect(b"")


def test_a_name_is_given_once_and_free_when_its_owner_has_left() -> None:
    factory = ChatFactory()
    anna, other = visitor(factory), visitor(factory)
    anna.exchange(b"Anna\n", b"Welcome, Anna! Here are: Anna\r\n")
    other.exchange(b" \nAnna\n", b"That name is taken. What is your name?\r\n")
    anna.reset()
    other.exchange(b"Anna\n", b"Welcome, Anna! Here are: Anna\r\n")


def test_a_reader_who_is_too_far_behind_is_dropped() -> None:
    factory = ChatFactory()
    anna, slow = visitor(factory), visitor(factory)
    anna.feed(b"Anna\n")
    slow.window = 0
    slow.feed(b"Slow\n")
    anna.expect(b"Welcome, Anna! Here are: Anna\r\n* Slow has come\r\n")
    said = 0
    while slow.state is State.OPEN:
        anna.feed(b"x" * 900 + b"\n")
        said += len(b"<Anna> \r\n") + 900
    slow.expect_lost(OutboundOverflow)
    anna.expect(b"* Slow has left\r\n")
    assert abs(said - 1024 * 1024) < 2000


def test_listening_is_no_reason_to_be_let_go() -> None:
    quiet = visitor(ChatFactory())
    quiet.advance(24 * 60 * 60)
    assert quiet.state is State.OPEN
