"""What comes out of a block in which a factory is served, as a test wants to see it.

An error in a callback is raised deep inside of trio and of this library, and goes
up through all of it. What the reader wants is where user code went wrong. And it
mostly has a consequence: the connection is reset, so the test's block fails too.
"""

from __future__ import annotations

from typing import Any, NoReturn

import trio

from trioproto.runtime.groups import leaves_of
from trioproto.testing.failures import TranscriptError
from trioproto.testing.tracebacks import entries_of, is_machinery, users_part

_CONSEQUENCES = (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionError)
"""How a block fails whose connection was reset, unless a scripted peer tells it."""


def sort_out(raised: BaseException, body: BaseException | None) -> BaseException:
    """Return what should come out, of what was *raised*; *body* is what the block raised.

    No error is lost. One in a callback comes out as itself, several as one flat
    group, with tracebacks that begin in user code. If the block has failed because the
    connection was reset, that is a note to it. If it has failed otherwise, that comes
    out, and the error in the callback is its context: it is shown first. As anywhere in
    Python, an error that is raised because of a cancellation comes in its place.
    """
    if raised is body:
        return raised
    of_body = [] if body is None else list(leaves_of(body))
    known = {id(each) for each in of_body}
    leaves = list(leaves_of(raised))
    errors = [each for each in leaves if id(each) not in known and not _is_cancelled(each)]
    if not errors:
        return raised
    for error in errors:
        error.__traceback__ = users_part(error.__traceback__)
    error = errors[0] if len(errors) == 1 else BaseExceptionGroup("errors in callbacks", errors)
    failed = [each for each in of_body if not _is_cancelled(each)]
    if body is None or not failed or not any(each is leaf for each in failed for leaf in leaves):
        return error
    if all(map(_is_consequence, failed)):
        error.add_note(_told(failed[0]))
        return error
    _begin_with(body, error)
    return body


def _is_cancelled(error: BaseException) -> bool:
    return isinstance(error, trio.Cancelled)


def _is_consequence(error: BaseException) -> bool:
    """Whether it says no more than that the connection was reset."""
    if isinstance(error, TranscriptError):
        return isinstance(error.__cause__, _CONSEQUENCES)
    return isinstance(error, _CONSEQUENCES)


def mark(error: BaseException) -> None:
    """Have ``without_groups`` know that it came out of a block of the kit's.

    A group is known by what is in it: on its way out others are made of it.
    """
    errors = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
    for each in errors:
        each.left_block = True  # type: ignore[union-attr]


def without_groups(group: BaseExceptionGroup[Any]) -> BaseException:
    """Return what a test should fail with, of what came out of it and of its fixtures.

    pytest-trio runs each of them in a nursery, and that makes a group even of one error.
    What has come out of a block of the kit's is taken out of these; if the block is a
    fixture's, how the test has failed is told as ``sort_out`` tells it of a body. A group
    of which the kit knows nothing is returned as it is.
    """
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        (error,) = error.exceptions
    known = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
    if isinstance(error, TranscriptError) or all(hasattr(each, "left_block") for each in known):
        return error
    leaves = list(leaves_of(error))
    told = [each for each in leaves if hasattr(each, "left_block") and not _is_consequence(each)]
    others = [each for each in leaves if each not in told]
    failed = [each for each in others if not _is_consequence(each)]
    if not told or len(failed) > 1:
        return group
    culprit = told[0] if len(told) == 1 else BaseExceptionGroup("errors in callbacks", told)
    if failed:
        _begin_with(failed[0], culprit)
        return failed[0]
    if others:
        culprit.add_note(_told(others[0], "test"))
    return culprit


def raise_as_it_was(error: BaseException) -> NoReturn:
    """Raise *error*, whose context is not what happens to be handled now."""
    __tracebackhide__ = True
    before = error.__context__
    try:
        raise error
    finally:
        error.__context__ = before
        del error, before


def _told(failure: BaseException, what: str = "block") -> str:
    """Say how the block has failed, and where."""
    places = [each for each in entries_of(failure.__traceback__) if not is_machinery(each)]
    where = [f" at {each.tb_frame.f_code.co_filename}:{each.tb_lineno}" for each in places[-1:]]
    return f"and so the {what} failed{''.join(where)}: {type(failure).__name__}: {failure}"


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
