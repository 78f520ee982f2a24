"""Lines: any partition of any input gives the same events."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from tests.framing.receivers import Heard, Lines, OnlyLines, connect, feed

LIMIT = 6
INPUT = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"bc", b"!", b"#"]), max_size=60
).map(b"".join)
CUTS = st.lists(st.integers(min_value=0, max_value=120), max_size=20)


class Scripted(Lines):
    """``!`` in a line asks for raw mode, ``#`` in raw data for lines again after it."""

    max_length = LIMIT

    def line_received(self, line: bytes) -> None:
        super().line_received(line)
        if b"!" in line:
            self.set_raw_mode()

    def raw_data_received(self, data: bytes) -> None:
        raw, mark, rest = data.partition(b"#")
        if raw + mark:
            super().raw_data_received(raw + mark)
        if mark:
            self.set_line_mode(rest)


class ScriptedDiscard(Scripted):
    on_too_long = "discard"


class Pausing(Scripted):
    """The same, but each line pauses."""

    def line_received(self, line: bytes) -> None:
        self.transport.pause_reading()
        super().line_received(line)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(min(place, len(data)) for place in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def expected(data: bytes, on_too_long: Literal["close", "discard"]) -> list[Heard]:
    """An independent and slow reading of the rules, over the whole input at once."""
    heard: list[Heard] = []
    raw = False
    while data:
        if raw:
            body, mark, data = data.partition(b"#")
            heard.append(("raw", body + mark))
            raw = not mark
            continue
        line, delimiter, rest = data.partition(b"\r\n")
        if delimiter and len(line) <= LIMIT:
            heard.append(("line", line))
            raw, data = b"!" in line, rest
        elif len(line.removesuffix(b"\r") if not delimiter else line) > LIMIT:
            heard.append(("too long", b""))
            data = rest if delimiter and on_too_long == "discard" else b""
        else:
            break
    return heard


def without_long_lines(heard: list[Heard]) -> list[Heard]:
    """How much of a long line had come depends on the partition, and on nothing else."""
    return [(kind, b"" if kind == "too long" else data) for kind, data in heard]


@given(INPUT, CUTS)
def test_any_partition_gives_the_same_lines_and_raw_data(data: bytes, cuts: list[int]) -> None:
    receiver = Scripted()
    feed(connect(receiver), cut(data, cuts))
    assert without_long_lines(receiver.heard) == expected(data, "close")


@given(INPUT, CUTS)
def test_any_partition_gives_the_same_events_when_long_lines_are_discarded(
    data: bytes, cuts: list[int]
) -> None:
    receiver = ScriptedDiscard()
    feed(connect(receiver), cut(data, cuts))
    assert without_long_lines(receiver.heard) == expected(data, "discard")


@given(INPUT, CUTS)
def test_pausing_at_each_line_changes_no_event(data: bytes, cuts: list[int]) -> None:
    receiver = Pausing()
    harness = connect(receiver)
    for piece in cut(data, cuts):
        feed(harness, [piece])
        while not harness.reading and not harness.lost and not harness.write_closed:
            receiver.transport.resume_reading()
            harness.advance(0)
    assert without_long_lines(receiver.heard) == expected(data, "close")


@given(st.lists(st.binary(max_size=20)), st.binary(min_size=1, max_size=4), CUTS)
def test_lines_that_were_sent_are_the_lines_received(
    lines: list[bytes], delimiter: bytes, cuts: list[int]
) -> None:
    """But for lines that hold the delimiter, or make one with what follows them."""
    data = delimiter.join([*lines, b""])
    receiver = type("Delimited", (OnlyLines,), {"delimiter": delimiter})()
    feed(connect(receiver), cut(data, cuts))
    assert receiver.lines == data.split(delimiter)[:-1]
