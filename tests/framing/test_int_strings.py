"""Int8, Int16 and Int32 strings: what their prefix is, and what it can say."""

from __future__ import annotations

from typing import Any

import pytest

from trioproto.errors import FrameTooLong, StringTooLong
from trioproto.framing import (
    Int8StringReceiver,
    Int16StringReceiver,
    Int32StringReceiver,
    LengthFieldReceiver,
)
from trioproto.testing import Harness, verify_protocol


class Echo8(Int8StringReceiver):
    def string_received(self, string: bytes) -> None:
        self.send_string(string)


class Echo16(Int16StringReceiver):
    def string_received(self, string: bytes) -> None:
        self.send_string(string)


class Echo32(Int32StringReceiver):
    def string_received(self, string: bytes) -> None:
        self.send_string(string)


class EchoFrames(LengthFieldReceiver):
    def frame_received(self, frame: bytes) -> None:
        self.send_frame(frame)


WIRES: list[tuple[Any, list[bytes]]] = [
    (Echo8, [b"\x00", b"\x01a", b"\x02\x00\xff"]),
    (Echo16, [b"\x00\x00", b"\x00\x01a", b"\x01\x00" + b"x" * 256]),
    (Echo32, [b"\x00" * 4, b"\x00\x00\x00\x01a", b"\x00\x00\x01\x00" + b"x" * 256]),
    (EchoFrames, [b"\x00" * 4, b"\x00\x00\x00\x01a", b"\x00\x00\x01\x00" + b"x" * 256]),
]


@pytest.mark.parametrize(("receiver", "wire"), WIRES)
def test_the_prefix_is_big_endian_and_counts_the_string_only(
    receiver: Any, wire: list[bytes]
) -> None:
    verify_protocol(receiver, [(message, message) for message in wire])


@pytest.mark.parametrize(
    ("base", "most"), [(Int8StringReceiver, 255), (Int16StringReceiver, 65535)]
)
def test_the_longest_string_that_the_prefix_can_say_is_sent_and_received(
    base: type[Int8StringReceiver | Int16StringReceiver], most: int
) -> None:
    received = []
    receiver_class: Any = type(
        "Receiver", (base,), {"string_received": lambda self, string: received.append(string)}
    )
    sender = Harness(base())
    sender.connect().send_string(b"x" * most)
    sender.advance(0)
    harness: Harness[Any] = Harness(receiver_class())
    harness.connect()
    harness.feed(sender.take())
    assert received == [b"x" * most]


@pytest.mark.parametrize(
    ("base", "most"), [(Int8StringReceiver, 255), (Int16StringReceiver, 65535)]
)
def test_what_the_prefix_cannot_say_is_refused_and_nothing_is_written(
    base: type[Int8StringReceiver | Int16StringReceiver], most: int
) -> None:
    harness = Harness(base())
    receiver = harness.connect()
    with pytest.raises(StringTooLong) as refused:
        receiver.send_string(b"x" * (most + 1))
    assert (refused.value.length, refused.value.limit) == (most + 1, most)
    receiver.send_string(b"ok")
    harness.advance(0)
    assert harness.take().endswith(b"\x02ok")


def test_an_int32_string_above_the_default_limit_is_refused() -> None:
    lengths = []

    class Receiver(Int32StringReceiver):
        def length_limit_exceeded(self, length: int) -> None:
            lengths.append(length)

    for length in (100_000, 2**31, 2**32 - 1):
        harness = Harness(Receiver())
        harness.connect()
        harness.feed(length.to_bytes(4, "big"))
        assert lengths.pop() == length
        assert isinstance(harness.reason, FrameTooLong)


def test_a_string_of_the_default_limit_is_received() -> None:
    received = []

    class Receiver(Int32StringReceiver):
        def string_received(self, string: bytes) -> None:
            received.append(string)

    harness = Harness(Receiver())
    harness.connect()
    harness.feed((99_999).to_bytes(4, "big") + b"x" * 99_998)
    assert received == []
    harness.feed(b"xy")
    assert received == [b"x" * 99_999]


def test_the_limit_of_one_receiver_may_be_changed() -> None:
    receiver = Echo32()
    receiver.max_length = 200_000
    harness = Harness(receiver)
    harness.connect()
    message = (150_000).to_bytes(4, "big") + b"x" * 150_000
    harness.feed(message)
    assert harness.take() == message
