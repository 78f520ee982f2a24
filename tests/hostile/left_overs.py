"""Counting what a server holds, as the test kit does, and seeing that it is nothing."""

from __future__ import annotations

from typing import Any

import trio

from tests.tls.over_wire import count, open_descriptors
from trioproto import Factory
from trioproto.runtime.admission import Admission
from trioproto.testing.leaks import held_by

__all__ = ["check_books", "check_nothing_held", "held_by", "held_by_process"]


def held_by_process() -> tuple[int, int]:
    """Descriptors, and tasks of this trio."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    return open_descriptors(), 1 + count(root.child_nurseries)


def check_nothing_held(factory: Factory[Any], admission: Admission) -> None:
    """See that no connection has left anything behind."""
    check_books(factory)
    held = held_by(factory, admission)
    assert not any(held.values()), held


def check_books(factory: Factory[Any]) -> None:
    """See that who was accepted is somewhere; holds at any time.

    Raises:
        AssertionError: it does not.
    """
    now = factory.statistics()
    accounted = now.opening + now.open + sum(now.closed.values())
    if now.accepted != accounted or now.open != len(factory.connections) or now.buffered < 0:
        raise AssertionError(f"the books do not balance: {now}")
