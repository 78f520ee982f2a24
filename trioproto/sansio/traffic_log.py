"""The setting that has connections recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import TypeAlias

from trioproto.sansio.recording import Recording
from trioproto.sansio.tape import Direction

_LEAST = 64

Redact: TypeAlias = Callable[[bytes, Direction, bool], bytes]
"""See :class:`TrafficLog`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficLog:
    """How the last bytes of each connection are kept, and what becomes of them.

    Attributes:
        size: bytes of memory for each connection, of both directions together. A
            piece that passed at once takes 16 more than its own.
        write: called with the :class:`Recording` when a connection has ended by
            an error: anything but ``ConnectionDone``, ``IdleTimeout``,
            ``AgeTimeout``, ``ServerDraining`` and ``ServerCancelled``; not if
            nothing has passed. What it raises is logged. With ``None`` nothing
            is written, and ``transport.traffic()`` takes recordings.
        redact: blanks what nobody may see, whenever a recording is taken; what
            passes is not changed. Called with all bytes that are kept of one
            direction, however they were cut; with the direction; and with
            whether others came before them which are not kept any more, so
            that they may begin in the middle of a secret. It returns as many
            bytes, so that each keeps its time and place. If it raises, or
            returns anything else, all of that direction is blanked, and the
            error is logged.

    Raises:
        TypeError: *write* or *redact* is no function, or an async one.
        ValueError: *size* is below 64.
    """

    size: int = 64 * 1024
    write: Callable[[Recording], object] | None = None
    redact: Redact | None = None

    def __post_init__(self) -> None:
        if self.size < _LEAST:
            raise ValueError(f"size must be at least {_LEAST}")
        for name in ("write", "redact"):
            value = getattr(self, name)
            if value is not None and (not callable(value) or iscoroutinefunction(value)):
                raise TypeError(f"{name} must be a plain function, or None, not {value!r:.100}")
