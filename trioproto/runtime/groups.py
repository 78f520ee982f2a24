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


def merge(*raised: BaseException | None) -> BaseException | None:
    """Make one exception of several: none, itself, or one flat group."""
    leaves = [leaf for exc in raised if exc is not None for leaf in leaves_of(exc)]
    cancelled = [leaf for leaf in leaves if isinstance(leaf, trio.Cancelled)]
    others = [leaf for leaf in leaves if not isinstance(leaf, trio.Cancelled)]
    kept = cancelled[:1] + others
    if len(kept) < 2:
        return kept[0] if kept else None
    return BaseExceptionGroup("several errors", kept)


class _UsersGroup(Exception):
    """Takes a group that the user's block raised through our nurseries in one piece."""

    def __init__(self, group: ExceptionGroup[Exception]) -> None:
        super().__init__(group)
        self.group = group


@contextmanager
def users_block() -> Iterator[None]:
    """Surround the user's block inside of ``ungrouped``: its own groups stay groups."""
    try:
        yield
    except ExceptionGroup as group:
        raise _UsersGroup(group) from group


@contextmanager
def ungrouped() -> Iterator[None]:
    """Have one error come as itself, and several as one flat group."""
    merged: BaseException | None = None
    try:
        yield
    except (BaseExceptionGroup, _UsersGroup) as group:
        merged = merge(group)
    if merged is not None:
        # The group is still being handled as far as Python knows, and would become
        # the context of what was in it.
        context = merged.__context__
        try:
            raise merged
        finally:
            merged.__context__ = context
            del merged, context


def leaves_of(exc: BaseException) -> Iterator[BaseException]:
    """Take groups apart, but for those that user code has raised."""
    if isinstance(exc, BaseExceptionGroup):
        for each in exc.exceptions:
            yield from leaves_of(each)
    elif isinstance(exc, _UsersGroup):
        yield exc.group
    else:
        yield exc
