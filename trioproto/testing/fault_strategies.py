"""What hypothesis needs to try a network's faults; each strategy shrinks to no fault."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from trioproto.testing.faults import Faults
from trioproto.testing.strategies import require_hypothesis

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_MOST_SIZES = 6
"""Different sizes of reads or writes, which then come over again."""
_MOST_STALLS = 3


def resets(size: int) -> SearchStrategy[Faults]:
    """Return a strategy of faults that break a connection, or do not.

    Args:
        size: bytes that go this way; it breaks after any number of them, all too.

    Raises:
        ImportError: hypothesis is not installed.
        ValueError: *size* is below 0.
    """
    _check(size)
    return _place(size).map(lambda place: Faults(reset_after=place))


def stalls(size: int, seconds: float = 5.0) -> SearchStrategy[Faults]:
    """Return a strategy of faults that hold bytes up: up to three times, or never.

    Args:
        size: bytes that go this way; nothing arrives after any number of them.
        seconds: the longest of the stalls.

    Raises:
        ImportError: hypothesis is not installed.
        ValueError: *size* or *seconds* is below 0.
    """
    _check(size, seconds)
    from hypothesis import strategies as st

    stall = st.tuples(st.integers(0, size), st.floats(0, seconds))
    several = st.lists(stall, max_size=_MOST_STALLS)
    return several.map(lambda chosen: Faults(stalls=tuple(chosen)))


def short_writes(size: int) -> SearchStrategy[Faults]:
    """Return a strategy of faults by which a part only of what is offered is taken.

    Args:
        size: the most that is taken at once; a single byte is frequent.

    Raises:
        ImportError: hypothesis is not installed.
        ValueError: *size* is below 0.
    """
    _check(size)
    return _sizes(size).map(lambda chosen: Faults(writes=tuple(chosen)))


def any_faults(
    size: int, seconds: float = 5.0, *, lossless: bool = False
) -> SearchStrategy[Faults]:
    """Return a strategy of all that may go wrong, in any combination.

    These are the faults of the others, and short reads, delays, and a drop.

    Args:
        size: bytes that go this way.
        seconds: the longest delay or stall.
        lossless: whether all bytes arrive in the end: no resets, and no drops.

    Raises:
        ImportError: hypothesis is not installed.
        ValueError: *size* or *seconds* is below 0.
    """
    _check(size, seconds)
    from hypothesis import strategies as st

    delays = st.lists(st.floats(0, seconds), max_size=_MOST_SIZES)
    several = [
        _sizes(size).map(lambda chosen: Faults(reads=tuple(chosen))),
        short_writes(size),
        delays.map(lambda chosen: Faults(delays=tuple(chosen))),
        stalls(size, seconds),
    ]
    if not lossless:
        several += [_place(size).map(lambda place: Faults(drop_after=place)), resets(size)]
    return st.tuples(*several).map(lambda chosen: reduce(or_, chosen))


def _place(size: int) -> SearchStrategy[int | None]:
    """Return a strategy of a number of bytes, or none."""
    from hypothesis import strategies as st

    return st.none() | st.integers(0, size)


def _sizes(size: int) -> SearchStrategy[list[int]]:
    """Return a strategy of the sizes of several reads or writes."""
    from hypothesis import strategies as st

    return st.lists(st.just(1) | st.integers(1, max(1, size)), max_size=_MOST_SIZES)


def _check(size: int, seconds: float = 0.0) -> None:
    require_hypothesis()
    if size < 0 or not seconds >= 0:
        raise ValueError(f"size and seconds must be at least 0, not {size} and {seconds}")
