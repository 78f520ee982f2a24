"""A session held with a protocol over a stream."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import trio

from trioproto.sansio.tape import Direction
from trioproto.testing.failures import TranscriptError, tells_all
from trioproto.testing.session_text import What
from trioproto.testing.sessions import Session

if TYPE_CHECKING:
    from trioproto.testing.scripted import ScriptedPeer


__tracebackhide__ = tells_all


async def hold(peer: ScriptedPeer, session: Session, *, times: bool, timeout: float) -> None:
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
                await _hear(peer, step.what, session.newline, timeout + later)
        await peer.check_nothing_is_left(reset=False)
    except TranscriptError as error:
        raise error.at(session.place(step)) from error.__cause__


async def _say(peer: ScriptedPeer, what: What, timeout: float) -> None:
    if isinstance(what, bytes):
        await peer.send(what, timeout=timeout)
    else:
        await peer.send_eof(timeout=timeout)


async def _hear(peer: ScriptedPeer, what: What, newline: bytes, timeout: float) -> None:
    if what is None:
        await peer.expect_eof(timeout=timeout)
    elif isinstance(what, bytes):
        await peer.expect(what, timeout=timeout)
    else:
        await peer.expect_line(what, newline=newline, timeout=timeout)
