"""The text of sessions: what is written is read, and what cannot be read names its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trioproto import UnknownAddress
from trioproto.layers import Direction, Piece, Recording
from trioproto.testing import Session, SessionError, Step, read_sessions

RECEIVED, SENT = Direction


def parsed(text: str, newline: bytes = b"\r\n") -> list[tuple[str, object]]:
    steps = Session.parse(text, newline=newline).steps
    return [(step.direction.value, step.what) for step in steps]


def test_lines_of_text_get_the_newline() -> None:
    text = "# a comment\n\n< HELO me\n  # another\n> 250 \u00fc\n<\n>  two spaces "
    assert parsed(text) == [
        ("<", b"HELO me\r\n"),
        (">", "250 \u00fc\r\n".encode()),
        ("<", b"\r\n"),
        (">", b" two spaces \r\n"),
    ]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (r"b'\x00\r\n\t\\\''", b"\0\r\n\t\\'"),
        (r"""b"it's" """, b"it's"),
        (r'b"\"\a\b\f\v\0\xfF"', b'"\a\b\f\v\0\xff'),
        ("000000  61 00" + " " * 42 + "  |a.|", b"a\0"),
        ("b", b"b\r\n"),
        ("bytes b'x'", b"bytes b'x'\r\n"),
        ("000000", b"000000\r\n"),
        ("eof", b"eof\r\n"),
        ("~ x", b"~ x\r\n"),
    ],
)
def test_other_bytes_are_as_python_or_the_traffic_log_shows_them(text: str, data: bytes) -> None:
    assert parsed(f"< {text}") == [("<", data)]
    assert parsed(f"+0.250000 > {text}") == [(">", data)]


def test_ends_and_patterns() -> None:
    text = r"""
        # the peer's end may be followed by what is sent
>~ 220 \S+ ESMTP
<eof
>~
+12 >eof
""".strip()
    assert parsed(text) == [
        (">", re.compile(rb"220 \S+ ESMTP")),
        ("<", None),
        (">", re.compile(b"")),
        (">", None),
    ]


def test_a_session_has_one_newline() -> None:
    assert parsed("< a", newline=b"\n") == [("<", b"a\n")]
    assert parsed("# newline: b'\\0'\n< a", newline=b"\n") == [("<", b"a\0")]
    assert Session.parse("#newline:  b'ab' \n< a").newline == b"ab"
    with pytest.raises(ValueError, match="at least one byte"):
        Session.parse("< a", newline=b"")


def test_the_files_own_newlines_do_not_count() -> None:
    assert parsed("< a\r\n> b\r\n<eof\r\n") == parsed("< a\n> b\n<eof")


def test_what_has_one_time_passed_at_once() -> None:
    text = "+1.0 < a\n+1.0 < b'c'\n+1.0 > d\n+1.0 > e\n+2.0 > f\n> g\n> h"
    steps = Session.parse(text).steps
    assert [(step.what, step.time, step.line) for step in steps] == [
        (b"a\r\nc", 1, 1),
        (b"d\r\ne\r\n", 1, 3),
        (b"f\r\n", 2, 5),
        (b"g\r\n", None, 6),
        (b"h\r\n", None, 7),
    ]


def test_the_rows_of_a_dump_are_one_piece() -> None:
    row = "{:06x}  " + " ".join(["00"] * 16) + "  |................|\n"
    last = "000020  ff" + " " * 45 + "  |.|\n"
    text = "> " + row.format(0) + "> " + row.format(16) + "> " + last
    assert parsed(text) == [(">", bytes(32) + b"\xff")]
    assert parsed(text + "> " + row.format(0)) == [(">", bytes(32) + b"\xff"), (">", bytes(16))]


ROW = "000000  " + " ".join(["00"] * 16) + "  |................|"
SECOND = ROW.replace("000000", "000010")


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "nothing is said"),
        ("# nothing\n\n", 3, "nothing is said"),
        ("< a\nb", 2, "a line begins with"),
        (" < a", 1, "a line begins with"),
        ("1.0 < a", 1, "a line begins with"),
        ("+1.0  < a", 1, "a line begins with"),
        ("+\u0661.0 < a", 1, "a line begins with"),
        (f"+{'9' * 13} < a", 1, "a line begins with"),
        ("<a", 1, "a space is to follow <"),
        (">eofs", 1, "a space is to follow >"),
        ("< b'", 1, "is not what Python writes"),
        ("< b'a' b'b'", 1, "is not what Python writes"),
        ("< b'\\d'", 1, "is not what Python writes"),
        ("< b'\\777'", 1, "is not what Python writes"),
        ("< b'\u00e9'", 1, "is not what Python writes"),
        ("< b''", 1, "at least one byte"),
        ("<~ a", 1, "only what is sent"),
        (">~a", 1, "a space is to follow >~"),
        (">~ (", 1, "no regular expression"),
        (">~ a{99999999999999999999}", 1, "no regular expression"),
        ("< \ud800", 1, "surrogate"),
        (">~ \ud800", 1, "surrogate"),
        ("> a\n<eof\n> b\n< c", 4, "the peer has ended its side on line 2"),
        ("<eof\n<eof", 2, "the peer has ended its side on line 1"),
        (">eof\n< a\n>~ b", 3, "the protocol has ended its side on line 1"),
        ("< a\n# newline: b'\\n'", 2, "before anything is said"),
        ("# newline: LF\n< a", 1, "is not what Python writes"),
        ("# not kept: 5 bytes received and 0 sent before these\n< a", 1, "cannot be replayed"),
        (f"< {SECOND}", 1, "begins at 000010, and the last has ended at 000000"),
        (f"< {ROW}\n> {SECOND}", 2, "the last has ended at 000000"),
        (f"+1.0 < {ROW}\n+1.1 < {SECOND}", 2, "the last has ended at 000000"),
        (f"< {ROW}\n< a\n< {SECOND}", 3, "the last has ended at 000000"),
        (f"< {ROW}\n< {SECOND.replace('000010', '000020')}", 2, "the last has ended at 000010"),
        (f"< {ROW.replace('00  |', '00 00  |')}", 1, "a row is an offset"),
        ("< 000000  00 is text|", 1, "if this is text"),
    ],
)
def test_what_cannot_be_read_names_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(SessionError) as caught:
        Session.parse(text, name="that.txt")
    error = caught.value
    assert (error.name, error.line) == ("that.txt", line)
    assert problem in error.problem
    assert str(error) == f"that.txt, line {line}: {error.problem}"


@given(st.text())
@example("<" * 5000 + "(")
@example(">~ " + "(" * 5000)
@example(">~ [[a]")
@example(">~ (?L)a")
@example("< b'" + "\\" * 4999 + "'")
def test_any_text_is_a_session_or_an_error_of_its_own(text: str) -> None:
    for each in (text, f"< {text}", f"> {text}", f">~ {text}", f"+1.0 < {text}", f"< b'{text}'"):
        try:
            session = Session.parse(each)
        except SessionError:
            continue
        assert Session.parse(session.to_text()).steps == session.steps


# Whatever was said

WHAT = st.one_of(
    st.binary(min_size=1),
    st.text(min_size=1).map(lambda text: text.encode("utf-8", "replace")),
    st.text().map(lambda text: text.encode("utf-8", "replace") + b"\r\n"),
    st.sampled_from(
        [b"eof\r\n", b"b'\r\n", b"# x\r\n", b"\r\n", b" \r\n", b"~ x\r\n", b"+1.0 < a"]
    ),
    st.just(ROW.encode() + b"\r\n"),
)
PATTERNS = st.sampled_from([b"", b"22. .*", rb" \S+ ", "\u00fc|x".encode()]).map(re.compile)
TIMES = st.lists(st.integers(1, 10**12), unique=True, min_size=20, max_size=20).map(
    lambda times: [time / 1e6 for time in sorted(times)]
)


@st.composite
def exchanges(draw: st.DrawFn) -> list[Step]:
    """Any steps; both sides may be ended in the last ones."""
    times: list[float] | list[None] = draw(st.one_of(TIMES, st.just([None] * 20)))
    received = st.tuples(st.just(RECEIVED), WHAT)
    sent = st.tuples(st.just(SENT), st.one_of(WHAT, PATTERNS))
    passed = draw(st.lists(st.one_of(received, sent), max_size=17, min_size=1))
    ends = draw(st.sampled_from([[], [RECEIVED], [SENT], [SENT, RECEIVED]]))
    said = [*passed, *((direction, None) for direction in ends)]
    return [Step(way, what, time) for (way, what), time in zip(said, times, strict=False)]


@given(exchanges(), st.sampled_from([b"\r\n", b"\n", b"\0", b"x", b"'"]))
def test_any_exchange_is_read_as_it_was_written(steps: list[Step], newline: bytes) -> None:
    session = Session(tuple(steps), newline=newline)
    again = Session.parse(session.to_text())
    assert again.steps == session.steps
    assert again.newline == newline


PIECES = st.lists(st.tuples(st.sampled_from(Direction), st.binary(min_size=1, max_size=300)))


@given(TIMES, PIECES.filter(bool))
def test_any_recording_is_read_as_it_passed(
    times: list[float], said: list[tuple[Direction, bytes]]
) -> None:
    """Whether the traffic log shows it as text or in hexadecimal."""
    peer = UnknownAddress("somebody")
    pieces = tuple(Piece(time, *each) for time, each in zip(times, said, strict=False))
    recording = Recording(peer=peer, local=peer, accepted=True, began=0, pieces=pieces)
    session = Session.parse(recording.to_text())
    assert session.steps == tuple(Step(each.direction, each.data, each.time) for each in pieces)


UNSAYABLE = [b"", re.compile(b"a", re.IGNORECASE), re.compile(b"a\nb"), re.compile(b"a\r")]


@pytest.mark.parametrize("what", UNSAYABLE)
def test_what_no_line_can_say_is_not_written(what: bytes | re.Pattern[bytes]) -> None:
    with pytest.raises(ValueError, match="no line can say"):
        Session((Step(SENT, what),)).to_text()


def test_the_flags_in_a_pattern_are_written() -> None:
    session = Session.parse(">~ (?i)a")
    assert Session.parse(session.to_text()).steps == session.steps


def test_a_session_is_written_for_people() -> None:
    steps = (
        Step(RECEIVED, b"HELO \xc3\xbc\r\n", 0.25),
        Step(SENT, re.compile(b"250 .*")),
        Step(SENT, b"two\r\nlines\r\n"),
        Step(SENT, b"\r\n"),
        Step(RECEIVED, None, 3),
    )
    assert Session(steps).to_text() == (
        "+0.250000 < HELO \u00fc\n>~ 250 .*\n> b'two\\r\\nlines\\r\\n'\n>\n+3.000000 <eof\n"
    )
    assert Session(steps[2:4], newline=b"\n").to_text() == (
        "# newline: b'\\n'\n> b'two\\r\\nlines\\r\\n'\n> b'\\r\\n'\n"
    )


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b" two \r\n", "b' two \\r\\n'"),
        (b"b'\r\n", '"b\'\\r\\n"'),
        (b'b"\r\n', "'b\"\\r\\n'"),
        (b"a\0\r\n", "b'a\\x00\\r\\n'"),
        (b"\xff\r\n", "b'\\xff\\r\\n'"),
        (b"a\r\r\n", "b'a\\r\\r\\n'"),
        (b"a", "b'a'"),
        (ROW.encode() + b"\r\n", f"b'{ROW}\\r\\n'"),
        (b" two\r\n", " two"),
        (b"eof\r\n", "eof"),
        (b"~ x\r\n", "~ x"),
        (b"# x\r\n", "# x"),
    ],
)
def test_what_no_line_of_text_can_show_is_written_as_bytes(data: bytes, shown: str) -> None:
    session = Session((Step(SENT, data),))
    assert session.to_text().removesuffix("\n").removeprefix("> ").removeprefix("b") == (
        shown.removeprefix("b")
    )
    assert Session.parse(session.to_text()).steps == session.steps


# Files


def test_a_folder_of_sessions(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("< b")
    (tmp_path / "a.txt").write_bytes("\ufeff< \u00e4\r\n".encode())
    (tmp_path / "c.md").write_text("no session")
    first, second = read_sessions(tmp_path)
    assert (str(first), first.name, str(second)) == ("a.txt", str(tmp_path / "a.txt"), "b.txt")
    assert first.steps == (Step(RECEIVED, "\u00e4\r\n".encode()),)
    (lf, _) = read_sessions(tmp_path, newline=b"\n")
    assert lf.newline == b"\n"


def test_a_folder_without_sessions_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no \*.txt in"):
        read_sessions(tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"< a\n< b\n\xff")
    with pytest.raises(SessionError) as caught:
        Session.read(path)
    assert str(caught.value) == f"{path}, line 3: this is not UTF-8"
    path.write_bytes(b"< a\n?")
    with pytest.raises(SessionError, match=r"bad.txt, line 2: a line begins with"):
        Session.read(path)


def test_a_session_has_at_least_one_step() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        Session(())
