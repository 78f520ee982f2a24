"""What holds of every factory between two steps: its books are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trioproto.factory import Factory
from trioproto.sansio.counts import Statistics
from trioproto.testing.watched_harness import WatchedHarness


def broken_invariant(factory: Factory[Any], harnesses: Sequence[WatchedHarness[Any]]) -> str | None:
    """Say what is wrong with a factory, whose connections that have not ended are given."""
    counted = factory.statistics()
    return (
        _problem_of_connections(factory, harnesses)
        or _problem_of_statistics(counted, harnesses)
        or _problem_of_buffers(counted, factory, harnesses)
    )


def _problem_of_connections(
    factory: Factory[Any], harnesses: Sequence[WatchedHarness[Any]]
) -> str | None:
    entered = list(factory.connections)
    open_now = [harness.protocol for harness in harnesses if harness.entered]
    if {id(each) for each in entered} == {id(each) for each in open_now}:
        return None
    return f"factory.connections has {entered}, and {open_now} are open"


def _problem_of_statistics(
    counted: Statistics, harnesses: Sequence[WatchedHarness[Any]]
) -> str | None:
    closed = sum(counted.closed.values())
    if counted.accepted != counted.opening + counted.open + closed:
        return f"accepted is not opening + open + closed: {counted}"
    if counted.opening + counted.open != len(harnesses):
        return f"{len(harnesses)} connections have not ended: {counted}"
    waiting = sum(harness.transport.buffered for harness in harnesses)
    if counted.buffered != waiting:
        return f"{waiting} bytes wait to be sent: {counted}"
    return None


def _problem_of_buffers(
    counted: Statistics, factory: Factory[Any], harnesses: Sequence[WatchedHarness[Any]]
) -> str | None:
    for harness in harnesses:
        # One write may be of any size; what waited before it is limited.
        waiting, limit = harness.transport.buffered, harness.transport.settings.max_buffered
        if waiting - harness.last_write > limit:
            return f"{waiting} bytes wait for one peer: max_buffered is {limit}"
    most = factory.settings.max_buffered_total
    if counted.buffered > most:
        return f"{counted.buffered} bytes wait: max_buffered_total is {most}"
    return None
