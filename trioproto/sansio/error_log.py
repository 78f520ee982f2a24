"""Errors in user code, logged once each and not endlessly.

The same error from a thousand connections is one piece of news. So an error of
the same type from the same line is shown with its traceback at most ten times a
minute; what is left out is counted, and the count is shown.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.errors import ConnectionClosed

logger = logging.getLogger("trioproto")

TRACEBACKS = 10
"""Tracebacks of one error shown in a window."""
WINDOW = 60.0
"""Seconds."""
KINDS = 256
"""Different errors that are told apart; the oldest is forgotten first."""

_PEER = -1
"""In place of a line: it was a peer's doing."""

_Key: TypeAlias = tuple[type[BaseException], str, int]


class _Count:
    """What was seen of one error since its window began."""

    __slots__ = ("hidden", "shown", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.shown = 0
        self.hidden = 0


class ErrorLog:
    """Reports errors in user code to the logger ``trioproto``."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._counts: dict[_Key, _Count] = {}

    def report(self, peer: Address | None, reason: ConnectionClosed) -> None:
        """Log the ``__cause__`` of *reason*, or count it."""
        exc = reason.__cause__
        assert exc is not None
        if self._is_shown(_key(exc, str(reason))):
            where = "" if peer is None else f", peer {peer}"
            logger.error("%s%s", reason, where, exc_info=exc)

    def note(self, peer: Address | None, reason: ConnectionClosed) -> None:
        """Log in one line what a peer did, or count it."""
        # Not its text, which shows what the peer has sent, and so is another each time.
        problem = getattr(reason, "problem", str(reason))
        if self._is_shown((type(reason), problem, _PEER)):
            logger.warning("connection from %s: %s", peer, reason)

    def slow(self, protocol: str, peer: Address, seconds: float) -> None:
        """Log that a protocol's code has kept everything else waiting, or count it."""
        if self._is_shown((TimeoutError, f"{protocol} was slow", _PEER)):
            shown = "%s kept the whole program waiting for %.3f s, peer %s"
            logger.warning(shown, protocol, seconds, peer)

    def flush(self) -> None:
        """Show the counts of what was left out."""
        for key, count in self._counts.items():
            self._show_hidden(key, count)

    def _is_shown(self, key: _Key) -> bool:
        """Whether one more of this kind is shown; else it is counted."""
        count = self._current(key)
        if count.shown == TRACEBACKS:
            count.hidden += 1
            return False
        count.shown += 1
        return True

    def _current(self, key: _Key) -> _Count:
        now = self._clock()
        count = self._counts.get(key)
        if count is not None and now - count.since < WINDOW:
            return count
        if count is not None:
            self._show_hidden(key, count)
        elif len(self._counts) >= KINDS:
            oldest = next(iter(self._counts))
            self._show_hidden(oldest, self._counts.pop(oldest))
        count = self._counts[key] = _Count(now)
        return count

    def _show_hidden(self, key: _Key, count: _Count) -> None:
        if count.hidden:
            kind, where, line = key
            if line == _PEER:
                logger.warning("connections: %s: %d more", where, count.hidden)
            else:
                shown = "%s at %s:%d: %d more, without traceback"
                logger.error(shown, kind.__name__, where, line, count.hidden)
            count.hidden = 0


def _key(exc: BaseException, where: str) -> _Key:
    """Tell errors apart by their type and the line that raised them, or else by *where*."""
    traceback = exc.__traceback__
    if traceback is None:
        return type(exc), where, 0
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return type(exc), traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
