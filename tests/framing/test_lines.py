"""Lines: what is a line, in any split."""

from __future__ import annotations

from typing import Any

import pytest

from tests.framing.receivers import Lines, OnlyLines, connect, every_split, feed
from trioproto.errors import ConnectionDone, IncompleteFrame
from trioproto.framing import LineOnlyReceiver, LineReceiver

CASES = [
    (b"a\r\nb\r\n", [b"a", b"b"], 0),
    (b"\r\n", [b""], 0),
    (b"\r\n\r\n", [b"", b""], 0),
    (b"a\r\n\r\nb\r\n", [b"a", b"", b"b"], 0),
    (b"a\nb\r\n", [b"a\nb"], 0),
    (b"a\rb\r\n", [b"a\rb"], 0),
    (b"a\r\r\nb\r\n", [b"a\r", b"b"], 0),
    (b"\n\r\r\n", [b"\n\r"], 0),
    (b"\x00\xff\r\n", [b"\x00\xff"], 0),
    (b"a\r\nrest", [b"a"], 4),
    (b"a\r\nrest\r", [b"a"], 5),
    (b"rest", [], 4),
    (b"\r", [], 1),
    (b"one\r\n" * 20, [b"one"] * 20, 0),
]


@pytest.mark.parametrize("receiver_class", [Lines, OnlyLines])
@pytest.mark.parametrize(("data", "lines", "pending"), CASES)
def test_lines_are_the_same_in_any_split(
    receiver_class: type[Lines | OnlyLines], data: bytes, lines: list[bytes], pending: int
) -> None:
    for pieces in every_split(data):
        receiver = receiver_class()
        feed(connect(receiver), pieces)
        assert receiver.lines == lines, pieces


@pytest.mark.parametrize("receiver_class", [Lines, OnlyLines])
@pytest.mark.parametrize(("data", "lines", "pending"), CASES)
def test_eof_reports_how_much_of_a_line_it_cut_off(
    receiver_class: type[Lines | OnlyLines], data: bytes, lines: list[bytes], pending: int
) -> None:
    for pieces in every_split(data):
        receiver = receiver_class()
        harness = connect(receiver)
        feed(harness, pieces)
        harness.feed_eof()
        assert receiver.lines == lines
        if pending:
            assert isinstance(receiver.reason, IncompleteFrame)
            assert receiver.reason.pending == pending
        else:
            assert type(receiver.reason) is ConnectionDone


@pytest.mark.parametrize("base", [Lines, OnlyLines])
@pytest.mark.parametrize(
    ("delimiter", "data", "lines"),
    [
        (b"\n", b"a\r\nb\n", [b"a\r", b"b"]),
        (b"\x00", b"a\x00\x00b\x00c", [b"a", b"", b"b"]),
        (b"aab", b"aaabxaab", [b"a", b"x"]),
        (b"abab", b"abaabababab", [b"aba", b""]),
        (b"--end--", b"one--end--two--en--end--", [b"one", b"two--en"]),
    ],
)
def test_the_delimiter_may_be_any_bytes(
    base: type[Lines | OnlyLines], delimiter: bytes, data: bytes, lines: list[bytes]
) -> None:
    receiver_class: Any = type("Delimited", (base,), {"delimiter": delimiter})
    for pieces in every_split(data):
        receiver = receiver_class()
        feed(connect(receiver), pieces)
        assert receiver.lines == lines, pieces


@pytest.mark.parametrize("base", [LineReceiver, LineOnlyReceiver])
def test_an_empty_delimiter_is_refused_when_the_class_is_made(base: type) -> None:
    with pytest.raises(ValueError, match="delimiter"):
        type("NoDelimiter", (base,), {"delimiter": b""})


def test_a_receiver_works_when_its_init_does_not_call_super() -> None:
    class Bare(LineReceiver):
        def __init__(self) -> None:
            self.lines: list[bytes] = []

        def line_received(self, line: bytes) -> None:
            self.lines.append(line)

    receiver = Bare()
    connect(receiver).feed(b"a\r\nb\r\n")
    assert receiver.lines == [b"a", b"b"]


@pytest.mark.parametrize("base", [Lines, OnlyLines])
def test_send_line_adds_the_delimiter(base: type[Lines | OnlyLines]) -> None:
    receiver = base()
    harness = connect(receiver)
    receiver.send_line(b"hello")
    receiver.send_line(b"")
    harness.advance(0)
    assert harness.take() == b"hello\r\n\r\n"


def test_send_line_adds_the_delimiter_of_its_class() -> None:
    class Piped(Lines):
        delimiter = b"|"

    receiver = Piped()
    harness = connect(receiver)
    receiver.send_line(b"a\r\nb")
    harness.advance(0)
    assert harness.take() == b"a\r\nb|"


@pytest.mark.parametrize("base", [Lines, OnlyLines])
@pytest.mark.parametrize("line", [b"a\r\nb", b"\r\n", b"a\r\n", b"\r\nb"])
def test_send_line_refuses_a_line_with_the_delimiter_in_it(
    base: type[Lines | OnlyLines], line: bytes
) -> None:
    receiver = base()
    harness = connect(receiver)
    with pytest.raises(ValueError, match="delimiter"):
        receiver.send_line(line)
    harness.advance(0)
    assert harness.take() == b""


@pytest.mark.parametrize("base", [Lines, OnlyLines])
def test_send_line_refuses_text(base: type[Lines | OnlyLines]) -> None:
    receiver = base()
    harness = connect(receiver)
    with pytest.raises(TypeError):
        receiver.send_line("text")  # type: ignore[arg-type]
    harness.advance(0)
    assert harness.take() == b""


def test_send_line_after_loss_does_nothing() -> None:
    receiver = Lines()
    harness = connect(receiver)
    harness.reset()
    receiver.send_line(b"too late")
    assert harness.take() == b""
