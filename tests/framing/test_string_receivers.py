"""Receivers of strings: netstrings, and strings with a length of 1, 2 or 4 bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.framing.receivers import every_split, feed
from trioproto.errors import FrameTooLong, FramingError, MalformedFrame
from trioproto.framing import (
    Int8StringReceiver,
    Int16StringReceiver,
    Int32StringReceiver,
    NetstringReceiver,
)
from trioproto.testing import Harness

Base = type[NetstringReceiver | Int8StringReceiver | Int16StringReceiver | Int32StringReceiver]
LIMIT = 12

BASES: list[Base] = [
    NetstringReceiver,
    Int8StringReceiver,
    Int16StringReceiver,
    Int32StringReceiver,
]
every_base = pytest.mark.parametrize("base", BASES)


@dataclass
class Heard:
    strings: list[bytes] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    errors: list[FramingError] = field(default_factory=list)


def connect(base: Base, **members: Any) -> tuple[Heard, Any, Harness[Any]]:
    """Connect a receiver with a limit of 12 bytes, and more members of its class."""
    heard = Heard()

    def string_received(self: Any, string: bytes) -> None:
        heard.strings.append(string)

    def length_limit_exceeded(self: Any, length: int) -> None:
        heard.lengths.append(length)

    def framing_failed(self: Any, error: FramingError) -> None:
        heard.errors.append(error)
        base.framing_failed(self, error)

    members = {
        "max_length": LIMIT,
        "string_received": string_received,
        "length_limit_exceeded": length_limit_exceeded,
        "framing_failed": framing_failed,
        **members,
    }
    receiver: Any = type("Receiver", (base,), members)()
    harness: Harness[Any] = Harness(receiver)
    harness.connect()
    return heard, receiver, harness


def head(base: Base, length: int) -> bytes:
    """The announcement of a string of *length* bytes."""
    if issubclass(base, NetstringReceiver):
        return b"%d:" % length
    return length.to_bytes(base.width, "big")


def message(base: Base, string: bytes) -> bytes:
    return head(base, len(string)) + string + b"," * (base is NetstringReceiver)


@every_base
def test_the_default_limit_is_twisteds(base: Base) -> None:
    assert base.max_length == 99_999


@every_base
@pytest.mark.parametrize("length", [0, 1, LIMIT - 1, LIMIT])
def test_a_string_up_to_the_limit_is_received(base: Base, length: int) -> None:
    string = b"x" * length
    for pieces in every_split(message(base, string) * 2):
        heard, _, harness = connect(base)
        feed(harness, pieces)
        assert heard.strings == [string, string], pieces
        assert not harness.write_closed


@every_base
@pytest.mark.parametrize("length", [LIMIT + 1, 50, 99])
def test_a_longer_one_is_told_at_once_before_its_body(base: Base, length: int) -> None:
    data = message(base, b"ok") + head(base, length)
    for pieces in every_split(data):
        heard, _, harness = connect(base)
        feed(harness, pieces)
        assert heard.strings == [b"ok"], pieces
        assert heard.lengths == [length]
        assert harness.write_closed
        harness.feed_eof()
        reason = harness.reason
        assert isinstance(reason, FrameTooLong)
        assert (reason.limit, reason.announced) == (LIMIT, length)


def test_of_a_netstring_with_too_many_digits_the_length_is_a_bound() -> None:
    heard, _, harness = connect(NetstringReceiver)
    harness.feed(b"123")
    assert heard.lengths == [LIMIT + 1]
    assert isinstance(harness.reason, FrameTooLong)


@every_base
def test_the_body_of_a_longer_one_is_neither_kept_nor_delivered(base: Base) -> None:
    heard, receiver, harness = connect(base)
    harness.feed(head(base, LIMIT + 1) + b"x" * (LIMIT + 1) + message(base, b"ok"))
    harness.feed(message(base, b"ok"))
    assert heard.strings == []
    assert heard.lengths == [LIMIT + 1]
    assert receiver.codec.pending == 0


@every_base
def test_a_last_word_may_be_written_to_who_sends_too_much(base: Base) -> None:
    def last_word(self: Any, length: int) -> None:
        self.send_string(b"%d!" % length)

    _, _, harness = connect(base, length_limit_exceeded=last_word)
    harness.feed(head(base, 20))
    assert harness.take() == message(base, b"20!")
    assert harness.write_closed
    assert isinstance(harness.reason, FrameTooLong)


@every_base
def test_whoever_closes_then_hears_the_same_reason(base: Base) -> None:
    def close(self: Any, length: int) -> None:
        self.transport.close()

    _, _, harness = connect(base, length_limit_exceeded=close)
    harness.feed(head(base, 20))
    harness.feed_eof()
    assert isinstance(harness.reason, FrameTooLong)


def test_a_malformed_netstring_is_no_matter_of_length() -> None:
    heard, _, harness = connect(NetstringReceiver)
    harness.feed(b"2:ok,01:a,2:ok,")
    assert heard.strings == [b"ok"]
    assert heard.lengths == []
    (error,) = heard.errors
    assert isinstance(error, MalformedFrame)
    harness.feed_eof()
    assert harness.reason is error


@every_base
@pytest.mark.parametrize("string", [b"", b"a", b"\x00\xff", b"x" * 200])
def test_strings_are_sent_with_their_length(base: Base, string: bytes) -> None:
    """The limit is for what is received."""
    _, receiver, harness = connect(base)
    receiver.send_string(string)
    harness.advance(0)
    assert harness.take() == message(base, string)


@every_base
def test_an_echo_of_the_wire_is_the_wire(base: Base) -> None:
    def echo(self: Any, string: bytes) -> None:
        self.send_string(string)

    data = b"".join(message(base, string) for string in (b"", b"one", b"x" * LIMIT, b""))
    for pieces in every_split(data):
        _, _, harness = connect(base, string_received=echo)
        feed(harness, pieces)
        assert harness.take() == data


@every_base
def test_sending_text_is_refused_and_writes_nothing(base: Base) -> None:
    _, receiver, harness = connect(base)
    with pytest.raises(TypeError):
        receiver.send_string("text")
    harness.advance(0)
    assert harness.take() == b""


@every_base
def test_sending_after_loss_does_nothing(base: Base) -> None:
    _, receiver, harness = connect(base)
    harness.reset()
    receiver.send_string(b"too late")
    assert harness.take() == b""


@every_base
def test_a_receiver_works_when_its_init_does_not_call_super(base: Base) -> None:
    def init(self: Any) -> None:
        self.name = "mine"

    heard, receiver, harness = connect(base, __init__=init)
    harness.feed(message(base, b"ok"))
    assert heard.strings == [b"ok"]
    assert receiver.name == "mine"
