"""A session held with a protocol: by hand, with no loop and no clock, or over a stream."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import trio

from trioproto.sansio.tape import Direction
from trioproto.testing.expect_buffer import EOF, RESET, ExpectBuffer
from trioproto.testing.failures import TranscriptError, tells_all
from trioproto.testing.harness import Harness

if TYPE_CHECKING:
    from trioproto.testing.scripted import ScriptedPeer
    from trioproto.testing.session_text import Step, What
    from trioproto.testing.sessions import Session

__tracebackhide__ = tells_all

_MAX_LINE = 64 * 1024
"""Bytes of a line that is to match a pattern."""
_LATE = 0.001
"""Seconds: times were rounded, and taken from a clock that may be set."""


# By hand


def replay(session: Session, harness: Harness[Any], *, times: bool) -> None:
    """Take each step, and the end; what is raised says at which one."""
    step = session.steps[0]
    replaying = _Replaying(harness, session.newline, times=times)
    try:
        replaying.begin()
        for step in session.steps:
            replaying.take(step)
        replaying.end()
    except TranscriptError as error:
        raise error.at(session.place(step)) from error.__cause__
    except Exception as error:
        error.add_note(f"raised at {session.place(step)}")
        raise


class _Replaying:
    """A harness, and what has come from it."""

    def __init__(self, harness: Harness[Any], newline: bytes, *, times: bool) -> None:
        self._harness = harness
        self._newline = newline
        self._times = times
        self._came = ExpectBuffer(harness.transcript)

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
        self._came.expect_no_more(reset=False)
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
            self._came.fail(f"the connection has ended before this: {harness.reason!r}")
        if isinstance(what, bytes):
            harness.feed(what)
        else:
            harness.feed_eof()
        self._listen()

    def _listen(self) -> None:
        """Take what has come."""
        harness, came = self._harness, self._came
        came.data += harness.take()
        if harness.write_closed:
            came.end = EOF
        elif harness.lost:
            came.end, came.broken = RESET, harness.reason

    def _has_come(self, what: What) -> bool:
        """Whether time could not bring what is still missing."""
        came = self._came
        if came.end is not None or what is None:
            return came.end is not None
        if isinstance(what, bytes):
            return len(came.data) >= len(what)
        return self._newline in came.data

    def _expect(self, what: What) -> None:
        if what is None:
            self._came.expect_end(EOF)
        elif isinstance(what, bytes):
            self._came.expect(what)
        else:
            self._came.expect_line(what, self._newline, _MAX_LINE)


# Over a stream


async def replay_over_stream(
    session: Session, peer: ScriptedPeer, *, times: bool, timeout: float
) -> None:
    """Take each step, and see that nothing is left; what is raised says at which one."""
    began = trio.current_time()
    step = session.steps[0]
    try:
        for step in session.steps:
            at = began + step.time if times and step.time is not None else -inf
            if step.direction is Direction.RECEIVED:
                await trio.sleep_until(at)
                await _say(peer, step.what, timeout)
            else:
                later = max(0.0, at - trio.current_time())
                await _expect(peer, step.what, session.newline, timeout + later)
        await peer.check_nothing_is_left(reset=False)
    except TranscriptError as error:
        raise error.at(session.place(step)) from error.__cause__


async def _say(peer: ScriptedPeer, what: What, timeout: float) -> None:
    if isinstance(what, bytes):
        await peer.send(what, timeout=timeout)
    else:
        await peer.send_eof(timeout=timeout)


async def _expect(peer: ScriptedPeer, what: What, newline: bytes, timeout: float) -> None:
    if what is None:
        await peer.expect_eof(timeout=timeout)
    elif isinstance(what, bytes):
        await peer.expect(what, timeout=timeout)
    else:
        await peer.expect_line(what, newline=newline, timeout=timeout)
