"""Lines: pauses, endings and errors in the middle of a chunk."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.framing.receivers import Lines, connect, every_split, feed
from trioproto.errors import AsyncCallbackError, CallbackError, ConnectionAborted, ConnectionDone
from trioproto.framing import LineReceiver


class PausesAtEach(Lines):
    def line_received(self, line: bytes) -> None:
        super().line_received(line)
        self.transport.pause_reading()


def test_a_pause_stops_after_that_line_within_a_chunk() -> None:
    receiver = PausesAtEach()
    harness = connect(receiver)
    harness.feed(b"one\r\ntwo\r\nthree\r\n")
    assert receiver.lines == [b"one"]
    assert not harness.reading


def test_resuming_goes_on_in_order_one_pause_at_a_time() -> None:
    receiver = PausesAtEach()
    harness = connect(receiver)
    harness.feed(b"one\r\ntwo\r\nthree\r\n")
    for expected in ([b"one", b"two"], [b"one", b"two", b"three"]):
        receiver.transport.resume_reading()
        harness.advance(0)
        assert receiver.lines == expected
    receiver.transport.resume_reading()
    harness.advance(0)
    assert harness.reading
    harness.feed(b"four\r\n")
    assert receiver.lines[-1] == b"four"


def test_pausing_and_resuming_within_the_callback_goes_on_at_once() -> None:
    class Flicker(Lines):
        def line_received(self, line: bytes) -> None:
            super().line_received(line)
            self.transport.pause_reading()
            self.transport.resume_reading()

    receiver = Flicker()
    harness = connect(receiver)
    harness.feed(b"one\r\ntwo\r\nthree\r\n")
    assert receiver.lines == [b"one", b"two", b"three"]
    assert harness.reading


def test_a_pause_also_holds_raw_data_of_the_same_chunk() -> None:
    class Pause(Lines):
        def line_received(self, line: bytes) -> None:
            super().line_received(line)
            self.set_raw_mode()
            self.transport.pause_reading()

    receiver = Pause()
    harness = connect(receiver)
    harness.feed(b"one\r\nraw")
    assert receiver.heard == [("line", b"one")]
    receiver.transport.resume_reading()
    harness.advance(0)
    assert receiver.heard == [("line", b"one"), ("raw", b"raw")]


def test_a_pause_in_any_split_loses_nothing() -> None:
    data = b"one\r\ntwo\r\n\r\nthree\r\n"
    for pieces in every_split(data):
        receiver = PausesAtEach()
        harness = connect(receiver)
        for piece in pieces:
            while not harness.reading:
                receiver.transport.resume_reading()
                harness.advance(0)
            harness.feed(piece)
        while not harness.reading:
            receiver.transport.resume_reading()
            harness.advance(0)
        assert receiver.lines == [b"one", b"two", b"", b"three"], pieces


def test_eof_during_a_pause_comes_after_the_lines_that_wait() -> None:
    class Pause(PausesAtEach):
        def eof_received(self) -> None:
            self.heard.append(("eof", b""))

    receiver = Pause()
    harness = connect(receiver)
    harness.feed(b"one\r\ntwo\r\n")
    harness.feed_eof()
    assert receiver.heard == [("line", b"one")]
    receiver.transport.resume_reading()
    harness.advance(0)
    assert receiver.lines == [b"one", b"two"]
    receiver.transport.resume_reading()
    harness.advance(0)
    assert receiver.heard == [("line", b"one"), ("line", b"two"), ("eof", b"")]
    assert type(receiver.reason) is ConnectionDone


@pytest.mark.parametrize(
    ("ending", "reason"), [("close", ConnectionDone), ("abort", ConnectionAborted)]
)
def test_nothing_comes_after_the_line_that_ends_the_connection(
    ending: str, reason: type[Exception]
) -> None:
    class End(Lines):
        def line_received(self, line: bytes) -> None:
            super().line_received(line)
            if line == b"quit":
                getattr(self.transport, ending)()

    for pieces in every_split(b"one\r\nquit\r\ntwo\r\nhalf"):
        receiver = End()
        harness = connect(receiver)
        feed(harness, pieces)
        if not harness.lost:
            harness.feed(b"three\r\n")
            harness.feed_eof()
        assert receiver.lines == [b"one", b"quit"], pieces
        assert type(receiver.reason) is reason


@pytest.mark.parametrize("ending", ["close", "abort"])
def test_nothing_comes_after_the_raw_data_that_ends_the_connection(ending: str) -> None:
    class End(Lines):
        def connection_made(self) -> None:
            self.set_raw_mode()

        def raw_data_received(self, data: bytes) -> None:
            super().raw_data_received(data)
            getattr(self.transport, ending)()
            self.set_line_mode(b"more\r\n")

    receiver = End()
    harness = connect(receiver)
    harness.feed(b"raw")
    if not harness.lost:
        harness.feed(b"more\r\n")
    assert receiver.heard == [("raw", b"raw")]


def test_a_close_during_a_pause_drops_the_lines_that_wait() -> None:
    receiver = PausesAtEach()
    harness = connect(receiver)
    harness.feed(b"one\r\ntwo\r\n")
    receiver.transport.close()
    receiver.transport.resume_reading()
    harness.advance(0)
    harness.feed_eof()
    assert receiver.lines == [b"one"]
    assert type(receiver.reason) is ConnectionDone


def test_an_error_is_never_followed_by_the_same_line_again(
    logged_errors: list[logging.LogRecord],
) -> None:
    class Fails(Lines):
        def line_received(self, line: bytes) -> None:
            super().line_received(line)
            raise RuntimeError(line)

    receiver = Fails()
    harness = connect(receiver, callback_errors="log")
    harness.feed(b"one\r\ntwo\r\n")
    assert harness.lost
    assert receiver.lines == [b"one"]
    assert isinstance(receiver.reason, CallbackError)
    assert isinstance(receiver.reason.__cause__, RuntimeError)
    assert receiver.reason.__cause__.args == (b"one",)
    assert len(logged_errors) == 1


def test_an_error_comes_out_of_the_harness_and_does_not_repeat_the_line() -> None:
    class Fails(Lines):
        def line_received(self, line: bytes) -> None:
            super().line_received(line)
            raise RuntimeError(line)

    receiver = Fails()
    harness = connect(receiver)
    with pytest.raises(RuntimeError):
        harness.feed(b"one\r\ntwo\r\n")
    assert receiver.lines == [b"one"]
    assert isinstance(receiver.reason, CallbackError)


def test_an_async_line_received_needs_a_loop_and_the_harness_says_so() -> None:
    class Async(LineReceiver):
        async def line_received(self, line: bytes) -> None:
            raise AssertionError("must not run")

    harness = connect(Async())
    with pytest.raises(AsyncCallbackError):
        harness.feed(b"one\r\n")


def test_a_callback_that_returns_a_value_is_a_type_error() -> None:
    class Wrong(Lines):
        def line_received(self, line: bytes) -> Any:
            return 1

    harness = connect(Wrong())
    with pytest.raises(TypeError):
        harness.feed(b"one\r\n")
