"""Counting what a server holds, as the test kit does, and seeing that it is nothing."""

from __future__ import annotations

from typing import Any

from tests.tls.over_wire import open_descriptors
from trioproto import Factory
from trioproto.runtime.admission import Admission
from trioproto.testing.held import check_books, count_tasks, held_by

__all__ = ["check_books", "check_nothing_held", "held_by", "held_by_process"]


def held_by_process() -> tuple[int, int]:
    """Descriptors, and tasks of this trio."""
    return open_descriptors(), count_tasks()


def check_nothing_held(factory: Factory[Any], admission: Admission) -> None:
    """See that no connection has left anything behind."""
    check_books(factory)
    held = held_by(factory, admission)
    assert not any(held.values()), held
