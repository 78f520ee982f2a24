"""What comes out of a block in which a factory is served, as a test wants to see it.

An error in a callback is raised deep inside of trio and of this library, and goes
up through all of it. What the reader wants is where user code went wrong. And it
mostly has a consequence: the connection is reset, so the test's block fails too.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import trio

import trioproto

_PACKAGE = str(Path(trioproto.__file__).parent)
_KIT = str(Path(__file__).parent)
_TRIO = str(Path(trio.__file__).parent)

_CONSEQUENCES = (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionError)
"""How a block fails whose connection was reset."""


def sort_out(raised: BaseException, body: BaseException | None) -> BaseException:
    """Return what should come out, of what was *raised*; *body* is what the block raised.

    Nothing is lost. An error in a callback comes out as itself, several as one flat
    group, with tracebacks that begin in user code. If the block has failed because the
    connection was reset, that is a note to it. If it has failed otherwise, that comes
    out, and the error in the callback is its context: it is shown first.
    """
    if raised is body:
        return raised
    leaves = list(_leaves(raised, body))
    errors = [each for each in leaves if each is not body]
    if any(isinstance(each, trio.Cancelled) for each in leaves):
        return raised  # which is trio's to split
    for error in errors:
        error.__traceback__ = users_part(error.__traceback__)
    error = errors[0] if len(errors) == 1 else BaseExceptionGroup("errors in callbacks", errors)
    if body is None or not any(each is body for each in leaves):
        return error
    if isinstance(body, _CONSEQUENCES):
        error.add_note(_told(body))
        return error
    _begin_with(body, error)
    return body


def raise_as_it_was(error: BaseException) -> NoReturn:
    """Raise *error*, whose context is not what happens to be handled now."""
    __tracebackhide__ = True
    before = error.__context__
    try:
        raise error
    finally:
        error.__context__ = before
        del error, before


def users_part(entry: TracebackType | None) -> TracebackType | None:
    """Leave out what is trio's or this library's, up to the first line of user code.

    If there is none, the last line remains.
    """
    last = entry
    while entry is not None:
        if not _is_machinery(entry.tb_frame.f_code.co_filename):
            return entry
        last, entry = entry, entry.tb_next
    return last


def _is_machinery(path: str) -> bool:
    if path.startswith(_PACKAGE):
        return not path.startswith(_KIT)
    return path.startswith(_TRIO)


def _leaves(raised: BaseException, body: BaseException | None) -> Iterator[BaseException]:
    """Take a flat group apart; a group that the block raised is one error."""
    if raised is not body and isinstance(raised, BaseExceptionGroup):
        for each in raised.exceptions:
            yield from _leaves(each, body)
    else:
        yield raised


def _told(body: BaseException) -> str:
    """Say in a line or two how the block has failed."""
    place = traceback.extract_tb(users_part(body.__traceback__))[-1:]
    where = "".join(f" at {each.filename}:{each.lineno}" for each in place)
    return f"and so the block failed{where}: {type(body).__name__}: {body}"


def _begin_with(later: BaseException, first: BaseException) -> None:
    """Have *first* shown before *later*, and before whatever that came of."""
    seen = {id(first)}
    while id(later) not in seen:
        seen.add(id(later))
        before = later.__cause__ or (None if later.__suppress_context__ else later.__context__)
        if before is None:
            later.__context__ = first
            later.__suppress_context__ = False
            return
        later = before
