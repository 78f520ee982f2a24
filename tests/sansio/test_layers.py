"""Layers: bytes pass through them both ways, and they are ready first."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioproto.errors import (
    CallbackError,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    HandshakeTimeout,
    IdleTimeout,
    MalformedFrame,
    ServerCancelled,
    ServerDraining,
    WriteTimeout,
)
from trioproto.sansio.layer import Layer
from trioproto.testing import Harness
from trioproto.testing.conformance.recorder import Recorder, keep_open, never


class Xor(Layer):
    """Flips bits; ready at once."""

    def __init__(self, key: int) -> None:
        self.key = key

    def receive(self, data: bytes) -> bytes:
        return self.send(data)

    def send(self, data: bytes | memoryview) -> bytes:
        return bytes(each ^ self.key for each in data)


class Knock(Layer):
    """Says ``?`` and is ready once the peer has answered ``!``; anything else is refused."""

    def __init__(self) -> None:
        self.ready = False
        self.says = b"?"

    def receive(self, data: bytes) -> bytes:
        if self.ready:
            return data
        if data[:1] != b"!":
            raise MalformedFrame("no knock", 0)
        self.ready = True
        return data[1:]

    def send(self, data: bytes | memoryview) -> bytes:
        assert self.ready, "nothing of the protocol's passes before"
        return bytes(data)

    def output(self) -> bytes:
        says, self.says = self.says, b""
        return says


def connected(
    protocol: Recorder, *layers: Layer, window: int | None = None, **settings: Any
) -> Harness[Any]:
    harness: Harness[Any] = Harness(protocol, window=window, layers=layers, **settings)
    harness.connect()
    return harness


def flipped(data: bytes, key: int = 0x55) -> bytes:
    return bytes(each ^ key for each in data)


def test_bytes_pass_through_a_layer_both_ways() -> None:
    protocol = Recorder(data_received=lambda self: self.transport.write(self.chunks[-1].upper()))
    harness = connected(protocol, Xor(0x55))
    harness.feed(flipped(b"shout"))
    assert protocol.received == b"shout"
    assert harness.take() == flipped(b"SHOUT")


def test_layers_are_in_order_from_the_stream_up() -> None:
    protocol = Recorder()
    harness = connected(protocol, Knock(), Xor(0x55))
    harness.feed(b"!" + flipped(b"after"))
    assert protocol.received == b"after"
    harness.transport.write(b"answer")
    assert harness.take() == b"?" + flipped(b"answer")


@given(st.lists(st.binary(min_size=1)), st.lists(st.one_of(st.none(), st.integers(0, 30))))
def test_any_chunks_and_windows_give_the_same_bytes(
    chunks: list[bytes], windows: list[int | None]
) -> None:
    protocol = Recorder(data_received=lambda self: self.transport.write(self.chunks[-1]))
    protocol.auto_pause = False
    harness = connected(protocol, Xor(0x55), Xor(0x0F), window=0)
    for chunk in chunks:
        harness.feed(flipped(chunk, 0x5A))
        harness.window = windows.pop() if windows else 1
    harness.window = None
    assert protocol.received == b"".join(chunks)
    assert harness.take() == flipped(b"".join(chunks), 0x5A)
    assert harness.transport.buffered == 0


def test_connection_made_waits_until_the_layer_is_ready() -> None:
    protocol = Recorder()
    harness = connected(protocol, Knock())
    assert protocol.heard == []
    assert harness.reading
    assert harness.take() == b"?"
    harness.feed(b"!")
    assert protocol.heard == ["connection_made"]


def test_what_comes_with_the_last_byte_of_the_handshake_comes_after_connection_made() -> None:
    protocol = Recorder()
    harness = connected(protocol, Knock())
    harness.feed(b"!hello")
    assert protocol.heard == ["connection_made", "data_received"]
    assert protocol.received == b"hello"


def test_what_comes_with_the_last_byte_is_not_delivered_to_who_closes() -> None:
    protocol = Recorder(connection_made=lambda self: self.transport.close(), data_received=never)
    harness = connected(protocol, Knock())
    harness.feed(b"!hello")
    assert harness.write_closed


def test_what_comes_with_the_last_byte_waits_while_the_protocol_pauses() -> None:
    protocol = Recorder(connection_made=lambda self: self.transport.pause_reading())
    harness = connected(protocol, Knock())
    harness.feed(b"!hello")
    assert protocol.received == b""
    harness.transport.resume_reading()
    assert protocol.received == b"hello"


def test_a_write_before_the_handshake_is_over_does_not_leave_in_the_clear() -> None:
    """To who is in no callback yet, say from another connection."""
    harness = connected(Recorder(), Knock())
    harness.transport.write(b"secret")
    assert harness.take() == b"?"


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (lambda harness: harness.feed(b"GET /"), MalformedFrame),
        (lambda harness: harness.advance(10), HandshakeTimeout),
        (lambda harness: harness.feed_eof(), ConnectionLost),
        (lambda harness: harness.reset(), ConnectionLost),
        (lambda harness: (harness.drain(), harness.advance(2)), ServerDraining),
        (lambda harness: harness.cancel(), ServerCancelled),
    ],
)
def test_if_the_handshake_fails_the_protocol_hears_nothing(
    end: Callable[[Harness[Any]], None], kind: type[ConnectionClosed]
) -> None:
    protocol = Recorder()
    harness = connected(protocol, Knock())
    end(harness)
    assert harness.lost
    assert type(harness.reason) is kind
    assert protocol.heard == []
    assert len(harness.factory.connections) == 0
    assert harness.transport.deadline == float("inf")  # type: ignore[attr-defined]


def test_a_connection_is_in_the_books_only_once_the_handshake_is_over() -> None:
    harness = connected(Recorder(), Knock())
    assert len(harness.factory.connections) == 0
    harness.feed(b"!")
    assert len(harness.factory.connections) == 1


def test_the_handshake_has_its_own_time_however_much_the_peer_sends() -> None:
    class Slow(Knock):
        def receive(self, data: bytes) -> bytes:
            return b""

    harness = connected(Recorder(), Slow(), handshake_timeout=10, idle_timeout=3)
    for _ in range(9):
        harness.advance(1.1)
        harness.feed(b".")
    assert not harness.lost
    harness.advance(0.2)
    assert type(harness.reason) is HandshakeTimeout
    assert harness.reason.seconds == 10


def test_the_handshake_may_last_for_ever_if_so_set() -> None:
    harness = connected(Recorder(), Knock(), handshake_timeout=None, idle_timeout=None)
    harness.advance(1e6)
    assert not harness.lost


def test_after_the_handshake_the_idle_clock_counts() -> None:
    harness = connected(Recorder(), Knock(), idle_timeout=3)
    harness.advance(9)
    harness.feed(b"!")
    harness.advance(2.9)
    assert not harness.transport.closing
    harness.advance(0.2)
    assert type(harness.reason) is IdleTimeout


def test_a_peer_that_takes_nothing_of_the_handshake_is_a_write_timeout() -> None:
    harness = connected(Recorder(), Knock(), window=0, handshake_timeout=100, write_timeout=5)
    harness.advance(5)
    assert type(harness.reason) is WriteTimeout


def test_output_that_waits_for_the_handshake_does_not_count_as_stuck() -> None:
    harness = connected(Recorder(), Knock(), handshake_timeout=100, write_timeout=5)
    harness.transport.write(b"too early")
    harness.advance(99.5)
    assert not harness.transport.closing
    harness.advance(0.5)
    assert type(harness.reason) is HandshakeTimeout


def test_output_that_waited_for_the_handshake_has_all_its_time_after_it() -> None:
    harness = connected(Recorder(), Knock(), handshake_timeout=100, write_timeout=5)
    harness.transport.write(b"too early")
    harness.window = 3
    harness.advance(50)
    harness.feed(b"!")
    assert harness.take() == b"?too"
    harness.window = 0
    harness.advance(4.5)
    assert not harness.transport.closing
    harness.advance(0.5)
    assert type(harness.reason) is WriteTimeout


@pytest.mark.parametrize("method", ["receive", "send", "output", "end"])
def test_a_defect_of_a_layer_ends_its_connection_and_raises_in_no_driver(
    method: str, logged_errors: list[logging.LogRecord]
) -> None:
    class Defective(Xor):
        news = True

    def fails(*_args: object) -> bytes:
        raise ZeroDivisionError("a defect")

    protocol = Recorder(data_received=lambda self: self.transport.write(b"answer"))
    layer = Defective(0x55)
    harness = connected(protocol, layer, callback_errors="log")
    setattr(layer, method, fails)
    harness.feed(b"hello")
    harness.transport.close()
    assert type(protocol.reason) is CallbackError
    assert type(protocol.reason.__cause__) is ZeroDivisionError
    assert harness.transport.broken
    (record,) = logged_errors
    assert "Defective" in record.getMessage()
    assert record.exc_info is not None


def test_a_layer_may_end_the_connection_later_and_its_reason_is_kept() -> None:
    class Fussy(Xor):
        def receive(self, data: bytes) -> bytes:
            if b"\xff" in data:
                raise MalformedFrame("no such byte", data.index(b"\xff"))
            return super().receive(data)

    protocol = Recorder()
    harness = connected(protocol, Fussy(0))
    harness.feed(b"good")
    harness.feed(b"ba\xffd")
    assert protocol.received == b"good"
    assert type(protocol.reason) is MalformedFrame
    assert protocol.reason.offset == 2
    assert harness.transport.broken


def test_a_close_sends_what_waits_through_the_layer_and_then_our_eof() -> None:
    protocol = Recorder()
    harness = connected(protocol, Xor(0x55), window=3)
    harness.transport.write(b"to the end")
    harness.transport.close()
    assert harness.transport.buffered == 7
    assert not harness.write_closed
    harness.window = None
    assert harness.take() == flipped(b"to the end")
    assert harness.write_closed
    harness.feed_eof()
    assert type(protocol.reason) is ConnectionDone


def test_the_water_marks_count_what_waits_below_the_layers_too() -> None:
    protocol = Recorder()
    harness = connected(protocol, Xor(0x55), window=0, high_water=10, low_water=5)
    harness.transport.write(bytes(6))
    harness.transport.write(bytes(6))
    assert harness.transport.buffered == 12
    assert protocol.heard[-1] == "pause_writing"
    assert not harness.reading
    harness.window = 7
    assert protocol.heard[-1] == "resume_writing"
    assert harness.reading


def test_too_much_output_counts_what_waits_below_the_layers_too() -> None:
    protocol = Recorder()
    harness = connected(protocol, Xor(0x55), window=0, high_water=10, low_water=5, max_buffered=100)
    for _ in range(20):
        harness.transport.write(bytes(20))
    assert harness.transport.closing
    assert harness.transport.buffered <= 120


def test_an_abort_drops_what_waits_below_the_layers_too() -> None:
    protocol = Recorder(data_received=lambda self: self.transport.abort())
    harness = connected(protocol, Xor(0x55), window=3)
    harness.transport.write(b"abcdef")
    harness.feed(b"stop")
    harness.window = None
    assert harness.take() == flipped(b"abc")
    assert harness.transport.buffered == 0
    assert harness.factory._buffered == 0


def test_an_eof_above_a_layer_may_be_kept_open() -> None:
    protocol = Recorder(eof_received=keep_open)
    harness = connected(protocol, Xor(0x55))
    harness.feed_eof()
    harness.transport.write(b"still here")
    assert harness.take() == flipped(b"still here")
