"""Lines: raw mode, line mode, and taking the buffer."""

from __future__ import annotations

import pytest

from tests.framing.receivers import Lines, connect, every_split, feed
from trioproto.errors import ConnectionDone, IncompleteFrame


class Body(Lines):
    """A line with a number announces that many raw bytes; then lines again."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted = 0

    def line_received(self, line: bytes) -> None:
        super().line_received(line)
        if line.isdigit():
            self.wanted = int(line)
            self.set_raw_mode()

    def raw_data_received(self, data: bytes) -> None:
        body, rest = data[: self.wanted], data[self.wanted :]
        self.wanted -= len(body)
        super().raw_data_received(body)
        if not self.wanted:
            self.set_line_mode(rest)


def test_raw_and_line_mode_switch_within_one_chunk_in_any_split() -> None:
    data = b"one\r\n5\r\na\r\nbctwo\r\n2\r\n\r\n3\r\nxyz\r\nend"
    for pieces in every_split(data):
        receiver = Body()
        feed(connect(receiver), pieces)
        assert receiver.heard == [
            ("line", b"one"),
            ("line", b"5"),
            ("raw", b"a\r\nbc"),
            ("line", b"two"),
            ("line", b"2"),
            ("raw", b"\r\n"),
            ("line", b"3"),
            ("raw", b"xyz"),
            ("line", b""),
        ], pieces


def test_raw_data_is_the_whole_rest_of_the_chunk_and_never_empty() -> None:
    class Raw(Lines):
        def __init__(self) -> None:
            super().__init__()
            self.raw: list[bytes] = []

        def line_received(self, line: bytes) -> None:
            self.set_raw_mode()

        def raw_data_received(self, data: bytes) -> None:
            self.raw.append(data)

    receiver = Raw()
    harness = connect(receiver)
    harness.feed(b"go\r\nthe\r\nrest")
    harness.feed(b"more")
    assert receiver.raw == [b"the\r\nrest", b"more"]

    receiver = Raw()
    harness = connect(receiver)
    harness.feed(b"go\r\n")
    assert receiver.raw == []
    harness.feed(b"x")
    assert receiver.raw == [b"x"]


def test_the_length_limit_does_not_count_in_raw_mode() -> None:
    class Raw(Lines):
        max_length = 10

        def connection_made(self) -> None:
            self.set_raw_mode()

    receiver = Raw()
    harness = connect(receiver)
    harness.feed(b"x" * 100)
    assert receiver.heard == [("raw", b"x" * 100)]
    assert not harness.write_closed


def test_eof_in_raw_mode_cuts_off_no_line() -> None:
    receiver = Lines()
    harness = connect(receiver)
    receiver.set_raw_mode()
    harness.feed(b"no newline")
    harness.feed_eof()
    assert receiver.heard == [("raw", b"no newline")]
    assert type(receiver.reason) is ConnectionDone


def test_raw_mode_from_outside_hands_over_the_unfinished_line() -> None:
    receiver = Lines()
    harness = connect(receiver)
    harness.feed(b"one\r\nhalf")
    receiver.set_raw_mode()
    harness.feed(b"more\r\n")
    assert receiver.heard == [("line", b"one"), ("raw", b"halfmore\r\n")]


def test_extra_for_line_mode_comes_before_what_is_still_buffered() -> None:
    class Insert(Lines):
        def line_received(self, line: bytes) -> None:
            super().line_received(line)
            if line == b"a":
                self.set_line_mode(b"x\r\ny\r\n")

    receiver = Insert()
    feed(connect(receiver), [b"a\r\nb\r\nc\r\n"])
    assert receiver.lines == [b"a", b"x", b"y", b"b", b"c"]


def test_extra_for_line_mode_may_end_in_half_a_line() -> None:
    class Insert(Lines):
        def line_received(self, line: bytes) -> None:
            super().line_received(line)
            if line == b"a":
                self.set_line_mode(b"x\r\nhal")

    receiver = Insert()
    feed(connect(receiver), [b"a\r\nf\r\nc\r\n"])
    assert receiver.lines == [b"a", b"x", b"half", b"c"]


def test_line_mode_from_outside_parses_extra_next() -> None:
    receiver = Lines()
    harness = connect(receiver)
    receiver.set_raw_mode()
    harness.feed(b"raw")
    receiver.set_line_mode(b"one\r\ntw")
    harness.advance(0)
    harness.feed(b"o\r\n")
    assert receiver.heard == [("raw", b"raw"), ("line", b"one"), ("line", b"two")]


def test_extra_lines_neither_nest_nor_exhaust_the_stack() -> None:
    class Count(Lines):
        inside = False

        def line_received(self, line: bytes) -> None:
            assert not self.inside
            self.inside = True
            super().line_received(line)
            if int(line):
                self.set_line_mode(b"%d\r\n" % (int(line) - 1))
            self.inside = False

    receiver = Count()
    feed(connect(receiver), [b"5000\r\n"])
    assert len(receiver.lines) == 5001


def test_modes_that_alternate_neither_nest_nor_exhaust_the_stack() -> None:
    class Alternate(Lines):
        def line_received(self, line: bytes) -> None:
            super().line_received(line)
            self.set_raw_mode()

        def raw_data_received(self, data: bytes) -> None:
            self.set_line_mode(data)

    receiver = Alternate()
    feed(connect(receiver), [b"x\r\n" * 5000])
    assert len(receiver.lines) == 5000


def test_clear_line_buffer_returns_what_is_unparsed() -> None:
    receiver = Lines()
    harness = connect(receiver)
    harness.feed(b"one\r\nhal")
    assert receiver.clear_line_buffer() == b"hal"
    assert receiver.clear_line_buffer() == b""
    harness.feed(b"f\r\n")
    assert receiver.lines == [b"one", b"f"]


def test_clear_line_buffer_in_a_callback_returns_the_unparsed_rest_of_the_chunk() -> None:
    class Clear(Lines):
        cleared = b""

        def line_received(self, line: bytes) -> None:
            super().line_received(line)
            if line == b"stop":
                self.cleared = self.clear_line_buffer()

    receiver = Clear()
    harness = connect(receiver)
    harness.feed(b"one\r\nstop\r\ntwo\r\nthree\r\nhal")
    assert receiver.lines == [b"one", b"stop"]
    assert receiver.cleared == b"two\r\nthree\r\nhal"
    harness.feed(b"next\r\n")
    assert receiver.lines == [b"one", b"stop", b"next"]


def test_clear_line_buffer_while_paused_returns_the_lines_that_wait() -> None:
    class Pause(Lines):
        def line_received(self, line: bytes) -> None:
            super().line_received(line)
            self.transport.pause_reading()

    receiver = Pause()
    harness = connect(receiver)
    harness.feed(b"one\r\ntwo\r\nhal")
    assert receiver.clear_line_buffer() == b"two\r\nhal"
    receiver.transport.resume_reading()
    harness.advance(0)
    harness.feed(b"three\r\n")
    assert receiver.lines == [b"one", b"three"]


def test_a_cleared_buffer_is_no_incomplete_line() -> None:
    receiver = Lines()
    harness = connect(receiver)
    harness.feed(b"half")
    receiver.clear_line_buffer()
    harness.feed_eof()
    assert type(receiver.reason) is ConnectionDone


def test_eof_after_extra_that_is_half_a_line_is_incomplete() -> None:
    receiver = Lines()
    harness = connect(receiver)
    receiver.set_line_mode(b"half")
    harness.feed_eof()
    assert isinstance(receiver.reason, IncompleteFrame)
    assert receiver.reason.pending == 4


@pytest.mark.parametrize("ending", ["close", "abort"])
def test_extra_is_not_parsed_after_close(ending: str) -> None:
    class End(Lines):
        def line_received(self, line: bytes) -> None:
            super().line_received(line)
            getattr(self.transport, ending)()
            self.set_line_mode(b"more\r\n")

    receiver = End()
    harness = connect(receiver)
    harness.feed(b"one\r\ntwo\r\n")
    harness.advance(0)
    assert receiver.lines == [b"one"]
