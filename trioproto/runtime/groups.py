"""Exceptions out of nurseries, as the user expects them.

A nursery raises groups, nested as deep as the nurseries are, and mixes errors
with ``Cancelled``. Nothing may be lost of either, but one error alone should
come as itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio


def split_errors(exc: BaseException) -> tuple[Exception | None, BaseException | None]:
    """Part *exc* into errors, and what must go on up (``Cancelled`` and its like)."""
    if isinstance(exc, BaseExceptionGroup):
        errors, rest = exc.split(Exception)
        return errors, rest
    if isinstance(exc, Exception):
        return exc, None
    return None, exc


def merge(
    *raised: BaseException | None, whole: BaseException | None = None
) -> BaseException | None:
    """Make one exception of several: none, itself, or one flat group.

    The exception *whole* stays as it is, although it may be a group.
    """
    leaves = [leaf for exc in raised if exc is not None for leaf in _leaves(exc, whole)]
    cancelled = [leaf for leaf in leaves if isinstance(leaf, trio.Cancelled)]
    others = [leaf for leaf in leaves if not isinstance(leaf, trio.Cancelled)]
    kept = cancelled[:1] + others
    if len(kept) < 2:
        return kept[0] if kept else None
    return BaseExceptionGroup("several errors", kept)


class Body:
    """Remembers what the user's block raised, which is passed on untouched."""

    def __init__(self) -> None:
        self.raised: BaseException | None = None

    @contextmanager
    def runs(self) -> Iterator[None]:
        """Surround the user's block."""
        try:
            yield
        except BaseException as exc:
            self.raised = exc
            raise


@contextmanager
def ungrouped() -> Iterator[Body]:
    """Have one error come as itself, and several as one flat group."""
    merged: BaseException | None = None
    body = Body()
    try:
        yield body
    except BaseExceptionGroup as group:
        merged = merge(group, whole=body.raised)
    finally:
        body.raised = None
    # Outside of the handler, so that the group does not become its context.
    if merged is not None:
        try:
            raise merged
        finally:
            del merged


def _leaves(exc: BaseException, whole: BaseException | None) -> Iterator[BaseException]:
    if isinstance(exc, BaseExceptionGroup) and exc is not whole:
        for each in exc.exceptions:
            yield from _leaves(each, whole)
    else:
        yield exc
