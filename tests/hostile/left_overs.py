"""Counting what a server holds: descriptors, tasks, slots, connections, bytes."""

from __future__ import annotations

from typing import Any

import trio

from tests.tls.over_wire import open_descriptors
from trioproto import Factory
from trioproto.runtime.admission import Admission


def held_by_process() -> tuple[int, int]:
    """Descriptors, and tasks of this trio."""
    return open_descriptors(), _tasks(trio.lowlevel.current_root_task())


def _tasks(task: trio.lowlevel.Task | None) -> int:
    assert task is not None
    children = (child for nursery in task.child_nurseries for child in nursery.child_tasks)
    return 1 + sum(map(_tasks, children))


def held_by(factory: Factory[Any], admission: Admission) -> dict[str, int]:
    """Everything of which a connection has its part; without connections all of it is 0."""
    now = factory.statistics()
    return {
        "places": admission.places.borrowed_tokens,
        "handshakes": admission.handshakes.borrowed_tokens,
        "peers": sum(admission.peers.values()),
        "groups of peers": len(admission.peers),
        "refusals": admission.refusals,
        "waiting": len(admission.waiting),
        "connections": len(factory.connections),
        "described": len(factory.connection_info()),
        "buffered": factory._buffered,
        "opening": now.opening,
        "open": now.open,
    }


def check_books(factory: Factory[Any]) -> None:
    """See that who was accepted is somewhere; holds at any time."""
    now = factory.statistics()
    assert now.accepted == now.opening + now.open + sum(now.closed.values())
    assert now.open == len(factory.connections)
    assert now.buffered >= 0


def check_nothing_held(factory: Factory[Any], admission: Admission) -> None:
    """See that no connection has left anything behind."""
    check_books(factory)
    held = held_by(factory, admission)
    assert not any(held.values()), held
