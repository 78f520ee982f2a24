"""Which lines of a traceback are the reader's concern, and which are the machinery's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from types import TracebackType

import trio

_KIT = os.path.dirname(__file__)
_MACHINERY = (
    os.path.join(os.path.dirname(_KIT), ""),
    os.path.join(os.path.dirname(str(trio.__file__)), ""),
    contextlib.__file__,
)
"""How the names of the files begin whose part in an error is nobody's concern."""


def users_part(entry: TracebackType | None) -> TracebackType | None:
    """Leave out what is trio's or this library's, up to the first line of user code.

    If there is none, what remains is the kit's last part, or the last line.
    """
    entries = list(entries_of(entry))
    for each in entries:
        if not is_machinery(each):
            return each
    while len(entries) > 1 and _is_kit(entries[-2]):
        entries.pop()
    return entries[-1] if entries else None


def entries_of(entry: TracebackType | None) -> Iterator[TracebackType]:
    """Return the entries, the outermost first."""
    while entry is not None:
        yield entry
        entry = entry.tb_next


def is_machinery(entry: TracebackType) -> bool:
    """Whether this line is trio's, or this library's."""
    return entry.tb_frame.f_code.co_filename.startswith(_MACHINERY)


def _is_kit(entry: TracebackType) -> bool:
    return entry.tb_frame.f_code.co_filename.startswith(_KIT)


def leads_back(entry: TracebackType | None) -> bool:
    """Whether the kit has called user code, which has raised or called what has."""
    in_kit = False
    for each in entries_of(entry):
        if in_kit and not is_machinery(each):
            return True
        in_kit = in_kit or _is_kit(each)
    return False
