r"""Sessions as text, which is written by people or by a traffic log.

A line is one of these, and may have the traffic log's time before it::

    # a comment                     ignored, and so is an empty line
    < text                          received: the text, and the session's newline
    > text                          sent, likewise
    < b'\x00\x01'                   exactly these bytes
    < 000000  00 01     |..|        the same as the traffic log shows them
    >~ 220 .* ESMTP                 sent: a line that matches as a whole
    <eof                            the peer ends its side
    >eof                            the protocol ends its side
    # newline: b'\n'                first of all: the newline, if it is not b'\r\n'
"""

from __future__ import annotations

import re
import warnings
from ast import literal_eval
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NoReturn, TypeAlias

from trioproto.sansio.tape import Direction

What: TypeAlias = bytes | re.Pattern[bytes] | None
"""Bytes; a pattern for a line without its end; or ``None``: EOF."""


class SessionError(ValueError):
    """The text of a session cannot be read.

    Attributes:
        name: of the session, or the path of its file.
        line: the number of the line, from 1.
        problem: what is wrong there.
    """

    def __init__(self, name: str, line: int, problem: str) -> None:
        super().__init__(name, line, problem)
        self.name = name
        self.line = line
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.name}, line {self.line}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that passed at once.

    Attributes:
        direction: which way, as the protocol sees it.
        what: the bytes; a pattern, if it was sent and varies; ``None`` for EOF.
        time: when, in seconds since the connection began, if that is known.
        line: the line of the text that says so.
    """

    direction: Direction
    what: What
    time: float | None = None
    line: int = field(default=0, compare=False)


_SAID = re.compile(
    r"(?:(?P<time>[+-][0-9]{1,12}(?:\.[0-9]{1,12})?) )?(?P<way>[<>])(?P<rest>.*)", re.DOTALL
)
_ESCAPE = r"""\\(?:[\\'"abfnrtv0]|x[0-9a-fA-F]{2})"""
_LITERAL = re.compile(rf"""b(?:'(?:[ -&(-\[\]-~]|{_ESCAPE})*'|"(?:[ !#-\[\]-~]|{_ESCAPE})*")""")
_LIKE_LITERAL = ("b'", 'b"')
_ROW = re.compile(r" ([0-9a-f]{6,12})  ((?:[0-9a-f]{2} ){0,15}[0-9a-f]{2}) *  \|.{1,16}\|")
_LIKE_ROW = re.compile(r" [0-9a-f]{6,}  [0-9a-f]{2} .*\|")
_NEWLINE = re.compile(r"#\s*newline:\s*(.*?)\s*")


def parse(text: str, name: str, newline: bytes) -> tuple[tuple[Step, ...], bytes]:
    """Read a session; return its steps and its newline.

    Raises:
        SessionError: a line that cannot be read, or nothing was said at all.
    """
    reader = _Reader(name, newline)
    for line in text.split("\n"):
        reader.read(line.removesuffix("\r"))
    return reader.steps(), reader.newline


def to_text(steps: Iterable[Step], newline: bytes) -> str:
    """Write a session; *parse* reads the same from it, if times have six decimals.

    Raises:
        ValueError: no line can say a step.
    """
    lines = [] if newline == b"\r\n" else [f"# newline: {newline!r}"]
    for step in steps:
        time = "" if step.time is None else f"{step.time:+.6f} "
        lines.append(f"{time}{step.direction.value}{_shown(step.what, newline)}")
    return "\n".join(lines) + "\n"


def _shown(what: What, newline: bytes) -> str:
    if what is None:
        return "eof"
    if isinstance(what, re.Pattern):
        pattern = what.pattern.decode()
        if what != re.compile(what.pattern) or "\n" in pattern or pattern.endswith("\r"):
            raise ValueError(f"no line can say {what}")
        return f"~ {pattern}"
    if not what:
        raise ValueError("no line can say that no bytes passed")
    text = _as_line(what, newline)
    if text is None:
        return f" {what!r}"
    return f" {text}" if text else ""


def _as_line(data: bytes, newline: bytes) -> str | None:
    """Return *data* as the text of a line, if that can be read again, and by people."""
    try:
        text = data.removesuffix(newline).decode()
    except UnicodeDecodeError:
        return None
    if not data.endswith(newline) or not text.isprintable() or text.endswith(" "):
        return None
    return None if text.startswith(_LIKE_LITERAL) or _LIKE_ROW.match(" " + text) else text


class _Reader:
    """Reads line after line.

    Attributes:
        newline: what ends a line of text.
    """

    def __init__(self, name: str, newline: bytes) -> None:
        self.newline = newline
        self._name = name
        self._line = 0
        self._steps: list[Step] = []
        self._pieces: list[bytes] = []  # of the last step
        self._row_end = 0
        self._ended: dict[Direction, int] = {}

    def read(self, line: str) -> None:
        """Read the next line."""
        self._line += 1
        stripped = line.strip()
        if stripped.startswith("#"):
            self._read_comment(stripped)
        elif stripped:
            self._read_said(line)

    def steps(self) -> tuple[Step, ...]:
        """Return all that was said, if anything was."""
        if not self._steps:
            self._fail("nothing is said until here")
        self._join()
        return tuple(self._steps)

    def _read_comment(self, comment: str) -> None:
        if comment.startswith("# not kept: "):
            self._fail(
                "the connection's beginning is not in this recording, so it cannot be replayed; "
                "if the rest stands by itself, remove this line"
            )
        if found := _NEWLINE.fullmatch(comment):
            if self._steps:
                self._fail("the newline is to be stated before anything is said")
            self.newline = self._literal(found[1])

    def _read_said(self, line: str) -> None:
        said = _SAID.fullmatch(line)
        if said is None:
            self._fail("a line begins with #, < or >, or with a time such as +1.250000 and < or >")
        direction = Direction(said["way"])
        time = None if said["time"] is None else float(said["time"])
        step = Step(direction, None, time, self._line)
        if direction in self._ended:
            who = "the peer" if direction is Direction.RECEIVED else "the protocol"
            self._fail(f"{who} has ended its side on line {self._ended[direction]}")
        if _LIKE_ROW.fullmatch(said["rest"]):
            self._read_row(step, said["rest"])
        else:
            self._row_end = 0
            what = self._what(direction, said["rest"])
            self._add(replace(step, what=what), joins=time is not None)

    def _read_row(self, step: Step, text: str) -> None:
        """Read a row of a dump; one that does not begin at 0 goes on with the piece before."""
        row = _ROW.fullmatch(text)
        if row is None:
            self._fail(
                "a row is an offset, up to 16 bytes in hexadecimal, and their letters; "
                "if this is text, write it as Python writes bytes"
            )
        offset, data = int(row[1], 16), bytes.fromhex(row[2])
        end = self._row_end if self._same(step) else 0
        if offset not in (0, end):
            self._fail(f"this row begins at {offset:06x}, and the last has ended at {end:06x}")
        self._row_end = offset + len(data)
        self._add(replace(step, what=data), joins=offset > 0 or step.time is not None)

    def _what(self, direction: Direction, rest: str) -> What:
        if rest.rstrip() == "eof":
            self._ended[direction] = self._line
            return None
        if rest.startswith("~"):
            return self._pattern(direction, rest[1:])
        if rest and not rest.startswith(" "):
            self._fail(f"a space is to follow {direction.value}, or eof")
        text = rest[1:]
        if text.startswith(_LIKE_LITERAL):
            return self._literal(text.rstrip())
        return self._encoded(text) + self.newline

    def _literal(self, text: str) -> bytes:
        if not _LITERAL.fullmatch(text):
            self._fail(f"{text:.100} is not what Python writes for bytes")
        data: bytes = literal_eval(text)
        if not data:
            self._fail("at least one byte passes at once")
        return data

    def _pattern(self, direction: Direction, text: str) -> re.Pattern[bytes]:
        if direction is Direction.RECEIVED:
            self._fail("only what is sent may be a pattern")
        if text and not text.startswith(" "):
            self._fail("a space is to follow >~")
        pattern = self._encoded(text[1:])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return re.compile(pattern)
            except (re.error, ValueError, OverflowError, RecursionError) as error:
                self._fail(f"this is no regular expression: {error}")

    def _encoded(self, text: str) -> bytes:
        try:
            return text.encode()
        except UnicodeEncodeError:
            self._fail("this is no text: it has half of a surrogate pair")

    def _add(self, step: Step, *, joins: bool) -> None:
        """Add a step, or join it to the one before if they passed at once."""
        if joins and self._pieces and isinstance(step.what, bytes) and self._same(step):
            self._pieces.append(step.what)
            return
        self._join()
        self._steps.append(step)
        self._pieces = [step.what] if isinstance(step.what, bytes) else []

    def _same(self, step: Step) -> bool:
        """Whether a step may be part of the one before."""
        last = self._steps[-1] if self._steps else None
        return last is not None and (last.direction, last.time) == (step.direction, step.time)

    def _join(self) -> None:
        if len(self._pieces) > 1:
            self._steps[-1] = replace(self._steps[-1], what=b"".join(self._pieces))

    def _fail(self, problem: str) -> NoReturn:
        raise SessionError(self._name, self._line, problem)
