"""What has come from a protocol under test, and whether it is what was to come; pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

from trioproto.testing.failures import TranscriptError, Words, shown, tells_all
from trioproto.testing.transcript import Transcript

__tracebackhide__ = tells_all

EOF = "EOF"
RESET = "a reset"


class ExpectBuffer:
    """The bytes and the end that have come, and that nobody has expected yet.

    What is expected is taken off the front. If something else is there, or not
    enough, ``TranscriptError`` is raised and nothing is taken. *waited* says in its
    words how long that was waited for, such as `` in 5 s``.

    Args:
        transcript: the whole exchange, as it is to be shown.

    Attributes:
        data: the bytes.
        end: how it has ended: :data:`EOF`, :data:`RESET`, or not yet.
        end_is_told: whether somebody has expected the end, or was told of it.
        broken: the error that said so, if the connection has broken.
    """

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self.data = bytearray()
        self.end: str | None = None
        self.end_is_told = False
        self.broken: Exception | None = None

    # When nothing more need come

    def prefix_is_decided(self, expected: bytes) -> Callable[[], bool]:
        """Return what tells whether *expected* has come, or cannot come any more.

        Cost: linear in the bytes, in whatever pieces they come.
        """
        same = 0

        def decided() -> bool:
            nonlocal same
            end = min(len(expected), len(self.data))
            if self.data[same:end] != expected[same:end]:
                return True
            same = end
            return end == len(expected)

        return decided

    def separator_is_decided(self, separator: bytes, max_bytes: int) -> Callable[[], bool]:
        """Return what tells whether *separator* has come, or is too late by now.

        Cost: linear in the bytes, in whatever pieces they come.
        """
        enough = max_bytes + len(separator)
        searched = 0

        def decided() -> bool:
            nonlocal searched
            if self.data.find(separator, searched) >= 0:
                return True
            searched = max(0, len(self.data) - len(separator) + 1)
            return len(self.data) >= enough

        return decided

    # What is expected

    def expect(self, expected: bytes, waited: str = "") -> None:
        """Take exactly these bytes."""
        if not self.data.startswith(expected):
            self._fail(expected, waited, wrong=self.prefix_is_decided(expected)())
        self._take(len(expected))

    def expect_exactly(self, count: int, waited: str = "") -> bytes:
        """Take so many bytes."""
        if len(self.data) < count:
            self._fail(Words(f"{count} bytes"), waited)
        return self._take(count)

    def expect_until(
        self, separator: bytes, max_bytes: int, waited: str = "", what: str = ""
    ) -> bytes:
        """Take what comes before *separator*, and that too; *what* it is to be, in words."""
        enough = max_bytes + len(separator)
        size = self.data.find(separator, 0, enough)
        if size < 0:
            wrong = len(self.data) >= enough
            most = f"at most {max_bytes} bytes"
            expected = f"{most if wrong or not what else what} and {separator!r}"
            self._fail(Words(expected), waited, wrong=wrong)
        return self._take(size + len(separator))[:size]

    def expect_line(
        self, pattern: bytes | re.Pattern[bytes], newline: bytes, max_bytes: int, waited: str = ""
    ) -> bytes:
        """Take a line, all of which matches *pattern*."""
        wanted = re.compile(pattern)
        line = self.expect_until(newline, max_bytes, waited, repr(wanted))
        if not wanted.fullmatch(line):
            self.data[:0] = line + newline
            self._fail(wanted, waited, wrong=True)
        return line

    def expect_end(self, end: str, waited: str = "") -> None:
        """Take the end, if it is this one and nothing comes before it."""
        # A reset that was met when something was sent is not shown a second time.
        met = end == RESET and self.end is not None and self.broken is not None
        if self.data or not (met or self.end == end):
            self._fail(Words(end), waited, wrong=bool(self.data))
        self.end_is_told = True

    def expect_nothing(self) -> None:
        """Fail if anything is there."""
        came = self._told()
        if came:
            self.fail(f"nothing was to come, and {came} came")

    def expect_no_more(self, *, reset: bool = True) -> None:
        """Fail if bytes are there, or a *reset*; EOF is no such thing."""
        if not reset:
            self.end_is_told = self.end is not None
        came = self._told()
        if came and came != EOF:
            self.fail(f"{came} came, and nobody expected it")

    def fail(self, problem: str, came: object = None, expected: object = None) -> NoReturn:
        """Report that something is wrong."""
        raise TranscriptError(problem, self._transcript, came, expected) from self.broken

    def _told(self) -> str | None:
        """Say what is there, in a few words; an end counts only once."""
        if self.data:
            return shown(bytes(self.data))
        if self.end_is_told:
            return None
        self.end_is_told = self.end is not None
        return self.end

    def _take(self, count: int) -> bytes:
        taken = bytes(self.data[:count])
        del self.data[:count]
        return taken

    def _fail(self, expected: object, waited: str, *, wrong: bool = False) -> NoReturn:
        """Report that what is there is *wrong*, or that it is all that came."""
        came = bytes(self.data)
        if wrong:
            problem = "not what was to come"
        elif self.end is not None:
            self.end_is_told = True
            before = f"{shown(came)} came, and then {self.end}"
            problem = before if came else f"{self.end} came instead"
        else:
            problem = f"only {shown(came)} came{waited}" if came else f"nothing came{waited}"
        self.fail(problem, came, expected)
