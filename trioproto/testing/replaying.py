"""A session held with a protocol by hand: no event loop, no clock, no socket."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trioproto.sansio.tape import Direction
from trioproto.testing.expect_buffer import EOF, RESET, ExpectBuffer
from trioproto.testing.failures import TranscriptError, tells_all
from trioproto.testing.harness import Harness
from trioproto.testing.session_text import Step, What
from trioproto.testing.targets import Maker, made_by

__tracebackhide__ = tells_all

MAX_LINE = 64 * 1024
"""Bytes of a line that is to match a pattern."""
_LATE = 0.001
"""Seconds: times were rounded, and taken from a clock that may be set."""


def replay(
    steps: Sequence[Step],
    place: Callable[[Step], str],
    newline: bytes,
    target: Maker,
    *,
    times: bool,
) -> None:
    """Take each step, and the end; what is raised says at which one."""
    step = steps[0]
    replaying = _Replaying(Harness(made_by(target)), newline, times=times)
    try:
        replaying.begin()
        for step in steps:
            replaying.take(step)
        replaying.end()
    except TranscriptError as error:
        raise error.at(place(step)) from error.__cause__
    except Exception as error:
        error.add_note(f"raised at {place(step)}")
        raise


class _Replaying:
    """A harness, and what has come from it."""

    def __init__(self, harness: Harness[Any], newline: bytes, *, times: bool) -> None:
        self._harness = harness
        self._newline = newline
        self._times = times
        self._heard = ExpectBuffer(harness.transcript)

    def begin(self) -> None:
        """Connect."""
        self._harness.connect()
        self._listen()

    def take(self, step: Step) -> None:
        """Let what is received arrive; what is sent must have come by then."""
        if step.direction is Direction.RECEIVED:
            self._reach(step.time)
            self._feed(step.what)
            return
        if step.time is not None and not self._has_come(step.what):
            self._reach(step.time + _LATE)
        self._expect(step.what)

    def end(self) -> None:
        """Let the peer go, if nothing has come but what was to come."""
        self._heard.end_is_told = True
        self._heard.expect_no_more()
        if not self._harness.lost:
            self._harness.reset()

    def _reach(self, time: float | None) -> None:
        """Let time pass until then, if it is to."""
        if self._times and time is not None:
            self._harness.advance(max(0.0, time - self._harness.time()))
            self._listen()

    def _feed(self, what: What) -> None:
        harness = self._harness
        if harness.lost:
            self._heard.fail(f"the connection has ended before this: {harness.reason!r}")
        if isinstance(what, bytes):
            harness.feed(what)
        else:
            harness.feed_eof()
        self._listen()

    def _listen(self) -> None:
        """Take what has come."""
        harness, heard = self._harness, self._heard
        heard.data += harness.take()
        if harness.write_closed:
            heard.end = EOF
        elif harness.lost:
            heard.end, heard.broken = RESET, harness.reason

    def _has_come(self, what: What) -> bool:
        """Whether time could not bring what is still missing."""
        heard = self._heard
        if heard.end is not None or what is None:
            return heard.end is not None
        if isinstance(what, bytes):
            return len(heard.data) >= len(what)
        return self._newline in heard.data

    def _expect(self, what: What) -> None:
        if what is None:
            self._heard.expect_end(EOF)
        elif isinstance(what, bytes):
            self._heard.expect(what)
        else:
            self._heard.expect_line(what, self._newline, MAX_LINE)
